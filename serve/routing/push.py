"""`POST /v1/sync`: who has promoted asks to be followed at once, and not only when the servers ask next."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from fastapi import Depends, FastAPI, Request

from registry import RegistryError

from ..edge.nearby import nearby
from ..engine.engine import PromptEngine
from ..errors import Unavailable
from ..schemas import SyncResponse

Announce: TypeAlias = Callable[[], Awaitable[Sequence[int]]]  # has every replica follow; their epochs

_HINT = "servers elsewhere follow by themselves within a second"


def add_to(app: FastAPI, announce: Announce | None) -> None:
    """Add the route; without `announce`, this process is the only one to follow."""

    async def sync(request: Request) -> SyncResponse:
        """Look at what the registry says now, and answer with the epoch of every replica that has."""
        return SyncResponse(epochs=list(await announce()) if announce else [await follow(request.app.state.engine)])

    app.post("/v1/sync", dependencies=[Depends(nearby("have it follow at once", _HINT))])(sync)


async def follow(engine: PromptEngine) -> int:
    """Swap in what the registry says now; the epoch that is served then.

    Raises:
        Unavailable: the registry does not answer; what was served is served on.
    """
    try:
        await engine.follower.sync()
    except RegistryError as error:
        raise Unavailable("the registry does not answer", hint="see /v1/status") from error
    return engine.follower.snapshot.epoch
