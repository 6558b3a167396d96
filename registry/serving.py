"""What serving follows: every alias with its version, as of an epoch that counts the moves."""

from sqlalchemy.orm import Session

from .models import AliasRow, ServingRow, VersionRow
from .records import ServingState
from .versions import VERSIONS, to_records


def epoch(session: Session) -> int:
    """How many times aliases have moved."""
    return session.get_one(ServingRow, 1).epoch


def serving_state(session: Session) -> ServingState:
    """Every alias with the version it names."""
    query = VERSIONS.add_columns(AliasRow.name).join(
        AliasRow, (AliasRow.prompt_id == VersionRow.prompt_id) & (AliasRow.number == VersionRow.number)
    )
    rows = session.execute(query).all()
    versions = to_records(session, [(row, name) for row, name, _ in rows])
    aliases = [alias for _, _, alias in rows]
    return ServingState(
        epoch(session), {(version.name, alias): version for version, alias in zip(versions, aliases, strict=True)}
    )


def in_line(session: Session) -> ServingRow:
    """The one row that everybody who moves an alias locks first: moves happen one after the other."""
    return session.get_one(ServingRow, 1, with_for_update=True)
