"""The regression gate: a version must be shown to be no worse than the one that it replaces, but for a margin."""

from typing import TYPE_CHECKING

from pydantic import Field

from .gate import Gate, Judgement

if TYPE_CHECKING:
    from ..promotion.evidence import Evidence

LEAST = 30  # rows, below which a bootstrap says nothing


class Regression(Gate):
    """The fall of `metric` against the alias's current version on the same held-out rows: at most `margin`.

    It has to be shown, not only not disproved: what counts is the lower end of the 95% interval of the difference, by a
    paired bootstrap. So few rows refuse a version that many would let through; the sentence says which of both it is.
    """

    margin: float = Field(ge=0, le=1)
    metric: str | None = None

    @property
    def limit(self) -> float:
        """The number that decides."""
        return -self.margin

    def judge(self, evidence: "Evidence") -> Judgement:
        """Answer the held-out rows with both versions."""
        if evidence.baseline is None:
            return Judgement(True, {}, self.limit, "there is no current version to fall behind")
        metric = evidence.metric(self.metric)
        compared = evidence.compared(evidence.baseline, metric)
        numbers, rows = compared.numbers, compared.rows
        enough = rows >= LEAST or evidence.baseline.digest == evidence.version.digest
        passed = enough and compared.low >= -self.margin
        if passed:
            said = f"{compared}, no fall of more than {self.margin:g}"
        elif not enough:
            said = f"{compared}; {rows} rows are too few to tell, {LEAST} are the least"
        elif compared.value < -self.margin:
            said = f"{compared}: a fall of more than {self.margin:g}"
        else:
            said = f"{compared}: {rows} rows do not rule out a fall of more than {self.margin:g}"
        return Judgement(passed, numbers, self.limit, said)
