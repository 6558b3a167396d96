"""Where numbers go: a Prometheus registry of this process, or Ray's, which its own agents export."""

from dataclasses import dataclass
from functools import cache
from threading import Condition
from typing import Any, Protocol

from cachetools import cached


@dataclass(frozen=True)
class Instrument:
    """A counter (its name ends in `_total`), a histogram (it has buckets) or a gauge."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Meter(Protocol):
    """Takes the numbers of instruments, in microseconds."""

    def add(self, what: Instrument, n: float, **labels: str) -> None:
        """Count."""
        ...

    def reach(self, what: Instrument, total: float, **labels: str) -> None:
        """Count up to a total; one that is no higher than before changes nothing."""
        ...

    def put(self, what: Instrument, value: float, **labels: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, what: Instrument, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        ...


class PrometheusMeter:
    """A registry of its own, for `/metrics` of this process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, disable_created_metrics

        disable_created_metrics()  # a second series beside each counter, which nobody asked for
        self._registry = CollectorRegistry()
        self._made = cached({}, condition=Condition())(self._make)  # threads that ask at once share what is made
        self._child = cache(lambda what, **labels: self._made(what).labels(**labels) if labels else self._made(what))
        self._reached: dict[tuple[str, ...], float] = {}

    def add(self, what: Instrument, n: float, **labels: str) -> None:
        """Count."""
        self._child(what, **labels).inc(n)

    def reach(self, what: Instrument, total: float, **labels: str) -> None:
        """Count up to a total."""
        self.add(what, _missing(self._reached, what, total, labels), **labels)

    def put(self, what: Instrument, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._child(what, **labels).set(value)

    def observe(self, what: Instrument, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        self._child(what, **labels).observe(value)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def _make(self, what: Instrument) -> Any:
        import prometheus_client

        if what.buckets:
            return prometheus_client.Histogram(
                what.name, what.help, what.labels, buckets=what.buckets, registry=self._registry
            )
        kind = prometheus_client.Counter if what.name.endswith("_total") else prometheus_client.Gauge
        return kind(what.name, what.help, what.labels, registry=self._registry)


class RayMeter:
    """Ray's metrics, to which its agents add the node and the worker, so that replicas are told apart."""

    def __init__(self) -> None:
        self._made = cached({}, condition=Condition())(self._make)  # threads that ask at once share what is made
        self._reached: dict[tuple[str, ...], float] = {}

    def add(self, what: Instrument, n: float, **labels: str) -> None:
        """Count."""
        if n:  # Ray refuses to count nothing
            self._made(what).inc(n, labels)

    def reach(self, what: Instrument, total: float, **labels: str) -> None:
        """Count up to a total."""
        self.add(what, _missing(self._reached, what, total, labels), **labels)

    def put(self, what: Instrument, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._made(what).set(value, labels)

    def observe(self, what: Instrument, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        self._made(what).observe(value, labels)

    def _make(self, what: Instrument) -> Any:
        from ray.util import metrics

        if what.buckets:
            return metrics.Histogram(what.name, what.help, list(what.buckets), what.labels)
        kind = metrics.Counter if what.name.endswith("_total") else metrics.Gauge
        return kind(what.name, what.help, what.labels)


def _missing(reached: dict[tuple[str, ...], float], what: Instrument, total: float, labels: dict[str, str]) -> float:
    """What a counter lacks of a total."""
    key = what.name, *labels.values()
    missing = max(0.0, total - reached.get(key, 0.0))
    reached[key] = reached.get(key, 0.0) + missing
    return missing
