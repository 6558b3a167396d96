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
    of_prompt = select(func.max(VersionRow.number)).where(VersionRow.prompt_id == PromptRow.id)
    latest = of_prompt.where(VersionRow.state == "READY").scalar_subquery()  # one look into an index a prompt
    aliases: dict[int, dict[str, int]] = {}
    for alias in session.scalars(select(AliasRow).order_by(AliasRow.name)):
        aliases.setdefault(alias.prompt_id, {})[alias.name] = alias.number
    return [
        Prompt(
            name=row.name,
            kind="shared" if row.name.startswith("shared/") else "task",
            latest=newest,
            aliases=aliases.get(row.id, {}),
            created_at=row.created_at,
        )
        for row, newest in session.execute(select(PromptRow, latest).order_by(PromptRow.name))
    ]
