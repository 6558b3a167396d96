"""Alembic's entry: runs in the transaction it is given, or in its own for the URL in PROMPTCTL_DATABASE_URL."""

import os

from alembic import context
from sqlalchemy import Connection

from registry.revisions import alembic_options, exclusive


def _run(connection: Connection) -> None:
    context.configure(connection=connection, **alembic_options())
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with exclusive(os.environ["PROMPTCTL_DATABASE_URL"]) as own:
        _run(own)
