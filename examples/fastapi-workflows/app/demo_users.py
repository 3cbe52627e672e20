"""`python -m app.demo_users` creates the demo users with the password from `DEMO_USERS_PASSWORD`."""

from app.users import ensure, from_environment

SHORTEST = 12
ROLES = {"admin": "admin", "builder1": "user", "builder2": "user"}

if __name__ == "__main__":
    password = from_environment("DEMO_USERS_PASSWORD")
    if len(password) < SHORTEST:
        raise SystemExit(f"DEMO_USERS_PASSWORD is shorter than {SHORTEST} characters.")
    ensure({name: (f"{name}@example.com", role) for name, role in ROLES.items()}, password)
