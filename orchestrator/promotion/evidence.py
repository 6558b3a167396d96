"""What gates may ask about a version; held-out rows are read and answered when the first gate asks, and forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from registry import Registry, Version

from ..errors import InvalidSpec

if TYPE_CHECKING:
    from methods import Row
    from methods.paired import Scores

    from ..answering import Load, Ready
    from ..continual.gate import Held
    from ..specs import TaskSpec


@dataclass(frozen=True)
class Compared:
    """How much higher one version's metric is than another's, with its 95% interval."""

    metric: str
    new: float
    old: float
    value: float
    low: float
    high: float
    rows: int

    @property
    def numbers(self) -> dict[str, float]:
        """What a report keeps of it."""
        numbers = {"difference": self.value, "low": self.low, "high": self.high, "rows": self.rows}
        return {self.metric: self.new, f"baseline_{self.metric}": self.old} | numbers

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.new:.3f} against {self.old:.3f} on {self.rows} held-out rows:"
            f" {self.value:+.3f} (95% {self.low:+.3f} to {self.high:+.3f})"
        )


class Evidence:
    """Of one version, and of the one that the alias names now, its `baseline`, where it names any."""

    def __init__(self, registry: Registry, version: Version, baseline: Version | None, load: "Load") -> None:
        self.version, self.baseline = version, baseline
        self._registry, self._load = registry, load
        self._scores: dict[str, Scores] = {}

    def card(self, key: str) -> Mapping[str, Any]:
        """A mapping of the version's card."""
        found: Any = self.version.card.get(key)
        return found or {}

    def resolved(self, reference: str) -> Version:
        """A version by its reference."""
        return self._registry.resolve(reference)

    def metric(self, name: str | None) -> str:
        """A metric's name, without one that of the metric by which the task is judged.

        Raises:
            InvalidSpec: rows of the task have no such metric.
        """
        from methods import main_metric

        known = self.scores(self.version).metrics()
        if name is None:
            return main_metric(self._ready(self.version).task)
        if name not in known:
            raise InvalidSpec(f"the held-out rows have no metric {name!r}; they have {', '.join(known)}")
        return name

    def scores(self, version: Version) -> "Scores":
        """What a version makes of the held-out rows."""
        from methods.paired import Scores

        from ..evaluation import answered

        if version.digest not in self._scores:
            ready = self._ready(version)
            if ready.task.kind != self._ready(self.version).task.kind:
                raise InvalidSpec(f"{version.reference} answers {ready.task.kind} rows, and cannot be compared")
            self._scores[version.digest] = Scores.of(self._rows, answered(ready, ready.artifact, self._rows))
        return self._scores[version.digest]

    def compared(self, with_version: Version, metric: str) -> Compared:
        """The version beside another one, row by row."""
        from methods.paired import difference

        new, old = self.scores(self.version), self.scores(with_version)
        found = difference(new, old, metric)
        each = new.metrics()[metric], old.metrics()[metric]
        return Compared(metric, *each, found.value, found.low, found.high, len(new.values))

    def column(self, name: str) -> Sequence[str | None]:
        """A column of the file, for each held-out row.

        Raises:
            InvalidSpec: no row has it.
        """
        from ..evaluation import held_out
        from ..sources import column

        found: list[str | None] = []
        for spec, _ in self._parts.values():
            found += column(spec, held_out(spec), self._labels(spec), name)
        if len(found) != len(self._rows) or not any(found):
            raise InvalidSpec(f"the held-out rows have no column {name!r}")
        return found

    def before(self) -> Version | None:
        """The version whose sessions may have been forgotten, of a prompt that learns in sessions."""
        from ..continual.card import sessions_of

        start: Any = self.card("training").get("start")
        before = self.baseline or (self.resolved(start) if start and sessions_of(self.version) else None)
        return before if before is not None and sessions_of(before) else None

    def held(self, before: Version) -> "Mapping[str, Held]":
        """The held-out rows of the sessions that a version knows, and how many it and this one answer rightly."""
        from ..continual.card import sessions_of
        from ..continual.gate import Held

        old, new = (self.scores(one) for one in (before, self.version))
        right = old.names.index("accuracy")
        found, first = {}, 0
        for name, (_, rows) in self._parts.items():
            part = slice(first, first := first + len(rows))
            if name in sessions_of(before):
                counts = (int(one.values[part, right].sum()) for one in (old, new))
                found[name] = Held(len(rows), *counts)
        return found

    def attacked(self, shadows: int) -> dict[str, float]:
        """What an attack on trainings like the version's finds."""
        from ..privacy import Gates, audit

        measures = audit(self._registry, self._ready(self.version), shadows, None, Gates(), lambda _: None)
        auc = next(one for one in measures if (one.measure, one.of) == ("auc", "retrained"))
        return {"auc": auc.value, "low": auc.low, "high": auc.high, "shadows": shadows}

    @cached_property
    def _parts(self) -> "dict[str, tuple[TaskSpec, tuple[Row, ...]]]":
        """The held-out rows by task: the version's own, or those of its sessions and of its baseline's."""
        from ..continual.card import CORRECTIONS, sessions_of
        from ..evaluation import judged_by
        from ..tasks import find

        known = [*(sessions_of(self.baseline) if self.baseline else ()), *sessions_of(self.version)]
        names = [name for name in dict.fromkeys(known) if name != CORRECTIONS]
        specs = [find(self._registry, name) for name in names or [self._ready(self.version).task.name]]
        return {spec.name: (spec, judged_by(spec, None, self._labels(spec))) for spec in specs}

    @cached_property
    def _rows(self) -> "list[Row]":
        return [row for _, rows in self._parts.values() for row in rows]

    def _labels(self, spec: "TaskSpec") -> tuple[str, ...]:
        return spec.labels or self._ready(self.version).task.labels

    def _ready(self, version: Version) -> "Ready":
        from ..answering import ready

        if version.digest not in self._loaded:
            self._loaded[version.digest] = ready(self._registry, version.reference, None, self._load)
        return self._loaded[version.digest]

    @cached_property
    def _loaded(self) -> "dict[str, Ready]":
        return {}
