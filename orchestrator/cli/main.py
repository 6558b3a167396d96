"""The command group: a command is imported when it runs, so that help and completion stay fast."""

import click

from .. import core_dumps
from .lazy import Lazy, Root

COMMANDS = (
    Lazy("train", "Train prompts for one or more tasks and publish them."),
    Lazy("compare", "Train methods beside each other and say what each is worth."),
    Lazy("promote", "Point an alias at a version; several move all or none."),
    Lazy("approve", "Say yes to a version for a protected alias."),
    Lazy("rollback", "Point an alias back at the version before."),
    Lazy("query", "Ask a running server for predictions."),
    Lazy("feedback", "Correct a running server's answers, for it to learn from."),
    Lazy("correct", "Learn what users corrected, and publish a candidate."),
    Lazy("continual", "See and compare how prompts that learn on remember."),
    Lazy("serve", "Serve every promoted prompt from one backbone."),
    Lazy("top", "Watch a running server: rows, latency, queue, bank, aliases."),
    Lazy("token", "Make, list and revoke the tokens that let requests in."),
    Lazy("key", "Make, list and revoke the keys that sign versions."),
    Lazy("webhook", "Tell others when aliases move and versions are published."),
    Lazy("task", "Add tasks and see which there are."),
    Lazy("prompt", "See prompts, their versions and the history of their aliases."),
    Lazy("alias", "See what aliases name, and how they came to."),
    Lazy("run", "See runs."),
    Lazy("audit", "See who did what and why, and check that it is all there."),
    Lazy("privacy", "Measure what a version gives away of its training rows."),
    Lazy("registry", "Carry prompts from one registry to another, in one file."),
    Lazy("db", "Create, upgrade, check and back up the registry's database."),
    Lazy("fsck", "Check every blob and the whole history."),
    Lazy("gc", "Take away bytes that no version needs any more."),
    Lazy("doctor", "Check what is needed, and that no text of users is kept."),
    Lazy("config", "See the value of every option and where it comes from."),
    Lazy("completion", "Print the completion script of a shell."),
)


@click.group(
    "promptctl",
    cls=Root,
    commands=COMMANDS,
    context_settings={"auto_envvar_prefix": "PROMPTCTL", "help_option_names": ["-h", "--help"]},
    epilog="Options also come from PROMPTCTL_<COMMAND>_<OPTION>, ./promptctl.toml and the user's config.toml, "
    "in this order. Exit codes: 0 done, 1 unexpected, 2 invalid, 3 not found, 4 not allowed in, 5 conflict, "
    "6 refused, 7 unavailable, 8 damaged, 9 run failed, 130 interrupted.",
)
@click.version_option(package_name="promptctl")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Train, version, promote and serve soft prompts for many tasks on one frozen backbone.

    \b
    promptctl train --tasks qa,sentiment      train the two demo tasks
    promptctl promote qa:1 sentiment:1        put both in production
    promptctl serve --local                   answer on http://127.0.0.1:8000
    promptctl query sentiment "I liked it"    ask
    """
    from . import defaults

    ctx.default_map = defaults.load(cli.commands)


def main() -> None:
    """The `promptctl` command."""
    core_dumps.forbid()
    cli(prog_name="promptctl")


if __name__ == "__main__":
    main()
