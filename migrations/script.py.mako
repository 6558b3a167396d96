"""${message}.

Rules of a revision: it is numbered, it goes forward only, it imports nothing from `registry`, and it is never
edited once released. `op.batch_alter_table` drops the triggers of the table on SQLite: make them again.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """${message}."""
    ${upgrades if upgrades else "pass"}
