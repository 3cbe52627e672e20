"""Workflows: one's own."""

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import select

from app.auth import CurrentUser
from app.csrf import CsrfChecked
from app.database import Database
from app.models import Workflow

router = APIRouter(prefix="/api/workflows", tags=["workflows"])


class NewWorkflow(BaseModel):
    name: str = Field(min_length=1, max_length=200)


@router.get("")
async def index(user: CurrentUser, database: Database) -> list[dict]:
    mine = select(Workflow).where(Workflow.owner_id == user.id).order_by(Workflow.id.desc()).limit(100)
    return [{"id": found.id, "name": found.name} for found in await database.scalars(mine)]


@router.post("", status_code=201, dependencies=[CsrfChecked])
async def create(body: NewWorkflow, user: CurrentUser, database: Database) -> dict:
    workflow = Workflow(owner_id=user.id, name=body.name)
    database.add(workflow)
    await database.commit()
    return {"id": workflow.id, "name": workflow.name}
