"""What must be true of a registry, kept beside it: a model of prompts, aliases, tags and signatures, with no database.

Whoever adds an action to the registry adds what it means here, and a rule to test_chronicles.py.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from registry import Conflict, Move, NotFound


class Line(NamedTuple):
    """What an alias names."""

    number: int
    candidate: int | None = None
    percent: int | None = None


@dataclass
class Made:
    """A version that has a number."""

    number: int
    key: str
    ready: bool = False
    signed: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def blob(self) -> bytes:
        """Its bytes; versions of different prompts may have the same ones."""
        return self.key.encode()


@dataclass
class Chronicle:
    """Everything that was committed."""

    prompts: dict[str, list[Made]] = field(default_factory=dict)
    lines: dict[tuple[str, str], list[Line]] = field(default_factory=dict)  # of each alias, all that it ever named
    epoch: int = 0
    published: int = 0
    tagged: int = 0

    @property
    def events(self) -> int:
        """How many steps all aliases took."""
        return sum(map(len, self.lines.values()))

    def version(self, name: str, number: int) -> Made | None:
        """The version, if it has a number."""
        made = self.prompts.get(name, [])
        return made[number - 1] if number <= len(made) else None

    def reserve(self, name: str, key: str) -> Made:
        """The number that a key stands for, the next one where it is new."""
        made = self.prompts.setdefault(name, [])
        found = next((one for one in made if one.key == key), None)
        if found is None:
            found = Made(len(made) + 1, key)
            made.append(found)
        return found

    def finish(self, made: Made) -> None:
        """It is ready."""
        self.published += not made.ready
        made.ready = True

    def promoted(self, moves: list[Move]) -> "Chronicle | type[Exception]":
        """How it is after these moves, all read as of before them; or why there are none."""
        steps: dict[tuple[str, str], Line] = {}
        wanted = [(name, int(number)) for name, number in (move.reference.split(":") for move in moves)]
        if not all((made := self.version(*one)) and made.ready for one in wanted):
            return NotFound
        for (name, number), move in zip(wanted, moves, strict=True):
            step = self._step((name, move.alias), number, move)
            if isinstance(step, type):
                return step
            steps[name, move.alias] = step
        return self._after({alias: line for alias, line in steps.items() if line != self.now(alias)})

    def rolled_back(self, name: str, alias: str) -> "Chronicle | type[Exception]":
        """How it is after the split ended, or the alias went back; or why neither is possible."""
        now = self.now((name, alias))
        if now is None:
            return NotFound
        if now.candidate is not None:
            return self._after({(name, alias): Line(now.number)})
        before = [one.number for one in self.lines[name, alias]]
        while before and before[-1] == now.number:
            before.pop()
        return self._after({(name, alias): Line(before[-1])}) if before else Conflict

    def now(self, alias: tuple[str, str]) -> Line | None:
        """What an alias names."""
        line = self.lines.get(alias)
        return line[-1] if line else None

    def _step(self, alias: tuple[str, str], number: int, move: Move) -> Line | type[Exception]:
        now = self.now(alias)
        if move.percent == 100:
            return Line(number)
        if now is None:
            return NotFound
        if now.number == number:
            return Conflict
        if move.percent > 0:
            return Line(now.number, number, move.percent)
        return Line(now.number) if now.candidate in (None, number) else Conflict

    def _after(self, steps: dict[tuple[str, str], Line]) -> "Chronicle":
        lines = self.lines | {alias: [*self.lines.get(alias, []), line] for alias, line in steps.items()}
        return Chronicle(self.prompts, lines, self.epoch + bool(steps), self.published, self.tagged)


def generations(chronicle: Chronicle, name: str) -> Counter[str]:
    """How many steps each alias of a prompt took."""
    return Counter({alias: len(line) for (prompt, alias), line in chronicle.lines.items() if prompt == name})
