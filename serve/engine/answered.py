"""A row on its way, and what comes of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from methods import Answer, Row
from registry import Version

from ..routing.snapshot import Served
from ..routing.split import Arm


@dataclass(frozen=True)
class Asked:
    """A row, what answers it, and where it stands, for the error that names it."""

    where: str
    served: Served
    row: Row


@dataclass(frozen=True)
class Answered:
    """An answer, the version it came from, and the epoch of the snapshot that the version was found in."""

    version: Version
    epoch: int
    answer: Answer
    arm: Arm | None = None


@dataclass(frozen=True)
class Embedded:
    """A row as a vector [H], the version through which it is seen, and how many tokens it has."""

    version: Version
    epoch: int
    vector: NDArray[np.float64]
    tokens: int
