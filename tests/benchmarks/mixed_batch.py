"""Sixteen rows for sixteen tasks in one forward, against the bare backbone on the same rows."""

import time
from collections.abc import Callable
from statistics import median

import torch

from methods import Artifact, Backbone, Card, LinearHead, Prefix, Row, Task, encode, predict
from methods.encoding import collate

GOAL = 1.10
TURNS = 15
ROWS, WORDS, LENGTH = 16, 30, 16  # 30 words and two special tokens: 32 tokens


def measure() -> dict[str, object]:
    """In turn, one thread; the ratio of the median wall times."""
    torch.set_num_threads(1)
    backbone = Backbone.load()
    task = Task("t", "classification", ("a", "b"))
    generator = torch.Generator().manual_seed(0)
    card = Card("t", task, "prefix-tuning", {}, backbone.fingerprint)
    size = (backbone.layers, 2, backbone.heads, LENGTH, backbone.head_dim)
    head = LinearHead(torch.randn(2, backbone.hidden_size, generator=generator), torch.zeros(2))
    artifacts = [
        Artifact(card, Prefix(torch.randn(size, generator=generator), tuple(range(backbone.layers))), head)
        for _ in range(ROWS)
    ]
    (example,) = encode(backbone, task, Row("word " * WORDS))
    batch = collate(backbone, [example] * ROWS)

    def bare() -> None:
        with torch.inference_mode():
            backbone.hidden(batch)

    ours, base = _in_turn(lambda: predict(backbone, [(one, example) for one in artifacts]), bare)
    return {
        "name": "mixed batch",
        "ratio": round(ours / base, 3),
        "goal": GOAL,
        "ok": ours / base <= GOAL,
        "compared": f"16 rows of 32 tokens over 16 prefixes of 16: {ours * 1000:.1f} ms, bare {base * 1000:.1f} ms",
    }


def _in_turn(*works: Callable[[], object]) -> list[float]:
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(TURNS):
        for seconds, work in zip(taken, works, strict=True):
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
    return [median(seconds) for seconds in taken]
