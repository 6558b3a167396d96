"""The floor gate: a metric on the held-out rows that a version must reach."""

from typing import TYPE_CHECKING

from pydantic import Field

from .gate import Gate, Judgement

if TYPE_CHECKING:
    from ..promotion.evidence import Evidence


class Floor(Gate):
    """`metric` on the held-out rows, unless named the one that the task is judged by: `at_least`."""

    at_least: float = Field(ge=0, le=1)
    metric: str | None = None

    @property
    def limit(self) -> float:
        """The number that decides."""
        return self.at_least

    def judge(self, evidence: "Evidence") -> Judgement:
        """Answer the held-out rows."""
        metric = evidence.metric(self.metric)
        scores = evidence.scores(evidence.version)
        value, rows = scores.metrics()[metric], len(scores.values)
        passed = value >= self.at_least
        said = f"{metric} {value:.3f} on {rows} held-out rows is {'at least' if passed else 'under'} {self.at_least:g}"
        return Judgement(passed, {metric: value, "rows": rows}, self.limit, said)
