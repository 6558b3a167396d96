"""One question to a server: what is sent, when it is asked again, and how its answer is read."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpx

from ..edge.port import loops_back
from ..errors import KINDS, Failed, Invalid, Overloaded, ServeError, Unavailable

TIMEOUT = httpx.Timeout(300, connect=5)  # seconds
LIMITS = httpx.Limits(max_connections=100, keepalive_expiry=4)  # seconds; servers close idle ones after five
RETRIES = 3
FIRST_PAUSE_S = 0.1  # doubled each time
LONGEST_PAUSE_S = 30.0  # a server that asks for a longer one is not waited for
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

Outcome: TypeAlias = httpx.Response | httpx.HTTPError | httpx.InvalidURL


@dataclass(frozen=True)
class Call:
    """A request. One that is `safe` changes nothing, or nothing more when it is made twice."""

    method: str
    path: str
    body: object = None
    safe: bool = True


def pause_s(call: Call, outcome: Outcome, tried: int) -> float | None:
    """How long to wait before the call is made again; None if it is over.

    Again is asked what never reached the server. If the call is safe, also what got no answer, 429 and 503, for as
    long as Retry-After says, and a 404 or 5xx that some proxy wrote in the place of a server that died or ends.
    """
    backoff_s = FIRST_PAUSE_S * 2**tried * random.uniform(0.5, 1)
    if isinstance(outcome, NOT_SENT):
        return backoff_s
    if not call.safe or isinstance(outcome, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return None
    if not isinstance(outcome, httpx.Response):
        return None if isinstance(outcome, httpx.ReadTimeout) else backoff_s
    if not _passing(outcome):
        return None
    asked_s = max(backoff_s, _retry_after_s(outcome))
    return asked_s if asked_s <= LONGEST_PAUSE_S else None


def read(url: str, outcome: Outcome) -> Any:
    """The answer's JSON.

    Raises:
        ServeError: as the server said it; Unavailable where none answered.
    """
    if not isinstance(outcome, httpx.Response):
        raise Unavailable(
            f"no answer from the server at {url}: {outcome or type(outcome).__name__}",
            hint="start one with promptctl serve, or set PROMPTCTL_SERVER to where it runs",
        ) from outcome
    try:
        answer = outcome.json()
        error = None if outcome.is_success else _error(answer["error"], outcome)
    except (ValueError, KeyError, TypeError) as unreadable:
        raise Unavailable(
            f"{url} answered {outcome.status_code} {outcome.reason_phrase}, and not as promptctl does",
            hint="is PROMPTCTL_SERVER the address of a promptctl server?",
        ) from unreadable
    if error is not None:
        raise error
    return answer


def near(url: str) -> bool:
    """Whether it is this machine's, so that no proxy of the environment is to see what is asked."""
    try:
        return loops_back(urlsplit(url).hostname or "")
    except ValueError:  # no address at all, which the first question says
        return False


def headers(token: str | None) -> dict[str, str]:
    """What every request carries.

    Raises:
        Invalid: no header can carry the token; the error does not quote it.
    """
    if not token:
        return {}
    if re.fullmatch(r"[\x21-\x7e]+", token) is None:
        raise Invalid("the token has characters that no token has", hint="set PROMPTCTL_TOKEN to what `create` printed")
    return {"Authorization": f"Bearer {token}"}


def _passing(response: httpx.Response) -> bool:
    """Whether the answer may be another one soon."""
    try:
        code = response.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return response.status_code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.NOT_FOUND) or response.is_server_error
    return code in ("overloaded", "unavailable")


def _retry_after_s(response: httpx.Response) -> float:
    """What the server asks for; a date, which HTTP allows as well, is not read."""
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0


def _error(said: Mapping[str, str], response: httpx.Response) -> ServeError:
    kind = KINDS.get(said["code"], Failed)
    if kind is Overloaded:
        return Overloaded(said["message"], retry_after_s=int(_retry_after_s(response) or 1), hint=said["hint"])
    return kind(said["message"], hint=said["hint"])
