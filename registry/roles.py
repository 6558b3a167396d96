"""Who may do what: the one table of actions and the role that each takes, over HTTP and from the command line."""

from collections.abc import Mapping
from typing import Literal, get_args

Role = Literal["viewer", "trainer", "promoter", "admin"]
Action = Literal["ask", "see", "correct", "follow", "administer"]

ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may
NEEDED: Mapping[Action, Role] = {
    "ask": "viewer",  # have rows answered
    "see": "viewer",  # what is served, and how
    "correct": "trainer",  # answers, and take the corrections away to learn them
    "follow": "promoter",  # have servers look at once at what was promoted
    "administer": "admin",  # whatever has no name here
}


def may(role: Role, action: Action) -> bool:
    """Whether a holder of that role may do this."""
    return ROLES.index(role) >= ROLES.index(NEEDED[action])
