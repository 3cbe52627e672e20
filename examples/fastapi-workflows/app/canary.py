"""`python -m app.canary` creates the account that Accord logs in with, without rights."""

from app.users import ensure, from_environment

if __name__ == "__main__":
    username = from_environment("ACCORD_CANARY_USERNAME")
    account = {username: (from_environment("ACCORD_CANARY_EMAIL"), "user")}
    ensure(account, from_environment("ACCORD_CANARY_PASSWORD"))
