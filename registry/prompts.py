"""Prompts by name."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .errors import NotFound
from .models import AliasRow, PromptRow, VersionRow
from .records import Prompt


def known_prompt(session: Session, name: str) -> PromptRow:
    """The prompt of that name, or an error that names the nearest."""
    row = session.scalar(select(PromptRow).where(PromptRow.name == name))
    if row is None:
        names = session.scalars(select(PromptRow.name).order_by(PromptRow.name))
        raise NotFound.among(names, "prompt", name)
    return row


def list_prompts(session: Session) -> list[Prompt]:
    """Every prompt, by name."""
    ready = select(VersionRow.prompt_id, func.max(VersionRow.number)).where(VersionRow.state == "READY")
    latest = {row[0]: row[1] for row in session.execute(ready.group_by(VersionRow.prompt_id))}
    aliases: dict[int, dict[str, int]] = {}
    for alias in session.scalars(select(AliasRow).order_by(AliasRow.name)):
        aliases.setdefault(alias.prompt_id, {})[alias.name] = alias.number
    return [
        Prompt(
            name=row.name,
            kind="shared" if row.name.startswith("shared/") else "task",
            latest=latest.get(row.id),
            aliases=aliases.get(row.id, {}),
            created_at=row.created_at,
        )
        for row in session.scalars(select(PromptRow).order_by(PromptRow.name))
    ]
