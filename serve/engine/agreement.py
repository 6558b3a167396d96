"""How far answers in fewer bits agree with those before, measured at the start over texts that come with the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods import Classified
from methods.runtime.precision import lower

from ..schemas import Input

if TYPE_CHECKING:
    from .engine import PromptEngine

VERSIONS = 32  # that are asked, at the most
PROBES = (
    "the room was clean and the staff could not have been kinder",
    "it stopped working after two days and nobody answers my letters",
    "how do I change the address on my account",
    "a slow film with one very good scene near the end",
    "trains to the coast are late again because of the snow",
    "the council votes on the new bridge on Tuesday",
    "not bad at all",
    "I was charged twice, please send one payment back",
)


@dataclass(frozen=True)
class Agreement:
    """Over so many rows: how many keep their label, and the largest change of a score."""

    rows: int
    same: int
    largest: float

    def __str__(self) -> str:
        if not self.rows:
            return "int8: there is no prompt yet to compare answers with"
        return (
            f"int8: {self.same} of {self.rows} probe rows keep their label;"
            f" the largest change of a score is {self.largest:.3f}"
        )


async def quantized(engine: "PromptEngine") -> Agreement:
    """Change the engine's backbone to int8, and compare what it answers afterwards.

    Raises:
        InvalidSetting: the backbone is not on a CPU.
    """
    rows = _rows(engine)
    before = await _scores(engine, rows)
    await engine.work.alone(lambda: lower(engine.backbone, "int8"))
    pairs = list(zip(before, await _scores(engine, rows), strict=True))
    same = sum(max(one, key=one.__getitem__) == max(other, key=other.__getitem__) for one, other in pairs)
    largest = max((abs(one[label] - other[label]) for one, other in pairs for label in one), default=0.0)
    return Agreement(len(pairs), same, largest)


def _rows(engine: "PromptEngine") -> list[Input]:
    served = sorted(engine.follower.snapshot.served.items(), key=lambda one: one[0])
    fields = {"classification": {}, "pair": {"text_pair": PROBES[0]}}
    return [
        Input(prompt=f"{name}@{alias}", key="probe", text=text, **fields[one.task.kind])
        for (name, alias), one in [(alias, one) for alias, one in served if one.task.kind in fields][:VERSIONS]
        for text in PROBES
    ]


async def _scores(engine: "PromptEngine", rows: Sequence[Input]) -> list[dict[str, float]]:
    answered = await engine.predict(rows)
    return [one.answer.scores for one in answered if isinstance(one.answer, Classified)]
