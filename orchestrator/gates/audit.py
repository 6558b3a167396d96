"""The audit gate: no version whose rows an attack finds."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from .gate import Gate, Judgement

if TYPE_CHECKING:
    from ..promotion.evidence import Evidence

IN_CARD = "audit_auc"  # a metric that a pipeline may have put into the card


class Audit(Gate):
    """The area under the ROC curve of the attack of `promptctl privacy audit` on trainings like this: `at_most`.

    A card that has the metric `audit_auc` is believed; any other version is attacked now, with so many `shadows`.
    """

    at_most: float = Field(ge=0.5, le=1)
    shadows: int = Field(default=8, ge=4)

    @property
    def limit(self) -> float:
        """The number that decides."""
        return self.at_most

    def judge(self, evidence: "Evidence") -> Judgement:
        """Read it, or attack."""
        known: Any = evidence.card("metrics").get(IN_CARD)
        numbers = {"auc": float(known)} if known is not None else evidence.attacked(self.shadows)
        passed = numbers["auc"] <= self.at_most
        said = f"the attack's AUC {numbers['auc']:.3f} is {'no more' if passed else 'more'} than {self.at_most:g}"
        return Judgement(passed, numbers, self.limit, said)
