"""The data gate: no version that learned from fewer rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from .gate import Gate, Judgement

if TYPE_CHECKING:
    from ..promotion.evidence import Evidence


class Data(Gate):
    """`rows` that the version was trained on, by its card's data fingerprint, at least."""

    rows: int = Field(gt=0)

    @property
    def limit(self) -> float:
        """The number that decides."""
        return self.rows

    def judge(self, evidence: "Evidence") -> Judgement:
        """Add up the training rows of every task and session."""
        rows = sum(map(_training_rows, evidence.card("data").values()))
        passed = rows >= self.rows
        said = f"{rows} training rows are {'at least' if passed else 'fewer than'} {self.rows}"
        return Judgement(passed, {"rows": rows}, self.limit, said)


def _training_rows(entry: Mapping[str, object]) -> int:
    """Of one entry of a data fingerprint; corrections have one number, tasks one for each split."""
    match entry:
        case {"rows": int(rows)} | {"rows": {"train": int(rows)}}:
            return rows
    return 0
