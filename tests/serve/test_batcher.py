import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.errors import Invalid, Overloaded, TimedOut, Unavailable
from serve.work.batcher import Batcher
from serve.work.packing import FREE, WASTE, pack
from serve.work.waiting import Queue

from .engines import run, until


class Model:
    """Doubles numbers, keeps what came together, waits where it is told to, and chokes on -1."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        assert self.gate.wait(5)
        if -1 in numbers:
            raise ValueError("-1")
        return [2 * number for number in numbers]


@asynccontextmanager
async def batching(
    model: Callable[[list[int]], list[int]],
    budget: int = 100,
    queue: int = 1000,
    tokens: Callable[[int], int] = lambda _: 10,
    key: Callable[[int], Hashable] = lambda _: None,
    deadline_s: float | None = None,
) -> AsyncIterator[Queue[int, int]]:
    """The queue of a batcher that is closed behind the block."""
    waiting: Queue[int, int] = Queue(tokens, limit=queue, key=key, deadline_s=deadline_s)
    with ThreadPoolExecutor(1) as thread:
        batcher = Batcher(model, waiting, thread, token_budget=budget)
        try:
            yield waiting
        finally:
            await batcher.close()


def test_every_item_gets_its_own_result_in_order() -> None:
    async def main() -> None:
        model = Model()
        async with batching(model) as queue:
            answers = await asyncio.gather(*(queue.submit([n, n + 100]) for n in range(50)))
        assert answers == [[2 * n, 2 * n + 200] for n in range(50)]
        assert max(map(len, model.batches)) == 10  # 100 tokens of budget, 10 an item

    run(main())


def test_the_next_batch_forms_while_one_runs() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model) as queue:
            first = asyncio.create_task(queue.submit([1]))
            await until(lambda: len(model.batches) == 1)
            rest = [asyncio.create_task(queue.submit([n])) for n in (2, 3, 4)]
            await asyncio.sleep(0.02)
            assert model.batches == [[1]]
            model.gate.set()
            assert await asyncio.gather(first, *rest) == [[2], [4], [6], [8]]
        assert model.batches == [[1], [2, 3, 4]]

    run(main())


def test_a_bad_item_fails_alone_and_its_batch_is_run_again_once() -> None:
    async def main() -> None:
        model = Model()
        async with batching(model) as queue:
            one, bad, three = await queue.submit([1, -1, 3])
        assert (one, three) == (2, 6)
        assert isinstance(bad, ValueError)
        assert model.batches == [[1, -1, 3], [1], [-1], [3]]

    run(main())


def test_a_run_that_loses_a_result_fails_instead_of_shifting_the_others() -> None:
    async def main() -> None:
        async with batching(lambda numbers: numbers[:-1]) as queue:
            (answer,) = await queue.submit([1])
        assert isinstance(answer, RuntimeError)
        assert str(answer) == "1 items gave 0 results"

    run(main())


def test_a_cancelled_request_is_not_run() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model) as queue:
            first = asyncio.create_task(queue.submit([1]))
            await until(lambda: len(model.batches) == 1)
            left = asyncio.create_task(queue.submit([2]))
            stayed = asyncio.create_task(queue.submit([3]))
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.sleep(0)
            assert queue.tokens == 10
            model.gate.set()
            assert await asyncio.gather(first, stayed) == [[2], [6]]
        assert model.batches == [[1], [3]]

    run(main())


def test_a_full_queue_turns_a_whole_request_away_and_says_when_to_come_back() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model, queue=50) as queue:
            running = asyncio.create_task(queue.submit([0]))
            await until(lambda: len(model.batches) == 1)
            waiting = asyncio.create_task(queue.submit([1, 2, 3, 4]))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="40 tokens are waiting already, of the 50") as raised:
                await queue.submit([5, 6])
            assert raised.value.retry_after_s >= 1
            fits = asyncio.create_task(queue.submit([7]))
            await asyncio.sleep(0)
            model.gate.set()
            assert await asyncio.gather(running, waiting, fits) == [[0], [2, 4, 6, 8], [14]]
        assert model.batches == [[0], [1, 2, 3, 4, 7]]

    run(main())


def test_what_everybody_waits_for_goes_ahead_of_a_full_queue() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model, budget=20, queue=40) as queue:
            running = asyncio.create_task(queue.submit([0]))
            await until(lambda: len(model.batches) == 1)
            waiting = asyncio.create_task(queue.submit([1, 2, 3, 4]))
            await asyncio.sleep(0)
            rushed = asyncio.create_task(queue.rush([5]))
            await asyncio.sleep(0)
            model.gate.set()
            assert await asyncio.gather(running, waiting, rushed) == [[0], [2, 4, 6, 8], [10]]
        assert model.batches == [[0], [5, 1], [2, 3], [4]]

    run(main())


def test_the_wait_that_overload_names_follows_from_the_speed() -> None:
    async def main() -> None:
        def slow(numbers: list[int]) -> list[int]:
            time.sleep(0.2)
            return numbers

        async with batching(slow, budget=10, queue=100) as queue:
            await queue.submit([1])  # 10 tokens in 0.2 s: 50 a second
            waiting = asyncio.create_task(queue.submit(list(range(10))))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded) as raised:
                await queue.submit([1])
            assert raised.value.retry_after_s in (2, 3)  # 100 tokens at 50 a second, and a slow machine
            waiting.cancel()

    run(main())


def test_what_could_not_be_answered_by_its_deadline_is_turned_away_at_once() -> None:
    """At 50 tokens a second and a deadline of 2 s, 100 tokens may wait; without anybody before it a request may."""

    async def main() -> None:
        model = Model()
        async with batching(model, budget=10, deadline_s=2) as queue:
            await queue.submit([1])
            model.gate.clear()
            running = asyncio.create_task(queue.submit([2]))
            await until(lambda: len(model.batches) == 2)
            queue.tokens_per_s = 50.0
            alone = asyncio.create_task(queue.submit(list(range(11))))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="110 tokens are waiting already, of the 100"):
                await queue.submit([3])
            model.gate.set()
            assert len(await alone) == 11
            await running

    run(main())


def test_a_batch_that_is_nearly_empty_says_nothing_of_the_speed() -> None:
    async def main() -> None:
        async with batching(Model(), budget=100, deadline_s=2) as queue:
            await queue.submit([1, 2, 3, 4])
            assert queue.tokens_per_s == 0
            await queue.submit([1, 2, 3, 4, 5])
            assert queue.tokens_per_s > 0

    run(main())


def test_a_request_that_never_fits_is_told_so() -> None:
    async def main() -> None:
        async with batching(Model(), queue=50) as queue:
            with pytest.raises(Invalid, match="the request has 60 tokens; one request may have 50"):
                await queue.submit([1] * 6)

    run(main())


def test_closing_finishes_what_runs_and_turns_away_the_rest() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        queue: Queue[int, int] = Queue(lambda _: 10, limit=100)
        batcher = Batcher(model, queue, ThreadPoolExecutor(1), token_budget=100)
        running = asyncio.create_task(queue.submit([1]))
        await until(lambda: len(model.batches) == 1)
        waiting = asyncio.create_task(queue.submit([2]))
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        model.gate.set()
        await closing
        assert await running == [2]
        (turned_away,) = await waiting
        assert isinstance(turned_away, Unavailable)
        with pytest.raises(Unavailable, match="stopping"):
            await queue.submit([3])

    run(main())


def test_the_loop_stays_free_while_a_batch_runs() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model) as queue:
            running = asyncio.create_task(queue.submit([1]))
            await until(lambda: len(model.batches) == 1)
            started = time.perf_counter()
            await asyncio.sleep(0.01)
            assert time.perf_counter() - started < 0.5
            model.gate.set()
            await running

    run(main())


def test_a_thousand_rows_of_one_task_do_not_hold_up_another() -> None:
    """Sixteen tokens a row of the one, four hundred of the other: they never share a batch."""

    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(
            model, 1600, 100_000, tokens=lambda n: 400 if n >= 5000 else 16, key=lambda n: n >= 5000
        ) as queue:
            first = asyncio.create_task(queue.submit([0]))
            await until(lambda: len(model.batches) == 1)
            many = asyncio.create_task(queue.submit(range(1, 1001)))
            await asyncio.sleep(0)
            few = asyncio.create_task(queue.submit([5000, 5001]))
            await asyncio.sleep(0)
            model.gate.set()
            await asyncio.gather(first, many, few)
        assert model.batches[1] == list(range(1, 101))  # 16 * 100 = 1600
        assert model.batches[2][:2] == [5000, 5001]
        assert model.batches[3][:50] == list(range(101, 151))

    run(main())


def test_keys_share_a_batch_evenly() -> None:
    async def main() -> None:
        queue: Queue[str, int] = Queue(lambda _: 10, limit=10_000, key=lambda name: name[0])
        for name in "abc":
            asyncio.create_task(queue.submit([f"{name}{n}" for n in range(50 if name == "a" else 2)]))  # noqa: RUF006 - ended below
        await asyncio.sleep(0)
        rows = [one.item for one in queue.take(60)]
        assert rows == ["a0", "b0", "c0", "a1", "b1", "c1"]
        assert [one.item for one in queue.take(30)] == ["a2", "a3", "a4"]
        queue.turn_away()

    run(main())


def test_a_row_whose_deadline_passes_is_not_run_and_says_so() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model, deadline_s=0.05) as queue:
            running = asyncio.create_task(queue.submit([1]))
            await until(lambda: len(model.batches) == 1)
            late = asyncio.create_task(queue.submit([2]))
            rushed = asyncio.create_task(queue.rush([3]))
            (outcome,) = await late
            assert isinstance(outcome, TimedOut)
            assert str(outcome) == "it has waited for 0.05 s and was not run"
            assert queue.tokens == 10
            model.gate.set()
            assert await asyncio.gather(running, rushed) == [[2], [6]]
        assert model.batches == [[1], [3]]

    run(main())


class Call(NamedTuple):
    """A request: its rows, by key and tokens, and whether its caller leaves while it waits."""

    rows: list[tuple[int, int]]
    leaves: bool


CALLS = st.lists(
    st.builds(Call, st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300)), min_size=1, max_size=6), st.booleans()),
    min_size=1,
    max_size=12,
)


@given(calls=CALLS, budget=st.integers(50, 1500), poisoned=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_whatever_comes_every_row_gets_its_own_answer_and_no_batch_is_over_budget(
    calls: list[Call], budget: int, poisoned: int
) -> None:
    rows: list[tuple[int, int]] = [row for call in calls for row in call.rows]
    numbers = iter(range(len(rows)))
    of_call = [[next(numbers) for _ in call.rows] for call in calls]
    left = {n for call, own in zip(calls, of_call, strict=True) if call.leaves for n in own}
    batches: list[list[int]] = []

    def model(batch: list[int]) -> list[int]:
        batches.append(batch)
        if poisoned in batch:
            raise ValueError
        return [n * n for n in batch]

    async def main() -> None:
        async with batching(
            model, budget, sum(t for _, t in rows), tokens=lambda n: rows[n][1], key=lambda n: rows[n][0]
        ) as queue:
            tasks = [asyncio.create_task(queue.submit(own)) for own in of_call]
            await asyncio.sleep(0)
            assert queue.tokens == sum(t for _, t in rows)
            for call, task in zip(calls, tasks, strict=True):
                if call.leaves:
                    task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert queue.tokens == 0
        for call, own, answer in zip(calls, of_call, answers, strict=True):
            if call.leaves:
                assert isinstance(answer, asyncio.CancelledError)
                continue
            assert isinstance(answer, list)
            for n, found in zip(own, answer, strict=True):
                assert isinstance(found, ValueError) if n == poisoned else found == n * n

    run(main())
    for batch in batches:
        longest = max(rows[n][1] for n in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert not left & set(batch)
    counts = Counter(n for batch in batches for n in batch)
    assert all(count == 1 for n, count in counts.items() if not any(poisoned in b and n in b for b in batches))


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 600)), min_size=1, max_size=80),
    budget=st.integers(100, 2048),
)
@settings(max_examples=100, deadline=None)
def test_the_first_row_of_every_key_is_served_within_as_many_batches_as_there_are_keys(
    rows: list[tuple[int, int]], budget: int
) -> None:
    async def main() -> None:
        queue: Queue[int, int] = Queue(lambda n: rows[n][1], limit=10**9, key=lambda n: rows[n][0])
        task = asyncio.create_task(queue.submit(range(len(rows))))
        await asyncio.sleep(0)
        keys = {key for key, _ in rows}
        firsts = {next(n for n, (key, _) in enumerate(rows) if key == own) for own in keys}
        served = {one.item for _ in keys for one in queue.take(budget)}
        assert firsts <= served
        task.cancel()

    run(main())


LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=80)


@given(lengths=LENGTHS, budget=st.integers(1, 4096))
@settings(max_examples=200, deadline=None)
def test_a_batch_holds_the_oldest_within_budget_and_without_much_padding(lengths: list[int], budget: int) -> None:
    batch = pack(lengths, budget)
    held = [lengths[index] for index in batch]
    assert 0 in batch
    assert len(set(batch)) == len(batch)
    padded = len(held) * max(held)
    if len(held) > 1:
        assert padded <= budget
        assert padded <= max(FREE, WASTE * sum(held))


@given(lengths=LENGTHS, budget=st.integers(1, 4096))
@settings(max_examples=100, deadline=None)
def test_nobody_waits_longer_than_there_were_rows_before(lengths: list[int], budget: int) -> None:
    waiting = list(range(len(lengths)))
    for runs in range(1, len(lengths) + 1):
        taken = pack([lengths[row] for row in waiting], budget)
        served = {waiting[place] for place in taken}
        waiting = [row for row in waiting if row not in served]
        assert all(row >= runs for row in waiting)  # row r has been served after at most r + 1 batches
        if not waiting:
            return
    pytest.fail("rows are left")


def test_a_long_row_does_not_drag_short_ones_along() -> None:
    assert pack([512, 8, 8, 8], 2048) == [0]
    assert sorted(pack([8, 512, 9, 7], 2048)) == [0, 2, 3]


def test_a_row_over_the_budget_goes_alone() -> None:
    assert pack([5000, 5000], 2048) == [0]
