"""The ceiling: prefix-tuning on the rows of all sessions at once, which no continual method sees."""

from dataclasses import dataclass
from typing import ClassVar

from .fine_tuning import MaskedFineTuning


@dataclass(frozen=True)
class Joint(MaskedFineTuning):
    """One prefix and one head for everything."""

    name: ClassVar[str] = "joint"
    joint: ClassVar[bool] = True
