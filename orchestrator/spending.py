"""What a private run spends: planned before it starts, kept in the cards of its versions, added up along --from.

The unit is a row. Budgets add up by sequential composition: the epsilons and deltas of all runs that a version comes
from, each run once. That is right where their rows are the same people's, and more than needed where they are not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import methods
from methods.privacy.accounting import ACCOUNTANT, calibrated, spent
from methods.privacy.accounting import Mechanism as Noise
from methods.privacy.training import sample_rate, steps_per_epoch
from registry import Version

from .errors import InvalidSpec
from .specs import RunSpec, Spec

PHASES = 2  # the control and the method: the control's metrics stand in the card, so its steps count


class Budget(Spec):
    """Differential privacy's epsilon and delta."""

    epsilon: float
    delta: float


class Spending(Spec):
    """The budget of one run and of those before it; `dp` of a card's training."""

    epsilon: float
    delta: float
    noise_multiplier: float
    clip: float
    sample_rate: float
    steps: int  # of all phases
    accountant: str
    runs: dict[str, Budget]  # this one and those that it comes from, by their ids
    total: Budget  # their sum
    uncounted: tuple[str, ...]  # versions that it starts from and that were trained without a budget

    @property
    def noise(self) -> Noise:
        """What every step does."""
        return Noise(self.noise_multiplier, self.clip, self.sample_rate)


def planned(spec: RunSpec, rows: int, run_id: str, origins: Sequence[Version]) -> Spending | None:
    """The noise that keeps a run of so many rows within its budget; none without one.

    Raises:
        InvalidSpec: a method whose steps no noise can cover.
        InvalidSetting: a budget that no noise keeps.
    """
    if spec.dp_epsilon is None or spec.dp_delta is None:
        return None
    _check(methods.method(spec.method, spec.hyperparameters))
    rate = sample_rate(rows, spec.batch_size)
    steps = PHASES * spec.epochs * steps_per_epoch(rows, spec.batch_size)
    noise = calibrated(spec.dp_epsilon, spec.dp_delta, rate, steps)
    own = Budget(epsilon=spent(noise, steps, spec.dp_delta), delta=spec.dp_delta)
    earlier = {version.reference: recorded(version.card) for version in origins}
    runs = {run: budget for one in earlier.values() if one for run, budget in one.runs.items()} | {run_id: own}
    return Spending(
        epsilon=own.epsilon,
        delta=own.delta,
        noise_multiplier=noise.noise_multiplier,
        clip=noise.clip,
        sample_rate=noise.sample_rate,
        steps=steps,
        accountant=ACCOUNTANT,
        runs=runs,
        total=_sum(runs),
        uncounted=tuple(reference for reference, one in earlier.items() if one is None),
    )


def recorded(card: Mapping[str, Any]) -> Spending | None:
    """What a version's card says that it spent; none where it was trained without a budget."""
    found = (card.get("training") or {}).get("dp")
    return found and Spending.model_validate(found)


def mixed(cards: Mapping[str, Mapping[str, Any]]) -> Spending | None:
    """What a mix of versions has spent, by their references: nothing itself, and all that its parents have.

    None where no parent has a budget, and so nothing is bounded.
    """
    earlier = {reference: recorded(card) for reference, card in cards.items()}
    known = [one for one in earlier.values() if one]
    if not known:
        return None
    runs = {run: budget for one in known for run, budget in one.runs.items()}
    uncounted = {name for one in known for name in one.uncounted} | {name for name, one in earlier.items() if not one}
    nothing = {"epsilon": 0.0, "delta": 0.0, "noise_multiplier": 0.0, "clip": 0.0, "sample_rate": 0.0, "steps": 0}
    return Spending.model_validate(
        nothing | {"accountant": ACCOUNTANT, "runs": runs, "total": _sum(runs), "uncounted": sorted(uncounted)}
    )


def _sum(runs: Mapping[str, Budget]) -> Budget:
    return Budget(epsilon=sum(one.epsilon for one in runs.values()), delta=sum(one.delta for one in runs.values()))


def _check(method: methods.Method) -> None:
    if getattr(method, "distillation", 0):
        raise InvalidSpec("--dp-epsilon: a teacher learns from the same rows", hint="--set distillation=0")
    if getattr(method, "sampling", "every-row") != "every-row":
        raise InvalidSpec(
            "--dp-epsilon: rows are drawn one by one, not by their tasks", hint="--set sampling=every-row"
        )
