"""What a ridge head needs of rows: sums over all of them, which add up over sessions and hold no row.

W = (G + ridge * I)^-1 S with G the sum of f f^T and S the sum of each label's features f. Sums of sessions give exactly
what all rows together give (Zhuang et al., 2022, "ACIL", theorem 1; RanPAC, section 3.3). A sum of few rows
would be near to a row, so a session needs `minimum` rows of every label.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InvalidRow
from .learned import Session

MINIMUM = 3  # rows of a label in one session


@dataclass(frozen=True)
class Statistics:
    """Sums over rows, in double precision; kept in single precision and without the half that mirrors the other."""

    gram: Tensor  # [R, R]
    sums: Tensor  # [C, R]
    counts: Tensor  # [C], rows

    @classmethod
    def of(cls, features: Iterator[tuple[Tensor, Tensor]], labels: int, size: int) -> "Statistics":
        """The sums over batches of features [b, R] and labels [b]."""
        gram, sums = torch.zeros(size, size, dtype=torch.float64), torch.zeros(labels, size, dtype=torch.float64)
        counts = torch.zeros(labels, dtype=torch.int64)
        for some, label in features:
            rows = some.double().cpu()
            gram += rows.T @ rows
            sums.index_add_(0, label.cpu(), rows)
            counts += label.cpu().bincount(minlength=labels)
        return cls(gram, sums, counts)

    @classmethod
    def kept(cls, factors: Mapping[str, Tensor]) -> "Statistics":
        """The inverse of `factors`."""
        sums, size = factors["sums"].double(), factors["sums"].shape[1]
        gram = torch.zeros(size, size, dtype=torch.float64)
        above = torch.triu_indices(size, size)
        gram[above[0], above[1]] = factors["gram"].double()
        return cls(gram + gram.T - gram.diag().diag(), sums, factors["counts"])

    def factors(self) -> dict[str, Tensor]:
        """What a version keeps beside its head; never served."""
        above = torch.triu_indices(len(self.gram), len(self.gram))
        return {"gram": self.gram[above[0], above[1]].float(), "sums": self.sums.float(), "counts": self.counts}

    def plus(self, other: "Statistics") -> "Statistics":
        """Over the rows of both; the other's further labels come behind."""
        sums, counts = other.sums.clone(), other.counts.clone()
        sums[: len(self.sums)] += self.sums
        counts[: len(self.counts)] += self.counts
        return Statistics(self.gram + other.gram, sums, counts)

    def times(self, weight: float) -> "Statistics":
        """As if every row had come so often; they are as many as before."""
        return Statistics(self.gram * weight, self.sums * weight, self.counts)

    def solved(self, ridge: float) -> Tensor:
        """The regression of each label [C, R]."""
        weight = torch.linalg.solve(self.gram + ridge * torch.eye(len(self.gram), dtype=torch.float64), self.sums.T)
        return weight.T.float().contiguous()


def check_enough(session: Session) -> None:
    """Refuse a session whose sums would be near to a row.

    Raises:
        InvalidRow: saying how many labels have too few rows.
    """
    counts = Counter(example.label for example in session.examples)
    labels = len(session.labels)
    if short := sum(counts[place] < MINIMUM for place in range(labels)):
        raise InvalidRow(
            f"{short} of {labels} labels have fewer than {MINIMUM} rows; sums of so few would be near to a row",
            hint="wait for more rows of each label, or train with --set head=sessions",
        )
