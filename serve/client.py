"""A client for a running server."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import httpx

from .errors import KINDS, Failed, Overloaded, ServeError, Unavailable

Outcome: TypeAlias = Literal["learned", "returned", "dropped"]

TIMEOUT = httpx.Timeout(300, connect=5)  # seconds


class Client:
    """Asks one server; every call raises the error that the server answered with."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        # No connection outlives its request, so there is nothing to close.
        self._http = httpx.Client(timeout=TIMEOUT, limits=httpx.Limits(max_keepalive_connections=0))

    def predict(self, inputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One output for each input, in their order.

        Raises:
            ServeError: the server cannot be reached, or one of the inputs is wrong.
        """
        return self._ask("POST", "/v1/predict", {"inputs": [dict(one) for one in inputs]})["outputs"]

    def tasks(self) -> list[dict[str, Any]]:
        """What the server serves."""
        return self._ask("GET", "/v1/tasks")["tasks"]

    def status(self) -> dict[str, Any]:
        """How the server is."""
        return self._ask("GET", "/v1/status")

    def feedback(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Say what a row's label should have been: `prompt`, the row's fields, `label`, and perhaps `version`.

        Raises:
            ServeError: the correction is wrong, or the server holds as many as it can.
        """
        return self._ask("POST", "/v1/feedback", dict(correction))

    def lease(self, prompt: str, limit: int | None = None, per_label: int = 1) -> dict[str, Any]:
        """Borrow the oldest corrections of a prompt, from the server's own machine: `lease`, `until` and `rows`.

        Those whose label fewer than `per_label` corrections name stay where they are.
        """
        return self._ask("POST", "/v1/feedback/lease", {"prompt": prompt, "limit": limit, "per_label": per_label})

    def settle(self, lease: str, outcome: Outcome) -> int:
        """Say how a lease ended; the number of its rows. Saying the same again changes nothing.

        Raises:
            ServeError: there is no such lease, or it has timed out.
        """
        return self._ask("POST", "/v1/feedback/settle", {"lease": lease, "outcome": outcome})["rows"]

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, self._url + path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(
                f"no answer from the server at {self._url}: {error or type(error).__name__}",
                hint="start one with promptctl serve, or set PROMPTCTL_SERVER to where it runs",
            ) from error
        try:
            answer = response.json()
            error = None if response.is_success else _error(answer["error"], response)
        except (ValueError, KeyError, TypeError) as unreadable:
            raise Unavailable(
                f"{self._url} answered {response.status_code} {response.reason_phrase}, and not as promptctl does",
                hint="is PROMPTCTL_SERVER the address of a promptctl server?",
            ) from unreadable
        if error is not None:
            raise error
        return answer


def _error(said: Mapping[str, str], response: httpx.Response) -> ServeError:
    kind = KINDS.get(said["code"], Failed)
    if kind is Overloaded:
        wait_s = int(response.headers.get("Retry-After", "1"))
        return Overloaded(said["message"], retry_after_s=wait_s, hint=said["hint"])
    return kind(said["message"], hint=said["hint"])
