"""The control gate: a prompt must beat the head alone."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..errors import InvalidSpec
from .gate import Gate, Judgement

if TYPE_CHECKING:
    from ..promotion.evidence import Evidence


class Control(Gate):
    """How much higher `metric` is than the head-only control's: more than `margin`.

    The control is the `version` that is named, answering the same held-out rows, and then the lower end of the
    interval counts; without one it is what the run that trained the version wrote into its card.
    """

    margin: float = Field(default=0.0, ge=-1, le=1)
    metric: str | None = None
    version: str | None = None

    @property
    def limit(self) -> float:
        """The number that decides."""
        return self.margin

    def judge(self, evidence: "Evidence") -> Judgement:
        """Compare with the control."""
        metric = evidence.metric(self.metric)
        if self.version is not None:
            compared = evidence.compared(evidence.resolved(self.version), metric)
            passed = compared.low > self.margin
            said = f"{compared}: {'' if passed else 'not '}shown to be more than {self.margin:g} above the control"
            return Judgement(passed, compared.numbers, self.limit, said)
        metrics: Any = evidence.card("metrics")
        own, control = metrics.get(metric), metrics.get(f"control_{metric}")
        if own is None or control is None:
            raise InvalidSpec("its card has no head-only control", hint='name one: control = { version = "NAME:1" }')
        passed = own - control > self.margin
        said = f"{metric} {own:.3f} against {control:.3f} of the head alone, {own - control:+.3f}: "
        said += f"{'' if passed else 'not '}more than {self.margin:g} above"
        return Judgement(passed, {metric: own, f"control_{metric}": control}, self.limit, said)
