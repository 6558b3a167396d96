"""The forgetting gate: a prompt that learns on must still know its earlier sessions."""

from typing import TYPE_CHECKING

from pydantic import Field

from .gate import Gate, Judgement

if TYPE_CHECKING:
    from ..promotion.evidence import Evidence


class Forgetting(Gate):
    """The fall of accuracy on the held-out rows of the sessions that the current version knows: at most `margin`.

    It is the rule by which corrections are published (`continual.gate`): `margin` over all rows together, ten times
    that, or one row, in a single session. Without a current version it is the one that this one was made from.
    """

    margin: float = Field(ge=0, le=1)

    @property
    def limit(self) -> float:
        """The number that decides."""
        return self.margin

    def judge(self, evidence: "Evidence") -> Judgement:
        """Count right answers before and after, session by session."""
        from ..continual.gate import falls, together

        if (before := evidence.before()) is None:
            return Judgement(True, {}, self.limit, "there is nothing that it could have forgotten")
        sessions = evidence.held(before)
        every = together(sessions)
        numbers = {"rows": every.rows, "right_before": every.before, "right": every.after, "sessions": len(sessions)}
        if fallen := falls(sessions, self.margin):
            return Judgement(False, numbers, self.limit, "; ".join(map(str, fallen)))
        said = f"right answers {every} on {len(sessions)} sessions, no fall of more than {self.margin:g}"
        return Judgement(True, numbers, self.limit, said)
