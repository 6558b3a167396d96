"""Running the gates of a policy on a version, before any transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from registry import Registry, Version
from registry.guard import refuse_inside_write
from registry.review.reports import Findings

from ..errors import OrchestratorError
from ..gates import Gate, Judgement, Result
from .evidence import Evidence
from .policy import Policy

NOTHING_TO_JUDGE_BY = ("invalid", "not_found")  # codes of errors that are no pass; others end the command


@dataclass(frozen=True)
class Case:
    """A version that is to be named by an alias, and the policy that is about it.

    `generation` is where the alias was, and what it names already is not `judged` again.
    """

    version: Version
    alias: str
    baseline: Version | None
    generation: int
    policy: Policy
    judged: bool = True

    @property
    def line(self) -> str:
        """The alias as people write it."""
        return f"{self.version.name}@{self.alias}"


@dataclass(frozen=True)
class Report:
    """What each gate said of a case."""

    case: Case
    results: Sequence[Result]

    @property
    def refusals(self) -> list[Result]:
        """The gates that were not passed."""
        return [result for result in self.results if not result.passed]

    @property
    def findings(self) -> Findings:
        """What is kept of it: numbers."""
        details = {
            one.name: {"passed": one.passed, "limit": one.limit, "numbers": dict(one.numbers)} for one in self.results
        }
        case = self.case
        baseline = case.baseline and case.baseline.number
        return Findings(case.version, case.alias, case.policy.digest, baseline, not self.refusals, details)


def reviewed(registry: Registry, cases: Sequence[Case]) -> list[Report]:
    """A report for each case that is judged and whose policy has gates; each backbone is loaded once."""
    refuse_inside_write("running gates")

    @cache
    def load(name: str, device: str) -> object:
        from methods import Backbone

        return Backbone.load(name, device)

    reports = []
    for case in cases:
        if case.judged and (gates := case.policy.asked):
            evidence = Evidence(registry, case.version, case.baseline, load)  # pyright: ignore[reportArgumentType] - a backbone, imported late
            reports.append(Report(case, [_judged(name, gate, evidence) for name, gate in gates.items()]))
    return reports


def _judged(name: str, gate: Gate, evidence: Evidence) -> Result:
    from methods import MethodError

    try:
        found = gate.judge(evidence)
    except (OrchestratorError, MethodError) as error:
        if getattr(error, "code", None) not in NOTHING_TO_JUDGE_BY:
            raise
        found = Judgement(False, {}, gate.limit, f"nothing to judge by: {error}")
    return Result(name, found.passed, found.numbers, found.limit, found.sentence)
