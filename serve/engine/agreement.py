"""How far answers in fewer bits agree with those before, measured at the start over texts that come with the server."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from methods import Classified

from ..errors import ServeError
from ..schemas import Input

if TYPE_CHECKING:
    from .engine import PromptEngine

Scores: TypeAlias = Mapping[tuple[str, str], Mapping[str, float]]  # by version and probe

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


async def probed(engine: "PromptEngine") -> Scores:
    """What the versions that aliases name answer to the probes."""
    served = sorted(engine.follower.snapshot.served.items(), key=lambda one: one[0])
    fields = {"classification": {}, "pair": {"text_pair": PROBES[0]}}
    found: dict[tuple[str, str], Mapping[str, float]] = {}
    for passed in [passed for _, passed in served if passed.task.kind in fields][:VERSIONS]:
        reference, more = passed.version.reference, fields[passed.task.kind]
        with suppress(ServeError):  # one that cannot answer now is not compared
            answers = await engine.predict([Input(prompt=reference, text=text, **more) for text in PROBES])
            scores = [one.answer.scores for one in answers if isinstance(one.answer, Classified)]
            found |= {(reference, text): each for text, each in zip(PROBES, scores, strict=True)}
    return found


def agreement(before: Scores, after: Scores) -> Agreement:
    """How far answers agree with those before, where both are known."""
    pairs = [(before[row], after[row]) for row in before.keys() & after.keys()]
    same = sum(max(one, key=one.__getitem__) == max(other, key=other.__getitem__) for one, other in pairs)
    largest = max((abs(one[label] - other[label]) for one, other in pairs for label in one), default=0.0)
    return Agreement(len(pairs), same, largest)
