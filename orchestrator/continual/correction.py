"""What users corrected, learned: borrowed from the server's memory, tried, published, and let go."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from methods.continual.statistics import MINIMUM
from registry import Conflict, NotFound, Registry, Version
from registry.references import parse

from ..errors import InvalidSpec
from ..progress import Show
from ..settings import Settings
from .sessions import candidate, current, newest_number, say_left_behind
from .trial import Corrected, Trial


class Desk(Protocol):
    """Where corrections wait: `serve.client.Client`."""

    def lease(self, prompt: str, limit: int | None = None, per_label: int = 1) -> dict[str, Any]:
        """Borrow the oldest of a prompt's."""
        ...

    def settle(self, lease: str, outcome: Any) -> int:
        """Say what became of them."""
        ...


def correct(
    registry: Registry, name: str, desk: Desk, at_least: int, margin: float, settings: Settings, show: Show
) -> Corrected:
    """Learn the corrections of a prompt that wait, and publish a candidate; what is refused goes on waiting.

    Raises:
        Refused: the corrections are not learned, or too much of what was known is lost; see `gate`.
        InvalidSpec: the prompt is not one that learns on.
        Conflict: another version was published meanwhile, or the loan ran out.
    """
    after = newest_number(registry, name)
    version = corrigible(registry, name)
    lent = desk.lease(name, per_label=MINIMUM)
    rows = lent["rows"]
    if lent["lease"] is None:
        return Corrected(None, version.reference, 0, 0, 0, 0.0, 0.0)
    until = datetime.fromisoformat(lent["until"])
    with _settled(desk, lent["lease"], until) as outcome:
        if done := _learned_before(registry, name, lent["lease"]):
            show.say(f"{done} has learned these corrections, and its server was not told")
            outcome.append("learned")
            return Corrected(done, version.reference, len(rows), 0, 0, 0.0, 0.0)
        if len(rows) < at_least:
            return Corrected(None, version.reference, len(rows), 0, 0, 0.0, 0.0)
        say_left_behind(registry, version, show)
        trial = Trial(registry, version, after, rows, settings, show)
        found, learned = trial.run()
        trial.check(found, learned, margin)
        if datetime.now(UTC) >= until:
            raise Conflict(
                "the loan of the corrections ran out; nothing is published", hint=f"promptctl correct {name}"
            )
        reference = trial.publish(learned, found, lent["lease"])
        outcome.append("learned")
    return replace(found, version=reference)


def _learned_before(registry: Registry, name: str, lease: str) -> str | None:
    """The version that a loan was learned in, by a process that could not say so any more."""
    learned = (one for one in registry.versions(name) if one.state == "READY" and _training(one).get("lease") == lease)
    return next((one.reference for one in learned), None)


def _training(version: Version) -> dict[str, Any]:
    found: Any = version.card.get("training", {})
    return found


@contextmanager
def _settled(desk: Desk, lease: str, until: datetime) -> Iterator[list[str]]:
    """Whatever happens, the server comes to know it; what was not learned waits on.

    A loan that ran out has given its rows back by itself; those that were learned come again as the same loan.
    """
    outcome: list[str] = []
    try:
        yield outcome
    finally:
        with suppress(LookupError, ValueError):  # nobody knows the loan any more, or it was settled otherwise
            if outcome or datetime.now(UTC) < until:
                desk.settle(lease, outcome[0] if outcome else "returned")


def corrigible(registry: Registry, name: str) -> Version:
    """The version that corrections are learned into: the one in production, with what was corrected since.

    Raises:
        InvalidSpec: there is no such prompt, it does not learn on, or a single version is named.
    """
    if (prompt := parse(name).prompt) != name:
        raise InvalidSpec(
            f"corrections wait for a prompt, not for one version of it: {name}", hint=f"promptctl correct {prompt}"
        )
    try:
        version = current(registry, name)
    except NotFound:
        raise InvalidSpec(
            f"prompt {name!r} has no version to correct", hint="train one: --method coda --name NAME"
        ) from None
    version = candidate(registry, version)
    if version.card.get("method") != "coda":
        raise InvalidSpec(
            f"{version.reference} is of {version.card.get('method')}, which does not learn on",
            hint="train it on its corrected rows, or use promptctl train --method coda",
        )
    return version
