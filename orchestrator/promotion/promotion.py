"""A promotion: gates first, then one transaction that checks once more what was decided and moves all or nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from registry import AliasEvent, Clearance, Conflict, Move, Registry
from registry.references import parse

from ..errors import InvalidSpec, Refused
from ..settings import Settings
from .acting import acting
from .policy import Policies, policies
from .review import Case, Report, reviewed

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """Why aliases are to move; `force` makes them move although gates refuse it, and needs the reason."""

    reason: str = ""
    force: bool = False
    dry_run: bool = False


def promote(registry: Registry, settings: Settings, moves: Sequence[Move], wish: Wish, say: Say) -> list[AliasEvent]:
    """Make all moves, or none; what no policy is about moves as it is.

    A canary passes the same gates and approvals as a full promotion: it answers users. A shadow answers nobody, and
    what ends a canary or goes back brings nobody anything new; these pass none.

    Raises:
        Refused: gates are not passed, or approvals are missing; with the numbers.
        Conflict: the alias or the policy changed while the gates ran.
        NotAllowed: a token's holder forces it who is no promoter.
    """
    if wish.force and not wish.reason.strip():
        raise InvalidSpec("--force needs a reason", hint='--force --reason "why"')
    rules = policies(settings)
    cases = {place: case for place, move in enumerate(moves) if (case := _case(registry, rules, move, say))}
    if cases or wish.force:  # what makes no sense is refused before gates run
        registry.promote(moves, actor=settings.actor, reason=wish.reason, dry_run=True)
    actor = acting(settings, "promoter", "--force") if wish.force else settings.actor
    reports = reviewed(registry, list(cases.values()))
    kept: dict[str, str] = {}
    if not wish.dry_run:
        kept = {one.case.line: registry.reviews.record(one.findings, actor=actor).hash for one in reports}
    _tell(reports, wish, say)
    forced = {one.case.line for one in reports if one.refusals}
    now, cleared = policies(settings), list(moves)
    for place, case in cases.items():
        if now.about(case.version.name, case.alias) != case.policy:
            raise Conflict(
                f"the policy about {case.line} was changed while its gates ran", hint="give the command again"
            )
        cleared[place] = _cleared(moves[place], case, kept.get(case.line), case.line in forced)
    return registry.promote(cleared, actor=actor, reason=wish.reason, dry_run=wish.dry_run)


def _cleared(move: Move, case: Case, report: str | None, forced: bool) -> Move:
    """The move of exactly what was judged, from exactly where the alias was."""
    clearance = Clearance(
        policy=case.policy.digest,
        baseline=case.baseline and case.baseline.number,
        report=report,
        forced=forced,
        approvals=case.policy.approvals if case.judged else 0,
        approvers=case.policy.approvers,
    )
    return replace(move, reference=case.version.reference, expected_generation=case.generation, clearance=clearance)


def of_run(registry: Registry, run_id: str) -> list[str]:
    """References to everything that a run published.

    Raises:
        Conflict: it has not succeeded.
        NotFound: there is no such run.
    """
    run = registry.run(run_id)
    if run.status != "SUCCEEDED":
        raise Conflict(
            f"run {run_id} is {run.status}, so what it has published may not be all",
            hint=f"promptctl train --resume {run_id}",
        )
    return [version.reference for version in registry.versions_of(run_id)]


def _case(registry: Registry, rules: Policies, move: Move, say: Say) -> Case | None:
    """The move as something to be judged; none where no policy is about it, or nobody gets to see it."""
    name = parse(move.reference).prompt
    policy = rules.about(name, move.alias)
    last = next((one for one in registry.aliases(name) if one.alias == move.alias), None)
    if policy is None:
        if last is not None and last.report:
            say(
                f"{name}@{move.alias} moved by gates before, and no policy here is about it: no gate looks at this move"
            )
        return None
    if move.shadow or move.percent == 0:
        return None
    version = registry.resolve(move.reference)
    there = last is not None and (last.new, last.candidate) == (version.number, None)
    baseline = registry.resolve(f"{name}:{last.new}") if last else None
    return Case(version, move.alias, baseline, last.generation if last else 0, policy, judged=not there)


def _tell(reports: Sequence[Report], wish: Wish, say: Say) -> None:
    """Say what every gate said; what refuses is in the error, unless it is forced.

    Raises:
        Refused: one is not passed, and nobody forces it.
    """
    for report in reports:
        for one in report.results if wish.force else [one for one in report.results if one.passed]:
            say(f"{report.case.version.reference} {'passes' if one.passed else 'FAILS'} {one.name}: {one.sentence}")
    failed = [report for report in reports if report.refusals]
    if failed and wish.force:
        say(f"forced by --force; kept in promptctl audit list: {wish.reason}")
    if not failed or wish.force:
        return
    said = [
        f"{report.case.version.reference} may not go to {report.case.line}: "
        + "; ".join(f"{one.name}: {one.sentence}" for one in report.refusals)
        for report in failed
    ]
    raise Refused("\n".join(said), hint="\n".join(_next(failed[0].case, [one.case for one in failed])))


def _next(case: Case, cases: Sequence[Case]) -> list[str]:
    """What to do about a refusal."""
    references = " ".join(one.version.reference for one in cases)
    look = [f"promptctl prompt diff {case.baseline.reference} {case.version.reference}"] if case.baseline else []
    to = "" if case.alias == "production" else f" --to {case.alias}"
    return [
        *look,
        f"promptctl prompt gates {case.version.reference}",
        f'promptctl promote {references}{to} --force --reason "..."  (a promoter\'s; it shows in the audit)',
    ]
