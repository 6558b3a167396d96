"""`promptctl doctor`: what is not well here, and what to do."""

import click

from .options import output_option
from .output import Listing, show


@click.command()
@output_option
def doctor(output: str) -> None:
    """Check what is needed, and that no text of users is kept.

    Looks at the home's permissions, the registry's database and store, core dumps, and the settings that Ray is
    started with, and says what to do. The exit code is 7 when something is not ok. Nothing is written.

    \b
    promptctl doctor
    promptctl doctor -o json
    """
    import registry

    from ..doctor import examine
    from ..settings import Settings

    checks = list(examine(Settings()))
    records = [vars(check) for check in checks]
    show(Listing("checks", records, ("check", "state", "found", "todo"), name="check"), output)
    if wrong := [check for check in checks if check.state == "not ok"]:
        names = ", ".join(check.check for check in wrong)
        raise registry.Unavailable(f"not ok: {names}", hint="\n".join(check.todo for check in wrong))
