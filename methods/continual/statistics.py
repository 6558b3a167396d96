"""What a ridge head needs of rows: sums over all of them, which add up over sessions.

W = (G + ridge * I)^-1 S with G the sum of f f^T and S the sum of each label's features f. Sums of sessions give exactly
what all rows together give (Zhuang et al., 2022, "ACIL", theorem 1; RanPAC, section 3.3). A row that comes twice counts
twice, so that this holds for any split.

Sums hold no text, and yet tell much. Two consecutive versions and the backbone give the features of a session of few
rows: the difference of their G has the span of those rows. While there are fewer rows than features, one version tells
whether a given text was among them. Features are embeddings, and most short texts can be read out of those (Morris et
al., 2023, "Text Embeddings Reveal (Almost) As Much As Text"). So files with these sums are to be guarded like the rows.
A session needs `MINIMUM` different rows of every label; that keeps a sum from being one row, and no more than that.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InvalidRow
from .learned import Session

MINIMUM = 3  # different rows of a label in one session


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
    """Refuse a session with a sum of too few rows; equal ones are one here, however often they come.

    Raises:
        InvalidRow: saying how many labels have too few rows.
    """
    different = {(one.label, *one.input_ids, -1, *one.token_type_ids) for one in session.examples}
    counts = Counter(label for label, *_ in different)
    labels = len(session.labels)
    if short := sum(counts[place] < MINIMUM for place in range(labels)):
        raise InvalidRow(
            f"{short} of {labels} labels have fewer than {MINIMUM} different rows; a sum of so few is near to a row",
            hint="wait for more rows of each label, or train with --set head=sessions",
        )
