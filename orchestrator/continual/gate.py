"""What corrections must reach, and may break, before they are published."""

from collections.abc import Mapping
from dataclasses import dataclass

from methods.continual.correcting import ENOUGH

from ..errors import Refused

WIDER = 10  # times the margin: what a single session may lose, whose few rows are noisier than all together


@dataclass(frozen=True)
class Held:
    """Held-out rows, and how many of them are answered rightly before and after."""

    rows: int
    before: int
    after: int

    @property
    def share(self) -> float:
        """By how much the accuracy falls."""
        return (self.before - self.after) / self.rows if self.rows else 0.0

    def __str__(self) -> str:
        return f"from {self.before} to {self.after} of {self.rows}"


@dataclass(frozen=True)
class Fall:
    """Rows whose accuracy falls by more than is allowed."""

    what: str
    held: Held
    allowed: float

    def __str__(self) -> str:
        return f"{self.what}: right answers fall {self.held}, which is more than {self.allowed:g} of them"


def together(sessions: Mapping[str, Held]) -> Held:
    """The rows of all sessions."""
    sums = [sum(column) for column in zip(*(vars(one).values() for one in sessions.values()), strict=True)]
    return Held(*sums or (0, 0, 0))


def falls(sessions: Mapping[str, Held], margin: float, others: Held | None = None) -> list[Fall]:
    """Where more is lost than the margin allows: over all held-out rows, over `others`, or in a single session.

    A single session may lose `WIDER` margins, or one row where that is more.
    """
    every = {"the held-out rows of all sessions": together(sessions)}
    every |= {"those of labels that nobody corrected": others} if others else {}
    found = [Fall(what, one, margin) for what, one in every.items() if one.share > margin]
    return found + [
        Fall(f"session {name}", one, WIDER * margin)
        for name, one in sessions.items()
        if one.share > WIDER * margin and one.before - one.after > 1
    ]


def check(right: int, corrections: int, sessions: Mapping[str, Held], others: Held, margin: float) -> None:
    """Let through what learned the corrections and kept the rest.

    Over all held-out rows, and over those of labels that nobody corrected, the accuracy may fall by the margin; that of
    a single session by `WIDER` margins, or by one row where that is more.

    Raises:
        Refused: saying what fell, and by how much; also where there is no held-out row.
    """
    if not together(sessions).rows:
        raise Refused(
            "no held-out row of an earlier session is here, so nothing shows what the corrections would break",
            hint="the corrections wait on; promptctl task add",
        )
    if right < ENOUGH * corrections:
        raise Refused(
            f"{right} of {corrections} corrections are right, not {ENOUGH:.0%}; nothing is published",
            hint="they wait on; correct more rows of the same labels, or look whether they contradict each other",
        )
    for fall in falls(sessions, margin, others):
        raise Refused(
            f"{fall}; nothing is published",
            hint="the corrections wait on; allow more with --margin, or send more of them",
        )
