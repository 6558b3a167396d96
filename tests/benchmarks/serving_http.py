"""Rows per second and latency over HTTP: against heads alone in the same server, and against the engine alone.

The server has one thread and one core, the load generator the other.
"""

import asyncio
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from statistics import median
from time import perf_counter

import torch

from serve.config import ServeConfig
from serve.engine.engine import PromptEngine
from serve.engine.opening import opened
from serve.schemas import Input

from ._constant import constant
from ._load import Plan, Report, generator, send
from ._pictures import Line, draw
from ._served import Served, bodies, checked, in_turn, inputs, names, quantile, served, texts
from ._turns import Results, result

INGRESSES = {"uvicorn": "--local", "Ray Serve": "--production"}
CLIENTS = (1, 8, 32)
ROWS, BATCH, TURNS = 256, 64, 5
LEAST, MOST = 0.95, 1.1  # of the rows per second and of the p99 without prompts
OFFLINE = 0.85  # of the engine's rows per second
CEILING = 5.0  # how much more than what is measured the generator can do


def measure() -> Results:
    """Sixteen tasks, rows of SST-2's lengths; the median of five turns."""
    torch.set_num_threads(1)
    prompts, lines = [*names("task"), *names("bare")], []
    with generator() as pool:
        for ingress, option in INGRESSES.items():
            with served(prompts, option) as server:
                for clients in CLIENTS:
                    lines += _against_bare(pool, server, ingress, clients)
                lines += _against_engine(pool, server) if option == "--local" else []
    return lines


def _against_bare(pool: ProcessPoolExecutor, server: Served, ingress: str, clients: int) -> Results:
    ours, base = (
        Plan(server.predict, bodies(inputs(names(kind), texts(ROWS))), clients, ROWS) for kind in ("task", "bare")
    )
    prompted, without = in_turn(pool, ours, base, turns=TURNS)
    fast, slow = (median(report.per_s for report in reports) for reports in (prompted, without))
    late, soon = (quantile(_took(reports), 0.99) for reports in (prompted, without))
    shown = [Line("prompts", _took(prompted)), Line("heads alone", _took(without))]
    picture = draw(f"serving_http_{ingress.split()[0].lower()}_{clients}", f"{ingress}, {clients} clients", shown)
    what = f"{clients} clients, single rows: {fast:.0f} rows/s, heads alone {slow:.0f}"
    tail = f"{late * 1000:.1f} ms, heads alone {soon * 1000:.1f} ms; {picture}"
    return [
        result(f"HTTP rows/s, {ingress}, {clients} clients", median(_ratios(without, prompted)), LEAST, what),
        result(f"HTTP p99, {ingress}, {clients} clients", late / soon, MOST, tail, at_most=True),
    ]


def _ratios(base: list[Report], ours: list[Report]) -> list[float]:
    return [one.seconds / other.seconds for one, other in zip(base, ours, strict=True)]


def _took(reports: list[Report]) -> list[float]:
    return [one.took_s for report in reports for one in report.asked]


def _against_engine(pool: ProcessPoolExecutor, server: Served) -> Results:
    """The engine answers in this process, while the server waits."""
    rows = inputs(names("task"), texts(ROWS))
    single, batches = (
        Plan(server.predict, bodies(rows), 32, ROWS),
        Plan(server.predict, bodies(rows, BATCH), 1, ROWS // BATCH),
    )
    alone: list[float] = []
    ones: list[float] = []
    several: list[float] = []
    with asyncio.Runner() as runner, constant() as nothing:
        engine, stack = runner.run(_opened(server.config))
        for _ in range(TURNS + 1):
            alone.append(runner.run(_offline(engine, rows)))
            ones.append(checked(pool.submit(send, single).result()).seconds)
            several.append(checked(pool.submit(send, batches).result()).seconds)
        runner.run(stack.aclose())
        most = checked(pool.submit(send, Plan(nothing, single.bodies, 32, 20 * ROWS)).result()).per_s
    base, one, many = (ROWS / median(seconds[1:]) for seconds in (alone, ones, several))
    what = f"engine alone, {BATCH} rows at a time {base:.0f} rows/s"
    return [
        result("HTTP over the engine, 32 clients", one / base, OFFLINE, f"{one:.0f} rows/s, {what}"),
        result(f"HTTP over the engine, {BATCH} rows of a request", many / base, OFFLINE, f"{many:.0f} rows/s, {what}"),
        result(
            "load generator over the server", most / one, CEILING, f"{most:.0f} requests/s of a server that is none"
        ),
    ]


async def _opened(config: ServeConfig) -> tuple[PromptEngine, AsyncExitStack]:
    stack = AsyncExitStack()
    return await stack.enter_async_context(opened(config)), stack


async def _offline(engine: PromptEngine, rows: list[dict[str, str]]) -> float:
    asked = [Input.model_validate(row) for row in rows]
    began = perf_counter()
    for first in range(0, len(asked), BATCH):
        await engine.predict(asked[first : first + BATCH])
    return perf_counter() - began
