"""The epsilon gate: no version that spent more of its rows' privacy."""

from typing import TYPE_CHECKING

from pydantic import Field

from .gate import Gate, Judgement

if TYPE_CHECKING:
    from ..promotion.evidence import Evidence


class Epsilon(Gate):
    """Differential privacy's epsilon of all runs that the version comes from: `at_most`."""

    at_most: float = Field(gt=0, allow_inf_nan=False)

    @property
    def limit(self) -> float:
        """The number that decides."""
        return self.at_most

    def judge(self, evidence: "Evidence") -> Judgement:
        """Read the budget from the card; what was trained without one is bounded by nothing."""
        from ..spending import recorded

        spent = recorded(evidence.version.card)
        if spent is None:
            said = "it was trained without --dp-epsilon, so no epsilon bounds what it says of its rows"
            return Judgement(False, {}, self.limit, said)
        numbers = {"epsilon": spent.total.epsilon, "delta": spent.total.delta, "uncounted": len(spent.uncounted)}
        if spent.uncounted:
            said = f"it comes from {len(spent.uncounted)} versions without a budget, whose rows nothing bounds"
            return Judgement(False, numbers, self.limit, said)
        passed = spent.total.epsilon <= self.at_most
        said = f"epsilon {spent.total.epsilon:.3g} is {'no more' if passed else 'more'} than {self.at_most:g}"
        return Judgement(passed, numbers, self.limit, said)
