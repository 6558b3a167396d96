"""What a gate is: bounds that somebody wrote in a policy, and a judgement of a version by them."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..specs import Spec

if TYPE_CHECKING:
    from ..promotion.evidence import Evidence


@dataclass(frozen=True)
class Judgement:
    """Whether a version passes: the numbers by name, the limit that they are compared with, and a sentence."""

    passed: bool
    numbers: Mapping[str, float]
    limit: float
    sentence: str


@dataclass(frozen=True)
class Result:
    """A gate's judgement under the gate's name."""

    name: str
    passed: bool
    numbers: Mapping[str, float]
    limit: float
    sentence: str


class Gate(Spec):
    """One gate; its fields are the keys of its table in a policy."""

    @property
    @abstractmethod
    def limit(self) -> float:
        """The number that decides."""

    @abstractmethod
    def judge(self, evidence: "Evidence") -> Judgement:
        """Look at the evidence.

        Raises:
            OrchestratorError, MethodError: there is nothing to judge by, which is no pass.
        """
