"""`promptctl prompt tag`: words by which versions are found."""

from datetime import UTC, datetime

import click

from . import complete
from .options import dry_run_option, output_option, say_dry_run
from .output import Listing, plain, show
from .token import Span


class Tag(click.ParamType):
    """KEY=VALUE; where it says that there is none, KEY=."""

    name = "tag"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Read it."""
        if isinstance(value, tuple):
            return value
        key, equals, said = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is no tag; write KEY=VALUE", param, ctx)
        return key, said


class Since(click.ParamType):
    """A date, or how long ago."""

    name = "since"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it; a time without a zone is in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            return datetime.now(UTC) - Span().convert(value, param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


TAG = Tag()
COLUMNS = ("reference", "key", "old", "new", "actor", "at")


@click.command()
@click.argument("reference", shell_complete=complete.references)
@click.argument("changes", nargs=-1, type=TAG, metavar="[KEY=VALUE|KEY=]...")
@dry_run_option
@output_option
def tag(reference: str, changes: tuple[tuple[str, str], ...], dry_run: bool, output: str) -> None:
    """Tag a version, or take a tag away with KEY=.

    Tags are not part of a version: they change while it never does. Each change is kept with who made it and
    when; without one to make, lists those that were made, newest first. `promptctl prompt show` has the tags
    themselves.

    \b
    promptctl prompt tag sentiment:7 team=search reviewed=2026-05-01
    promptctl prompt tag sentiment:7 reviewed=
    promptctl prompt tag sentiment:7
    """
    from ..access import opened
    from ..settings import Settings

    settings = Settings()
    with opened(settings, dry_run=dry_run) as registry:
        if changes:
            wanted = {key: value or None for key, value in changes}
            events = registry.tags.set(reference, wanted, actor=settings.actor, dry_run=dry_run)
        else:
            events = registry.tags.history(reference)
    show(Listing("tags", [plain(event) for event in events], COLUMNS, name="key"), output)
    say_dry_run(dry_run)
