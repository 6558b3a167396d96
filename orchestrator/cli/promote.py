"""`promptctl promote`: the move that puts a version in front of users."""

import click

from . import complete
from .moves import say, settle
from .options import dry_run_option, output_option


@click.command()
@click.argument("references", nargs=-1, metavar="REF...", shell_complete=complete.references)
@click.option("--run", metavar="RUN", shell_complete=complete.runs, help="Every prompt that this run published.")
@click.option("--to", default="production", show_default=True, help="The alias to move.")
@click.option("--percent", type=click.IntRange(0, 100), default=100, show_default=True,
              help="How many of the rows; below 100 the alias keeps its version for the others.")  # fmt: skip
@click.option("--shadow", is_flag=True, help="Have it answer beside the alias's version, and only compare.")
@click.option("--reason", default="", help="Why; kept in the prompt's log.")
@click.option("--force", is_flag=True, help="Move it although gates refuse it; needs --reason.")
@dry_run_option
@output_option
def promote(
    references: tuple[str, ...],
    run: str | None,
    to: str,
    percent: int,
    shadow: bool,
    reason: str,
    force: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Point an alias at a version; several move all or none.

    With --percent a version becomes the candidate beside the alias's own: rows with the same `key` stay with one
    of the two. 100 percent ends it one way, 0 percent or a rollback the other. A --shadow answers every row as well,
    and is compared but never returned. Servers follow within a second, one that answers here at once.

    Where a policy is about the alias, in promptctl.toml, policy.toml or the file of PROMPTCTL_POLICY, its gates judge
    the version on the task's held-out rows first, a candidate as well, a shadow and a rollback not. Numbers are kept;
    a gate that is not passed ends with exit code 6, and so do missing approvals, which nothing overrides.

    \b
    [[policy]]
    prompt = "sentiment"
    alias = "production"
    approvals = 1
    gates.floor = { at_least = 0.8 }
    gates.regression = { margin = 0.01 }

    --force overrides gates; with a token in PROMPTCTL_TOKEN it takes a promoter's. Without one whoever can open
    the database can do all. It shows in `promptctl audit list`.

    \b
    promptctl promote sentiment:7
    promptctl promote sentiment:7 qa:3 --reason "retrained on May's corrections"
    promptctl promote --run 20260501-101500-ab12 --dry-run
    promptctl promote sentiment:8 --percent 10
    promptctl promote sentiment:8 --shadow
    promptctl promote sentiment:8 --force --reason "the old one is wrong about refunds"
    promptctl promote sentiment@staging --dry-run
    """
    from registry import Move

    from ..access import opened
    from ..promotion.promotion import Wish, of_run
    from ..promotion.promotion import promote as moved
    from ..settings import Settings

    if bool(references) == (run is not None):
        raise click.UsageError("name versions, or a run with --run")
    settings = Settings()
    with opened(settings, dry_run=dry_run) as registry:
        named = of_run(registry, run) if run is not None else references
        moves = [Move(reference, to, percent=percent, shadow=shadow) for reference in named]
        events = moved(registry, settings, moves, Wish(reason, force, dry_run), say)
    settle(settings, events, output, dry_run=dry_run)
