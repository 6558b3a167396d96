"""`promptctl token`: who may ask a server that others can reach."""

from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from .options import output_option
from .output import Listing, plain, show, show_one
from .spans import Span

if TYPE_CHECKING:
    from registry.tokens import Role, Tokens

COLUMNS = ("name", "role", "state", "created_by", "created_at", "expires_at")


@click.group()
def token() -> None:
    """Make, list and revoke the tokens that let requests in.

    A server at a loopback address asks for none. At any other it lets in what carries a token, as
    `Authorization: Bearer TOKEN`; `promptctl` and the Python client send PROMPTCTL_TOKEN.

    \b
    viewer      asks, and sees what is served
    trainer     also corrects answers
    promoter    also tells servers to follow a promotion at once
    admin       everything
    """


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "trainer", "promoter", "admin"]), default="viewer",
              show_default=True, help="What its holder may do.")  # fmt: skip
@click.option("--expires", type=Span(), metavar="12h|30d|8w", help="When it lets nobody in any more; else never.")
@output_option
def create(name: str, role: "Role", expires: timedelta | None, output: str) -> None:
    """Make a token and print it, this once.

    The registry keeps only its hash. Its name stands for it in lists and messages, and is never given to
    another.

    \b
    promptctl token create website --role viewer --expires 30d
    export PROMPTCTL_TOKEN=$(promptctl token create laptop --role admin)
    """
    from ..settings import Settings

    settings = Settings()
    until = datetime.now(UTC) + expires if expires else None
    with _opened(settings.database_url) as tokens:
        made, secret = tokens.create(name, role, actor=settings.actor, expires_at=until)
    click.echo(f"{made.name} is a {made.role}'s token, shown only now", err=True)
    if output == "table":
        click.echo(secret)
    else:
        show_one("token", plain(made) | {"token": secret}, output)


@token.command("list")
@output_option
def list_tokens(output: str) -> None:
    """List every token there ever was; none is shown itself.

    \b
    promptctl token list
    """
    from ..settings import Settings

    with _opened(Settings().database_url) as tokens:
        issued = tokens.issued()
    now = datetime.now(UTC)
    records = [
        plain(one) | {"state": "valid" if one.valid(now) else "revoked" if one.revoked_at else "expired"}
        for one in issued
    ]
    show(Listing("tokens", records, COLUMNS), output)


@token.command()
@click.argument("name")
@output_option
def revoke(name: str, output: str) -> None:
    """Let nobody in with a token any more, for good.

    Servers follow within five seconds.

    \b
    promptctl token revoke website
    """
    from ..settings import Settings

    settings = Settings()
    with _opened(settings.database_url) as tokens:
        show_one("token", tokens.revoke(name, actor=settings.actor), output)


def _opened(database_url: str) -> AbstractContextManager["Tokens"]:
    from registry.tokens import Tokens

    return closing(Tokens.open(database_url))
