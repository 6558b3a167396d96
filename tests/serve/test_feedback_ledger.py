"""Counts reach the registry once each, whatever the registry does meanwhile."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from methods import Artifact
from registry import Registry, Unavailable
from registry.feedback import Buffer, FeedbackCount
from serve.config import ServeConfig
from serve.feedback.buffer import Limits
from serve.feedback.correction import Correction
from serve.feedback.desk import OwnDesk, held_here
from serve.feedback.ledger import Ledger

from .conftest import SENTIMENT, Publish
from .engines import run, until

SILENT = timedelta(hours=25)


class Down:
    """A registry that can be down, or slow, in front of the real one."""

    def __init__(self, registry: Registry) -> None:
        self.registry, self.down, self.forgetful = registry, False, False
        self.open = threading.Event()
        self.open.set()

    def record_feedback(self, buffer: Buffer, counts: Sequence[FeedbackCount], *, actor: str) -> None:
        self.open.wait(10)
        self._check()
        self.registry.record_feedback(buffer, counts, actor=actor)
        if self.forgetful:  # committed, and the connection breaks before the answer
            self.forgetful = False
            raise Unavailable("the registry database did not answer: connection reset")

    def lose_feedback(self, buffer: Buffer, silent_since: datetime, *, actor: str) -> int:
        self._check()
        return self.registry.lose_feedback(buffer, silent_since, actor=actor)

    def _check(self) -> None:
        if self.down:
            raise Unavailable("the registry database did not answer: refused")


@pytest.fixture
def counts(registry: Registry, publish: Publish, make: object, monkeypatch: pytest.MonkeyPatch) -> Down:
    assert callable(make)
    artifact = make(SENTIMENT, 1)
    assert isinstance(artifact, Artifact)
    publish("sentiment", artifact)
    monkeypatch.setattr("serve.feedback.ledger.RETRY_S", 0.02)
    return Down(registry)


def became(registry: Registry) -> list[tuple[int, int, int, int]]:
    return [(total.accepted, total.learned, total.lost, total.unsettled) for total in registry.feedback()]


def corrected(registry: Registry, text: str = "dull") -> Correction:
    version = registry.resolve("sentiment:1")
    return Correction("sentiment", version.reference, version.id, {"text": text}, "negative")


def test_an_accepted_correction_is_counted_before_it_is_answered(counts: Down, config: ServeConfig) -> None:
    async def main() -> None:
        desk = OwnDesk(counts, config)
        for n in range(1, 4):
            await desk.accept(corrected(counts.registry))
            assert became(counts.registry) == [(n, 0, 0, n)]
        lease = await desk.lease("sentiment", 2)
        assert lease is not None
        await desk.settle(lease.id, "learned")
        assert became(counts.registry) == [(3, 2, 0, 1)]
        await desk.close()
        assert became(counts.registry) == [(3, 2, 1, 0)]

    run(main())


def test_an_outage_delays_counts_and_says_so(counts: Down, config: ServeConfig) -> None:
    async def main() -> None:
        desk = OwnDesk(counts, config)
        counts.down = True
        for _ in range(3):
            await desk.accept(corrected(counts.registry))
        status = await desk.status()
        assert (status.waiting, status.uncounted) == (3, 3)
        assert status.uncounted_reason == "the registry database did not answer: refused"
        assert became(counts.registry) == []
        counts.down = False
        await until(lambda: became(counts.registry) == [(3, 0, 0, 3)])
        await until(lambda: desk._ledger.uncounted == 0)
        assert (await desk.status()).uncounted_reason is None
        await desk.close()

    run(main())


def test_a_count_whose_answer_was_lost_is_not_counted_twice(counts: Down, config: ServeConfig) -> None:
    async def main() -> None:
        ledger = Ledger(counts, config.server, "ada", SILENT)
        counts.forgetful = True
        ledger.step(1, "accepted")
        await until(lambda: ledger.uncounted == 0)
        assert not counts.forgetful
        assert became(counts.registry) == [(1, 0, 0, 1)]
        await ledger.close(1)

    run(main())


def test_a_registry_that_hangs_holds_up_no_answer_for_long_and_nothing_else(
    counts: Down, config: ServeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.feedback.desk.COUNTED_S", 0.1)

    async def main() -> None:
        desk = OwnDesk(counts, config)
        counts.open.clear()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        receipt = await desk.accept(corrected(counts.registry))
        assert ticks >= 5
        assert (receipt.waiting, (await desk.status()).uncounted) == (1, 1)
        ticking.cancel()
        counts.open.set()
        await desk.close()
        assert became(counts.registry) == [(1, 0, 1, 0)]

    run(main())


def test_steps_of_one_moment_are_written_together_acceptances_first(counts: Down, config: ServeConfig) -> None:
    batches: list[list[tuple[int, str, int]]] = []

    class Watched(Down):
        def record_feedback(self, buffer: Buffer, counts: Sequence[FeedbackCount], *, actor: str) -> None:
            batches.append([(count.sequence, count.kind, count.n) for count in counts])

    async def main() -> None:
        ledger = Ledger(Watched(counts.registry), config.server, "ada", SILENT)
        ledger.step(1, "dropped")
        for _ in range(3):
            ledger.step(1, "accepted")
        await ledger.counted(1)
        ledger.step(1, "learned")
        await ledger.counted(1)
        await ledger.close(1)

    run(main())
    assert batches == [[(1, "accepted", 3), (2, "dropped", 1)], [(3, "learned", 1)]]


def test_a_server_counts_what_its_former_process_lost_and_nobody_elses(counts: Down, config: ServeConfig) -> None:
    registry = counts.registry
    version = registry.resolve("sentiment:1").id
    now = datetime.now(UTC)
    for buffer, n in (Buffer("former", config.server), 5), (Buffer("other", "elsewhere"), 2):
        registry.record_feedback(buffer, [FeedbackCount(1, version, "accepted", n, now)], actor="ada")

    async def main() -> None:
        async with held_here(config) as desk:
            assert (await desk.status()).lost == 5
        assert became(registry) == [(7, 0, 5, 2)]
        async with held_here(replace(config, port=9000)) as desk:
            assert (await desk.status()).lost == 0

    run(main())


def test_a_search_for_lost_corrections_is_repeated_until_the_registry_answers(
    counts: Down, config: ServeConfig
) -> None:
    counts.registry.record_feedback(
        Buffer("former", config.server), [FeedbackCount(1, 1, "accepted", 4, datetime.now(UTC))], actor="ada"
    )
    counts.down = True

    async def main() -> None:
        desk = OwnDesk(counts, config)
        await asyncio.sleep(0.05)
        assert (await desk.status()).lost == 0
        counts.down = False
        await until(lambda: desk._ledger.lost == 4)
        await desk.close()

    run(main())


def test_an_idle_server_lets_texts_go_in_time(
    counts: Down, config: ServeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.feedback.desk.SWEEP_S", 0.01)

    async def main() -> None:
        desk = OwnDesk(counts, config, Limits(held=timedelta(seconds=1)))
        await desk.accept(corrected(counts.registry))
        await until(lambda: desk._buffer.holdings().nbytes == 0, within_s=2)
        await until(lambda: desk._ledger.uncounted == 0)
        (total,) = counts.registry.feedback()
        assert (total.accepted, total.expired) == (1, 1)
        await desk.close()

    run(main())
