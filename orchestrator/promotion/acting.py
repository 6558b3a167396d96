"""Who acts, where a role is needed.

Between the command and the database there is no server: whoever can open the database can write to it, and so may do
everything. Where PROMPTCTL_TOKEN is set, the one who acts is the token's holder, by the token's name, and needs the
role; that keeps a job that was given a trainer's token from what is a promoter's, and is no defence against who removes
the token. What was done shows either way, in `promptctl audit`.
"""

import os
from contextlib import closing
from datetime import UTC, datetime

from registry.tokens import Role, Tokens, hash_of_secret

from ..errors import NotAllowed
from ..settings import Settings


def acting(settings: Settings, role: Role, what: str) -> str:
    """The name of the one who acts.

    Raises:
        NotAllowed: a token that the registry does not know, or of a lower role.
    """
    secret = os.environ.get("PROMPTCTL_TOKEN")
    if not secret:
        return settings.actor
    with closing(Tokens.open(settings.database_url)) as tokens:
        token = tokens.by_hash().get(hash_of_secret(secret))
    if token is None or not token.valid(datetime.now(UTC)):
        raise NotAllowed(
            "the token in PROMPTCTL_TOKEN is not one of this registry, or expired or revoked",
            hint=f"{what} takes a {role}'s: promptctl token create NAME --role {role}",
        )
    if not token.may(role):
        raise NotAllowed(
            f"token {token.name!r} is a {token.role}'s, and {what} takes a {role}'s", hint="use another one"
        )
    return token.name
