"""Who may ask what: at a loopback address everybody everything, at any other a token's holder what its role may."""

import asyncio
import hmac
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from registry.roles import NEEDED, Action, may
from registry.tokens import Token, Tokens, hash_of_secret

from ..config import ServeConfig
from ..errors import NotAllowed, Unavailable
from .failures import respond
from .port import loops_back

POLL_S = 2.0  # after which a revoked token lets nobody in
HELD_S = 3600.0  # how long the last known tokens count while the registry does not answer

OPEN = ("/healthz", "/v2/health")
PATHS: Mapping[Action, tuple[str, ...]] = {
    "ask": ("/v1/predict", "/v1/completions", "/v1/chat", "/v1/embeddings", "/v2"),
    "see": ("/v1/tasks", "/v1/status", "/v1/models", "/metrics", "/openapi.json"),
    "correct": ("/v1/feedback",),
    "follow": ("/v1/sync",),
}


def needed(path: str) -> Action | None:
    """What one does who asks at this path: nothing that takes a role for health, an admin's work where no rule is."""
    if _under(path, OPEN):
        return None
    for action, paths in PATHS.items():
        if _under(path, paths):
            return action
    return "administer"


class Keys:
    """The registry's tokens as it last told them. Lives on one event loop; the registry is asked in threads."""

    def __init__(self, ask: Callable[[], Mapping[str, Token]]) -> None:
        self._ask = ask
        self._known: Mapping[str, Token] = {}
        self._heard_s = -math.inf

    async def follow(self) -> None:
        """Ask again and again."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Ask once; of a registry that does not answer, what it said before is held for a time."""
        (found,) = await asyncio.gather(asyncio.to_thread(self._ask), return_exceptions=True)
        if not isinstance(found, BaseException):
            self._known, self._heard_s = found, _now_s()

    def holder(self, secret: str) -> Token | None:
        """The valid token of which this is the secret.

        Raises:
            Unavailable: the registry has not answered for too long to know.
        """
        if _now_s() - self._heard_s > HELD_S:
            raise Unavailable("the registry does not answer, so that no token can be checked", hint="try again later")
        given = hash_of_secret(secret)
        found = [token for known, token in self._known.items() if hmac.compare_digest(known, given)]
        return next((token for token in found if token.valid(datetime.now(UTC))), None)


class Access:
    """Refuses a request before a byte of its body is read; whatever a proxy says of its client changes nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on, or refuse it."""
        if scope["type"] != "lifespan" and (action := needed(scope["path"])) is not None:
            refused = _refusal(scope, action)
            if refused is not None:
                return await refused(scope, receive, send)
        await self._app(scope, receive, send)


@asynccontextmanager
async def followed(config: ServeConfig) -> AsyncIterator[Keys | None]:
    """The tokens for the time of the block; none at a loopback address, which asks for none."""
    if loops_back(config.host):
        yield None
        return
    opened = cache(lambda: Tokens.open(config.database_url))  # until it is, every question tries again
    keys = Keys(lambda: opened().by_hash())
    await keys.refresh()
    following = asyncio.create_task(keys.follow())
    try:
        yield keys
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        if opened.cache_info().currsize:
            opened().close()


def check_guarded(config: ServeConfig) -> None:
    """Refuse to listen where others can reach while there is no token to let anybody in.

    Raises:
        NotAllowed, RegistryError: there is none, or the registry does not answer.
    """
    if loops_back(config.host):
        return
    with closing(Tokens.open(config.database_url)) as tokens:
        known = tokens.issued()
    if not any(token.valid(datetime.now(UTC)) for token in known):
        raise NotAllowed(
            f"{config.host} can be reached from elsewhere, and there is no token that would let anybody in",
            hint="promptctl token create NAME --role viewer\nor serve this machine alone: --host 127.0.0.1",
        )


def _refusal(scope: Scope, action: Action) -> Response | None:
    role = NEEDED[action]
    keys, path = scope["app"].state.keys, scope["path"]
    authorization = Headers(scope=scope).get("authorization", "")
    scheme, _, secret = authorization.partition(" ")
    try:
        token = keys.holder(secret.strip()) if scheme.lower() == "bearer" else None
    except Unavailable as error:
        return respond(error, path=path)
    if token is None:
        said = "the token is unknown, expired or revoked" if authorization else "this server asks for a token"
        hint = (
            "set PROMPTCTL_TOKEN, or send Authorization: Bearer TOKEN; "
            f"promptctl token create NAME --role {role} makes one that may"
        )
        response = respond(NotAllowed(said, hint=hint), path=path)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
    if may(token.role, action):
        return None
    error = NotAllowed(f"token {token.name!r} is a {token.role}'s, and this takes a {role}'s", hint="use another token")
    return respond(error, HTTPStatus.FORBIDDEN, path=path)


def _under(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
