"""What gunicorn and the `flask` command load."""

from tickets import create_app

app = create_app()
