"""Tickets: one's own, or all for a manager."""

from flask import Blueprint, abort, g, request

from tickets.auth import login_required
from tickets.models import Ticket, db

blueprint = Blueprint("tickets", __name__)


@blueprint.get("")
@login_required
def index():
    mine = db.select(Ticket).order_by(Ticket.id.desc()).limit(100)
    if g.user.role != "manager":
        mine = mine.filter_by(owner_id=g.user.id)
    return [ticket.as_json() for ticket in db.session.scalars(mine)]


@blueprint.post("")
@login_required
def create():
    body = request.get_json()
    title = body.get("title") if isinstance(body, dict) else None
    if not isinstance(title, str) or not 0 < len(title) <= 200:
        abort(400, "title has to be a string of 1 to 200 characters.")
    ticket = Ticket(owner=g.user, title=title)
    db.session.add(ticket)
    db.session.commit()
    return ticket.as_json(), 201
