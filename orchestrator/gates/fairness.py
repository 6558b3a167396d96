"""The fairness gate: rows of every group must be answered about as well."""

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ..errors import InvalidSpec
from .gate import Gate, Judgement

if TYPE_CHECKING:
    from ..promotion.evidence import Evidence


class Fairness(Gate):
    """The largest difference of `metric` between groups of held-out rows: `at_most`.

    A group is the rows with the same value of a `column` of the held-out file; one of fewer than so many `rows` is left
    out, because it says nothing. The values are counted and never named.
    """

    column: str
    at_most: float = Field(ge=0, le=1)
    metric: str | None = None
    rows: int = Field(default=20, ge=1)

    @property
    def limit(self) -> float:
        """The number that decides."""
        return self.at_most

    def judge(self, evidence: "Evidence") -> Judgement:
        """Answer the held-out rows, and compare the groups."""
        metric, scores = evidence.metric(self.metric), evidence.scores(evidence.version)
        values = evidence.column(self.column)
        groups = [np.array([value == one for value in values]) for one in sorted({*values} - {None}, key=str)]
        large = [group for group in groups if group.sum() >= self.rows]
        if len(large) < 2:
            raise InvalidSpec(
                f"the held-out rows have {len(large)} groups of {self.rows} rows or more by column {self.column!r};"
                " it takes two to compare"
            )
        found = [scores.among(group).metrics()[metric] for group in large]
        gap, low, high = max(found) - min(found), min(found), max(found)
        counted = int(sum(group.sum() for group in large))
        numbers = {"difference": gap, "lowest": low, "highest": high, "groups": len(large), "rows": counted}
        passed = gap <= self.at_most
        said = (
            f"{metric} is {low:.3f} to {high:.3f} in {len(large)} groups by {self.column!r},"
            f" a difference of {gap:.3f}, {'no more' if passed else 'more'} than {self.at_most:g}"
        )
        return Judgement(passed, numbers | {"left_out": len(values) - counted}, self.limit, said)
