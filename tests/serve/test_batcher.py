import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.batcher import Batcher
from serve.errors import Invalid, Overloaded, Unavailable
from serve.packing import FREE, WASTE, pack

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
    model: Callable[[list[int]], list[int]], budget: int = 100, queue: int = 1000, tokens: int = 10
) -> AsyncIterator[Batcher[int, int]]:
    batcher = Batcher(model, lambda _: tokens, token_budget=budget, queue_tokens=queue)
    try:
        yield batcher
    finally:
        await batcher.close()


def test_every_item_gets_its_own_result_in_order() -> None:
    async def main() -> None:
        model = Model()
        async with batching(model) as batcher:
            answers = await asyncio.gather(*(batcher.submit([n, n + 100]) for n in range(50)))
        assert answers == [[2 * n, 2 * n + 200] for n in range(50)]
        assert max(map(len, model.batches)) == 10  # 100 tokens of budget, 10 an item

    run(main())


def test_the_next_batch_forms_while_one_runs() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model) as batcher:
            first = asyncio.create_task(batcher.submit([1]))
            await until(lambda: len(model.batches) == 1)
            rest = [asyncio.create_task(batcher.submit([n])) for n in (2, 3, 4)]
            await asyncio.sleep(0.02)
            assert model.batches == [[1]]
            model.gate.set()
            assert await asyncio.gather(first, *rest) == [[2], [4], [6], [8]]
        assert model.batches == [[1], [2, 3, 4]]

    run(main())


def test_a_bad_item_fails_alone_and_its_batch_is_run_again_once() -> None:
    async def main() -> None:
        model = Model()
        async with batching(model) as batcher:
            one, bad, three = await batcher.submit([1, -1, 3])
        assert (one, three) == (2, 6)
        assert isinstance(bad, ValueError)
        assert model.batches == [[1, -1, 3], [1], [-1], [3]]

    run(main())


def test_a_run_that_loses_a_result_fails_instead_of_shifting_the_others() -> None:
    async def main() -> None:
        async with batching(lambda numbers: numbers[:-1]) as batcher:
            (answer,) = await batcher.submit([1])
        assert isinstance(answer, RuntimeError)
        assert str(answer) == "1 items gave 0 results"

    run(main())


def test_a_cancelled_request_is_not_run() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model) as batcher:
            first = asyncio.create_task(batcher.submit([1]))
            await until(lambda: len(model.batches) == 1)
            left = asyncio.create_task(batcher.submit([2]))
            stayed = asyncio.create_task(batcher.submit([3]))
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.sleep(0)
            assert batcher.waiting_tokens == 10
            model.gate.set()
            assert await asyncio.gather(first, stayed) == [[2], [6]]
        assert model.batches == [[1], [3]]

    run(main())


def test_a_full_queue_turns_a_whole_request_away_and_says_when_to_come_back() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model, queue=50) as batcher:
            running = asyncio.create_task(batcher.submit([0]))
            await until(lambda: len(model.batches) == 1)
            waiting = asyncio.create_task(batcher.submit([1, 2, 3, 4]))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="40 tokens are waiting already, of the 50") as raised:
                await batcher.submit([5, 6])
            assert raised.value.retry_after_s >= 1
            fits = asyncio.create_task(batcher.submit([7]))
            await asyncio.sleep(0)
            model.gate.set()
            assert await asyncio.gather(running, waiting, fits) == [[0], [2, 4, 6, 8], [14]]
        assert model.batches == [[0], [1, 2, 3, 4, 7]]

    run(main())


def test_what_everybody_waits_for_goes_ahead_of_a_full_queue() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model, budget=20, queue=40) as batcher:
            running = asyncio.create_task(batcher.submit([0]))
            await until(lambda: len(model.batches) == 1)
            waiting = asyncio.create_task(batcher.submit([1, 2, 3, 4]))
            await asyncio.sleep(0)
            rushed = asyncio.create_task(batcher.rush([5]))
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

        async with batching(slow, budget=10, queue=100) as batcher:
            await batcher.submit([1])  # 10 tokens in 0.2 s: 50 a second
            waiting = asyncio.create_task(batcher.submit(list(range(10))))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded) as raised:
                await batcher.submit([1])
            assert raised.value.retry_after_s in (2, 3)  # 100 tokens at 50 a second, and a slow machine
            waiting.cancel()

    run(main())


def test_a_request_that_never_fits_is_told_so() -> None:
    async def main() -> None:
        async with batching(Model(), queue=50) as batcher:
            with pytest.raises(Invalid, match="the request has 60 tokens; one request may have 50"):
                await batcher.submit([1] * 6)

    run(main())


def test_closing_finishes_what_runs_and_turns_away_the_rest() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        batcher = Batcher(model, lambda _: 10, token_budget=100, queue_tokens=100)
        running = asyncio.create_task(batcher.submit([1]))
        await until(lambda: len(model.batches) == 1)
        waiting = asyncio.create_task(batcher.submit([2]))
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        model.gate.set()
        await closing
        assert await running == [2]
        (turned_away,) = await waiting
        assert isinstance(turned_away, Unavailable)
        with pytest.raises(Unavailable, match="stopping"):
            await batcher.submit([3])

    run(main())


def test_the_loop_stays_free_while_a_batch_runs() -> None:
    async def main() -> None:
        model = Model()
        model.gate.clear()
        async with batching(model) as batcher:
            running = asyncio.create_task(batcher.submit([1]))
            await until(lambda: len(model.batches) == 1)
            started = time.perf_counter()
            await asyncio.sleep(0.01)
            assert time.perf_counter() - started < 0.5
            model.gate.set()
            await running

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
