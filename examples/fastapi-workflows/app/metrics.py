"""What this replica counted, in Prometheus' text format. The sums over replicas are the scraper's business."""

from collections import Counter

from fastapi import APIRouter, Response

HELP = {
    "logins": "Login requests whose password was looked at.",
    "login_failures": "Those that were refused.",
    "login_seconds_sum": "Seconds that they took in all.",
    "csrf_failures": "Requests refused for their CSRF token.",
    "database_errors": "Requests that failed for the database.",
    "sessions_errors": "Requests that failed for the sessions' store.",
}
_counted: Counter[str] = Counter()

router = APIRouter(tags=["health"])


def count(name: str, by: float = 1) -> None:
    _counted[name] += by


@router.get("/api/metrics/authentication")
async def authentication() -> Response:
    lines = []
    for name, text in HELP.items():
        metric = f"workflows_auth_{name}_total"
        lines += [f"# HELP {metric} {text}", f"# TYPE {metric} counter", f"{metric} {_counted[name]}"]
    return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
