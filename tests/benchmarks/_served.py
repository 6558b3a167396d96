"""Versions for the default backbone, `promptctl serve` over them in a process of its own, and rows to ask."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import torch

from methods import DEFAULT_BACKBONE, Artifact, Backbone, Card, LinearHead, Prefix, Task
from registry import Move, Registry
from serve.config import ServeConfig
from tests.serve.servers import free_port, start, stop

from ._load import Plan, Report, send
from ._sentences import DECILES

LABELS = ("negative", "positive")
LENGTH = 8  # of a prefix
TASKS = 16
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # the other core is the load generator's


@dataclass(frozen=True)
class Served:
    """A running server, its process, and its registry."""

    config: ServeConfig
    process: int
    registry: Registry

    @property
    def predict(self) -> str:
        """Where rows are sent."""
        return f"{self.config.url}/v1/predict"


@contextmanager
def served(prompts: Sequence[str], *options: str, length: int = LENGTH, versions: int = 1) -> Iterator[Served]:
    """Serve the first version of each prompt with one thread, from a home of its own; length 0 is a head alone."""
    with tempfile.TemporaryDirectory(prefix="bench") as home, patch.dict(os.environ, {"PROMPTCTL_HOME": home}):
        config = ServeConfig(f"sqlite:///{home}/registry.db", f"{home}/store", DEFAULT_BACKBONE, "127.0.0.1", 0)
        with closing(Registry.open(config.database_url, config.store_url)) as registry:
            publish(registry, prompts, length, versions)
            registry.promote([Move(f"{name}:1") for name in prompts], actor="bench")
            with started(config, *(options or ("--local",))) as (config, process):
                yield Served(config, process, registry)


@contextmanager
def started(config: ServeConfig, *options: str) -> Iterator[tuple[ServeConfig, int]]:
    """`promptctl serve` with one thread, at a free port."""
    config = replace(config, port=free_port())
    with patch.dict(os.environ, ONE_THREAD):
        process, said = start(config, *options)
    try:
        if process.poll() is not None or not said:
            raise RuntimeError(f"the server did not start: {said}")
        yield config, process.pid
    finally:
        stop(process)


def publish(registry: Registry, prompts: Sequence[str], length: int, versions: int = 1) -> None:
    """Versions of random numbers: a linear head and a prefix in every layer; prompts named bare have the head alone."""
    backbone = Backbone.load()
    layout = backbone.layout("encoder")
    generator = torch.Generator().manual_seed(0)
    for name in prompts:
        for number in range(1, versions + 1):
            size = (layout.layers, 2, layout.heads, length, layout.head_dim)
            prefix = Prefix(torch.randn(size, generator=generator), tuple(range(layout.layers)))
            head = LinearHead(torch.randn(2, backbone.hidden_size, generator=generator) / 10, torch.zeros(2))
            card = Card(name, Task(name, "classification", LABELS), "prefix-tuning", {}, backbone.fingerprint)
            blob = Artifact(card, None if name.startswith("bare") else prefix, head).to_bytes()
            key = f"{name}:{number}"
            registry.publish(name, blob, card.to_json(), idempotency_key=key, actor="bench")


def names(kind: str, count: int = TASKS) -> list[str]:
    """Prompts of a benchmark."""
    return [f"{kind}{index}" for index in range(count)]


def texts(count: int, words: int | None = None) -> list[str]:
    """Texts of so many words, else with the lengths of SST-2's training sentences."""
    places = np.random.default_rng(0).random(count) * (len(DECILES) - 1)
    lengths = [words or round(float(np.interp(place, range(len(DECILES)), DECILES))) for place in places]
    return [" ".join(["word"] * length) for length in lengths]


def inputs(prompts: Sequence[str], said: Sequence[str]) -> list[dict[str, str]]:
    """A row for each text, the prompts in turn."""
    return [{"prompt": prompts[index % len(prompts)], "text": text} for index, text in enumerate(said)]


def bodies(rows: Sequence[dict[str, str]], each: int = 1) -> list[bytes]:
    """Requests of so many rows."""
    return [json.dumps({"inputs": rows[first : first + each]}).encode() for first in range(0, len(rows), each)]


def in_turn(pool: ProcessPoolExecutor, *plans: Plan, turns: int = 5) -> list[list[Report]]:
    """The reports of each plan, all in turn, after one turn that does not count.

    Raises:
        RuntimeError: a request was not answered by 200.
    """
    found: list[list[Report]] = [[] for _ in plans]
    for turn in range(turns + 1):
        for reports, plan in zip(found, plans, strict=True):
            report = checked(pool.submit(send, plan).result())
            if turn:
                reports.append(report)
    return found


def checked(report: Report) -> Report:
    """A report of nothing but answers.

    Raises:
        RuntimeError: a request was not answered by 200.
    """
    if [*report.statuses()] != [200]:
        raise RuntimeError(f"requests by status: {report.statuses()}")
    return report


def quantile(seconds: Sequence[float], share: float) -> float:
    """The smallest of the values that no smaller share of them exceeds."""
    return float(np.quantile(seconds, share, method="inverted_cdf"))
