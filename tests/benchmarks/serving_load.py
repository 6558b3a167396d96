"""Rows that come when they come, at 70 % of what the server can do: callers who wait for answers hide a collapse."""

from statistics import median
from time import perf_counter

import torch

from methods import Artifact, Backbone, Row, Task, encode, predict
from serve.work.work import TOKEN_BUDGET

from ._load import Plan, generator, send
from ._pictures import Line, draw
from ._served import LABELS, Served, bodies, checked, inputs, names, quantile, served, texts
from ._turns import Results, result

SHARE, SECONDS, TURNS = 0.7, 12.0, 5
LEAD = 2.0  # seconds, after which as many are on their way as at the end
CLIENTS, ROWS = 64, 512  # of the turns that measure the capacity
SERVED, MOST = 0.97, 3.0  # of the rows in time; full batches that the slowest of a hundred waits


def measure() -> Results:
    """One thread, sixteen tasks, rows of SST-2's lengths; the medians of five turns."""
    torch.set_num_threads(1)
    backbone = Backbone.load()
    prompts = names("task")
    with served(prompts) as server, generator() as pool:
        rows = bodies(inputs(prompts, texts(ROWS)))
        shares, waits, capacities, took = [], [], [], list[float]()
        for _ in range(TURNS):
            capacity = checked(pool.submit(send, Plan(server.predict, rows, CLIENTS, ROWS)).result()).per_s
            batch_s = _full_batch_s(backbone, server)
            plan = Plan(server.predict, rows, 1024, seconds=SECONDS, per_s=SHARE * capacity)
            report = pool.submit(send, plan).result()
            late = quantile([one.took_s for one in report.asked], 0.99)
            took += [one.took_s for one in report.asked]
            capacities.append(capacity)
            offered = sum(one.due_s >= LEAD for one in report.asked) / (SECONDS - LEAD)
            shares.append(report.within(LEAD, SECONDS) / offered)
            waits.append(late / batch_s)
    what = f"{SHARE:.0%} of {median(capacities):.0f} rows/s for {SECONDS:g} s, Poisson"
    picture = draw("serving_load", what, [Line("requests", took)])
    tail = f"p99 {quantile(took, 0.99) * 1000:.0f} ms, p50 {quantile(took, 0.5) * 1000:.0f} ms"
    return [
        result("open loop, served over offered", median(shares), SERVED, what),
        result("open loop, p99 over a full batch", median(waits), MOST, f"{what}; {tail}; {picture}", at_most=True),
    ]


def _full_batch_s(backbone: Backbone, server: Served) -> float:
    """The forward of as many rows as the server takes at once, here, while it waits."""
    task = Task("task0", "classification", LABELS)
    version = server.registry.resolve("task0")
    artifact = Artifact.from_bytes(server.registry.fetch(version))
    (example,) = encode(backbone, task, Row(texts(1)[0]))
    items = [(artifact, example)] * (TOKEN_BUDGET // example.length)
    taken = []
    for _ in range(4):
        began = perf_counter()
        predict(backbone, items)
        taken.append(perf_counter() - began)
    return median(taken[1:])
