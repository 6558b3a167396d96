"""What is measured, by Prometheus' conventions: few labels, and nothing of a row in any of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..routing.snapshot import Snapshot
from ..schemas import FeedbackStatus, Status
from .meters import Instrument, Meter
from .tracing import Trace, untraced
from .traffic import Window

MOST_ALIASES = 64  # which have numbers of their own, the first by name
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

REQUESTS = Instrument("promptctl_requests_total", "Requests, by route and status.", ("route", "code"))
REJECTED = Instrument(
    "promptctl_rejected_total", "Requests that the queue or the buffer of corrections had no room for."
)
ROWS = Instrument("promptctl_rows_total", "Rows answered, by the kind of their task.", ("kind",))
LATENCY = Instrument(
    "promptctl_latency_seconds",
    "Seconds of a request's rows in all and in their encoding, of a row in the queue, of a batch in the backbone.",
    ("phase",),
    SECONDS,
)
BATCH_ROWS = Instrument("promptctl_batch_rows", "Rows of a batch.", (), (1, 2, 4, 8, 16, 32, 64, 128, 256))
BATCH_FILL = Instrument("promptctl_batch_fill_ratio", "Padded tokens of a batch over the budget.", (), SHARES)
SPOKEN = Instrument("promptctl_generated_tokens_total", "Tokens of answers that were generated.")
BANK_HITS = Instrument("promptctl_bank_hits_total", "Versions asked for that were in memory.")
BANK_LOADS = Instrument("promptctl_bank_loads_total", "Versions loaded from the store.")
BANK_FAILURES = Instrument("promptctl_bank_load_failures_total", "Versions that could not be loaded.")
LOAD_SECONDS = Instrument("promptctl_bank_load_seconds", "Seconds that a load took.", (), SECONDS)
BANK_BYTES = Instrument("promptctl_bank_bytes", "Bytes of the versions in memory.")
WAITING = Instrument("promptctl_queue_tokens", "Tokens of the rows in the queue.")
EPOCH = Instrument("promptctl_epoch", "The epoch of the aliases that are served.")
STALE = Instrument("promptctl_stale", "1 while the registry does not answer, else 0.")
REFUSED = Instrument("promptctl_refused_versions", "Versions that aliases name and that failed their checks.")
ALIAS = Instrument("promptctl_alias_version", "The number of the version that an alias names.", ("prompt", "alias"))
CANDIDATE = Instrument("promptctl_alias_candidate_percent", "Its candidate's percent of the rows.", ("prompt", "alias"))
FEEDBACK = Instrument(
    "promptctl_feedback_total", "Corrections, by outcome; replicas share them: take the maximum.", ("outcome",)
)
FEEDBACK_WAITING = Instrument(
    "promptctl_feedback_waiting", "Corrections that wait; replicas share them: take the maximum."
)


@dataclass(frozen=True)
class Metrics:
    """An observer that keeps numbers: in a meter for others to read, and of the last seconds for `/v1/status`."""

    meter: Meter
    window: Window
    trace: Trace = untraced

    def requested(self, route: str, code: int, seconds: float) -> None:
        """Count a request, and whether it was one too many."""
        self.meter.add(REQUESTS, 1, route=route, code=str(code))
        self.trace("request", seconds, route=route, code=code)
        if code == 429:
            self.meter.add(REJECTED, 1)
            self.window.reject()

    def answered(self, rows: Mapping[str, int], seconds: float) -> None:
        """Count rows, and time them."""
        for kind, n in rows.items():
            self.meter.add(ROWS, n, kind=kind)
        self.meter.observe(LATENCY, seconds, phase="total")
        self.window.add(sum(rows.values()), seconds)

    def encoded(self, rows: int, seconds: float) -> None:
        """Time the tokenizer."""
        self.meter.observe(LATENCY, seconds, phase="encode")
        self.trace("encode", seconds, rows=rows)

    def waited(self, seconds: float) -> None:
        """Time the queue."""
        self.meter.observe(LATENCY, seconds, phase="queue")

    def ran(self, rows: int, tokens: int, budget: int, seconds: float) -> None:
        """Time the backbone, and see how full its batches are."""
        self.meter.observe(LATENCY, seconds, phase="forward")
        self.trace("forward", seconds, rows=rows, tokens=tokens)
        self.meter.observe(BATCH_ROWS, rows)
        self.meter.observe(BATCH_FILL, tokens / budget)

    def spoke(self, tokens: int) -> None:
        """Count what was generated."""
        self.meter.add(SPOKEN, tokens)

    def found(self) -> None:
        """Count a hit."""
        self.meter.add(BANK_HITS, 1)

    def loaded(self, seconds: float) -> None:
        """Count and time a load."""
        self.meter.add(BANK_LOADS, 1)
        self.meter.observe(LOAD_SECONDS, seconds)

    def failed(self) -> None:
        """Count a load that failed."""
        self.meter.add(BANK_FAILURES, 1)

    def state(self, status: Status, snapshot: Snapshot) -> None:
        """Measure how the server is now."""
        self.meter.put(EPOCH, status.epoch)
        self.meter.put(STALE, float(status.stale_since is not None))
        self.meter.put(REFUSED, len(status.refused))
        self.meter.put(WAITING, status.waiting_tokens)
        self.meter.put(BANK_BYTES, status.resident_bytes)
        for alias, served in sorted(snapshot.served.items(), key=lambda pair: pair[0])[:MOST_ALIASES]:
            split, (prompt, name) = snapshot.splits.get(alias), alias
            self.meter.put(ALIAS, served.version.number, prompt=prompt, alias=name)
            self.meter.put(CANDIDATE, split.percent if split else 0, prompt=prompt, alias=name)
        if status.feedback is not None:
            self._feedback(status.feedback)

    def _feedback(self, found: FeedbackStatus) -> None:
        self.meter.put(FEEDBACK_WAITING, found.waiting)
        for outcome in ("accepted", "learned", "dropped", "expired", "lost"):
            self.meter.reach(FEEDBACK, getattr(found, outcome), outcome=outcome)
