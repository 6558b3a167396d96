"""Clients of a running server: `Client`, and `AsyncClient` for an event loop."""

import asyncio
import os
import time
import weakref
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Literal, Self, TypeAlias

import httpx

from .asking import LIMITS, RETRIES, TIMEOUT, Call, Outcome, headers, near, pause_s, read
from .messages import Prediction, ServedTask

Row: TypeAlias = Mapping[str, Any]
Settled: TypeAlias = Literal["learned", "returned", "dropped"]


class Client:
    """Asks one server over connections that it keeps; every call raises the error that the server answered with.

    `token` is PROMPTCTL_TOKEN's unless given. A call is made again up to `retries` times, if it never reached the
    server, or changes nothing and was answered by 429, 503, a proxy's 5xx or not at all: after a moment, or what the
    server says in Retry-After, which may be half a minute. A correction that was sent is never sent again. Safe to
    share between threads.
    """

    def __init__(
        self, url: str, *, token: str | None = None, retries: int = RETRIES, timeout: httpx.Timeout | float = TIMEOUT
    ) -> None:
        self._url, self._retries = url.rstrip("/"), retries
        self._http = httpx.Client(
            headers=headers(token or _token()), timeout=timeout, limits=LIMITS, trust_env=not near(url)
        )
        self.close = weakref.finalize(self, self._http.close)  # also when nobody does

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def predict(self, inputs: Sequence[Row]) -> list[Prediction]:
        """One output for each input, in their order.

        Raises:
            ServeError: the server cannot be reached, or one of the inputs is wrong.
        """
        return self._ask(_predict(inputs))["outputs"]

    def tasks(self) -> list[ServedTask]:
        """What the server serves."""
        return self._ask(TASKS)["tasks"]

    def status(self) -> dict[str, Any]:
        """How the server is."""
        return self._ask(STATUS)

    def feedback(self, correction: Row) -> dict[str, Any]:
        """Say what a row's label should have been: `prompt`, the row's fields, `label`, and perhaps `version`.

        Raises:
            ServeError: the correction is wrong, or the server holds as many as it can.
        """
        return self._ask(_feedback(correction))

    def lease(self, prompt: str, limit: int | None = None, per_label: int = 1) -> dict[str, Any]:
        """Borrow the oldest corrections of a prompt, from the server's own machine: `lease`, `until` and `rows`.

        Those whose label fewer than `per_label` corrections name stay where they are.
        """
        asked = {"prompt": prompt, "limit": limit, "per_label": per_label}
        return self._ask(Call("POST", "/v1/feedback/lease", asked, safe=False))

    def settle(self, lease: str, outcome: Settled) -> int:
        """Say how a lease ended; the number of its rows. Saying the same again changes nothing.

        Raises:
            ServeError: there is no such lease, or it has timed out.
        """
        return self._ask(Call("POST", "/v1/feedback/settle", {"lease": lease, "outcome": outcome}))["rows"]

    def _ask(self, call: Call) -> Any:
        for tried in count():
            outcome = self._outcome(call)
            wait_s = pause_s(call, outcome, tried) if tried < self._retries else None
            if wait_s is None:
                return read(self._url, outcome)
            time.sleep(wait_s)

    def _outcome(self, call: Call) -> Outcome:
        try:
            return self._http.request(call.method, self._url + call.path, json=call.body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return error


class AsyncClient:
    """Like `Client`, for an event loop. Corrections are lent to a trainer, which has no such loop."""

    def __init__(
        self, url: str, *, token: str | None = None, retries: int = RETRIES, timeout: httpx.Timeout | float = TIMEOUT
    ) -> None:
        self._url, self._retries = url.rstrip("/"), retries
        self._http = httpx.AsyncClient(
            headers=headers(token or _token()), timeout=timeout, limits=LIMITS, trust_env=not near(url)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def predict(self, inputs: Sequence[Row]) -> list[Prediction]:
        """One output for each input, in their order.

        Raises:
            ServeError: the server cannot be reached, or one of the inputs is wrong.
        """
        return (await self._ask(_predict(inputs)))["outputs"]

    async def tasks(self) -> list[ServedTask]:
        """What the server serves."""
        return (await self._ask(TASKS))["tasks"]

    async def status(self) -> dict[str, Any]:
        """How the server is."""
        return await self._ask(STATUS)

    async def feedback(self, correction: Row) -> dict[str, Any]:
        """Say what a row's label should have been, as `Client.feedback` does."""
        return await self._ask(_feedback(correction))

    async def _ask(self, call: Call) -> Any:
        for tried in count():
            outcome = await self._outcome(call)
            wait_s = pause_s(call, outcome, tried) if tried < self._retries else None
            if wait_s is None:
                return read(self._url, outcome)
            await asyncio.sleep(wait_s)

    async def _outcome(self, call: Call) -> Outcome:
        try:
            return await self._http.request(call.method, self._url + call.path, json=call.body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return error


TASKS = Call("GET", "/v1/tasks")
STATUS = Call("GET", "/v1/status")


def _predict(inputs: Sequence[Row]) -> Call:
    return Call("POST", "/v1/predict", {"inputs": [dict(one) for one in inputs]})


def _feedback(correction: Row) -> Call:
    return Call("POST", "/v1/feedback", dict(correction), safe=False)


def _token() -> str | None:
    return os.environ.get("PROMPTCTL_TOKEN")
