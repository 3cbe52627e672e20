"""Tickets: a small Flask application whose replicas share everything that they have to."""

from flask import Flask
from flask_migrate import Migrate
from flask_session import Session

import faults
from tickets import api, auth, commands, errors, health, settings
from tickets.models import db

migrate = Migrate()


def create_app():
    app = Flask("tickets")
    app.config.from_mapping(settings.from_environment())
    faults.change(app)

    db.init_app(app)
    migrate.init_app(app, db)
    if app.config["SESSION_TYPE"]:
        Session(app)

    auth.require_own_origin(app)
    errors.register(app)
    commands.register(app)
    app.register_blueprint(auth.blueprint, url_prefix="/api/auth")
    app.register_blueprint(api.blueprint, url_prefix="/api/tickets")
    app.register_blueprint(health.blueprint)
    return app
