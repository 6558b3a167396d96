"""What a version gives away of its training rows, measured by attacking it and shadows of it.

Three things are attacked:
- `retrained`: the version's task trained again, each time on a random half of its training rows, with the other such
  trainings as shadows (online). Members and others differ in nothing but training, so this is the clean number; it is
  of the recipe, at half of the rows and so of the updates, and may be lower than what the version itself gives away.
- `published`: the version itself, members being its training rows and others its validation and test rows, with
  shadows that did not see the row (offline). It is of the version; but where the files differ, that counts as well:
  `files` is the same attack on shadows' unseen rows, which have nothing to give away, and has no gate.
  It does not show all: where training rows are more like each other than like held-out rows (the same names in several
  of them), the other half of them helps the version with each, as if it knew the row.
- `canaries`: nonsense put among the halves, and how exposed it is afterwards.
Rows that are alike count as one, which is trained on as often as it is there; a training row is no held-out row.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from methods.privacy.canaries import Canaries
from methods.privacy.confidence import confidence, losses
from methods.privacy.discrimination import Estimate, discrimination, mean
from methods.privacy.membership import Scores, halves, published, retrained, unseen
from registry import Registry

from .answering import Ready
from .audited import Rows
from .errors import OrchestratorError
from .shadows import Recipe
from .tasks import find

SEED = 0  # of halves, canaries and intervals: a version is audited in the same way each time

Floats = NDArray[np.float64]


class GateNotMet(OrchestratorError, RuntimeError):
    """A version that gives away more than a gate allows."""

    code: ClassVar[str] = "refused"


@dataclass(frozen=True)
class Gates:
    """The most that is allowed."""

    auc: float = 0.60
    tpr: float = 0.03  # at 1% false positives
    exposure: float = 3.0  # bits


@dataclass(frozen=True)
class Measure:
    """One number and its 95% confidence interval; the gate is on the number itself."""

    measure: str
    of: str
    value: float
    low: float
    high: float
    limit: float | None
    met: bool | None
    scores: int  # how many of the attack's, or canaries


def audit(
    registry: Registry, version: Ready, shadows: int, watched: int | None, gates: Gates, say: Callable[[str], None]
) -> list[Measure]:
    """Attack a version with so many shadows; `watched` is how many rows of each side are scored, all without it.

    Raises:
        InvalidSpec: other files than the card's, a version whose training cannot be repeated, or too few rows.
    """
    head = version.artifact.head
    assert head is not None  # `ready` refuses a version without one
    recipe = Recipe.of(registry, version)
    rows = Rows.of(find(registry, version.task.name), version, recipe)
    drawn = np.random.default_rng(SEED)
    inside = np.hstack([halves(shadows, int(side.sum()), drawn) for side in (rows.members, ~rows.members)])
    chosen = rows.chosen(watched, drawn)
    said, exposures = _shadows(recipe, rows, inside, chosen, drawn, say)
    scored = [rows.examples[place] for place in chosen]
    target = confidence(losses(recipe.backbone, version.artifact.form, head, scored))
    members, within = rows.members[chosen], inside[:, chosen]
    found = [
        *_both("retrained", retrained(said[:, members], within[:, members]), gates, drawn),
        *_both("published", published(target, said, within, members), gates, drawn),
        *_both("files", unseen(said, within, members), None, drawn),
    ]
    if exposures.size:
        bits = mean(exposures, drawn)
        found.append(_measure("exposure_bits", "canaries", bits, gates.exposure, exposures.size))
    return found


def check(reference: str, measures: Sequence[Measure]) -> None:
    """Refuse what is above its gate.

    Raises:
        GateNotMet: naming the numbers.
    """
    over = [f"{one.measure} of {one.of} {one.value:.3g} > {one.limit:g}" for one in measures if one.met is False]
    if over:
        raise GateNotMet(
            f"{reference} gives away too much: {', '.join(over)}",
            hint="train for fewer epochs, on more rows, or with --dp-epsilon",
        )


def _shadows(
    recipe: Recipe,
    rows: Rows,
    inside: NDArray[np.bool_],
    chosen: NDArray[np.int64],
    drawn: np.random.Generator,
    say: Callable[[str], None],
) -> tuple[Floats, Floats]:
    """Every shadow's confidence in the chosen rows [S, n], and the bits of its canaries [S, c]."""
    form = recipe.start and recipe.start.form
    canaries = Canaries.of(recipe.backbone, recipe.tasks[recipe.own], form, int(rows.members.sum()) // 2, drawn)
    scored = [rows.examples[place] for place in chosen]
    said, exposures = [], []
    for shadow, half in enumerate(inside, 1):
        say(f"shadow {shadow} of {len(inside)}")
        own = [rows.examples[place] for place in np.flatnonzero(half) for _ in range(rows.counts[place])]
        planted = canaries.some(drawn)
        learned = recipe.learned([*own, *planted])
        said.append(confidence(losses(recipe.backbone, *learned, scored)))
        exposures.append(canaries.exposure(*learned, planted) if planted else np.zeros(0))
    return np.stack(said), np.stack(exposures)


def _both(of: str, scores: Scores, gates: Gates | None, drawn: np.random.Generator) -> Iterator[Measure]:
    auc, tpr = discrimination(scores, drawn)
    yield _measure("auc", of, auc, gates and gates.auc, len(scores.values))
    yield _measure("tpr_at_1_fpr", of, tpr, gates and gates.tpr, len(scores.values))


def _measure(measure: str, of: str, found: Estimate, limit: float | None, scores: int) -> Measure:
    met = None if limit is None else found.value <= limit
    return Measure(measure, of, found.value, found.low, found.high, limit, met, scores)
