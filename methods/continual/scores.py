"""What a stream's accuracy matrix comes down to, under the names that papers give the numbers.

a[i][n] is the accuracy on session n's test rows after session i, over all labels known by then. The papers' numbers of
one name differ, so each is named here: `F (paper)` is that of Smith et al. (2023), section 5, `F (code)` what their
released code computes, `F (max)` that of Chaudhry et al. (2018), "Riemannian Walk", section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scores:
    """In the unit of the matrix; N sessions of `rows` test rows each."""

    a_n: float  # mean accuracy after the last session
    caa: float  # mean over sessions i of the mean accuracy after i
    f_code: float | None  # none of these for a single session
    f_paper: float | None
    f_max: float | None
    bwt: float | None  # mean change from right after a session to the end

    @classmethod
    def of(cls, matrix: Sequence[Sequence[float]], rows: Sequence[int]) -> "Scores":
        """Those of a lower triangle: matrix[i] has i + 1 numbers."""
        last, count = matrix[-1], len(matrix)
        if [len(row) for row in matrix] != list(range(1, count + 1)) or len(rows) != count:
            raise ValueError("a matrix of N sessions has rows of 1, 2 .. N numbers")
        means = [sum(row) / len(row) for row in matrix]
        if count == 1:
            return cls(last[0], means[0], None, None, None, None)
        earlier, between = range(count - 1), range(1, count)
        code = sum(sum(matrix[t - 1][n] - matrix[t][n] for n in range(t)) / t for t in between)
        paper = sum(rows[n] / sum(rows[: t + 1]) * (matrix[n][n] - matrix[t][n]) for t in between for n in range(t))
        falls = [max(matrix[t][n] for t in range(n, count - 1)) - last[n] for n in earlier]
        return cls(
            a_n=means[-1],
            caa=sum(means) / count,
            f_code=code / (count - 1),
            f_paper=paper / (count - 1),
            f_max=sum(falls) / (count - 1),
            bwt=sum(last[n] - matrix[n][n] for n in earlier) / (count - 1),
        )

    def named(self) -> dict[str, float | None]:
        """By the names that are shown."""
        return {
            "A_N": self.a_n,
            "CAA": self.caa,
            "F (code)": self.f_code,
            "F (paper)": self.f_paper,
            "F (max)": self.f_max,
            "BWT": self.bwt,
        }
