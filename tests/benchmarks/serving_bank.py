"""Ten thousand prefixes on one backbone: rows a second at skewed popularity against ten, and the memory.

Together they are more than the bank holds, so that some are read again when they are asked for.
"""

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from methods import Artifact, Backbone, Card, LinearHead, Prefix, Task
from registry import Move, Registry
from registry.canonical import digest_of
from serve.engine.engine import PromptEngine
from serve.schemas import Input

from ._turns import Results, result

PROMPTS = int(os.environ.get("PROMPTS", "10000"))
FEW, LENGTH, ROWS, TURNS = 10, 8, 64, 15
LEAST, MOST = 0.95, 1.2
LABELS = ("negative", "positive")


def measure() -> Results:
    """One thread; the same texts and batches, asked of ten prompts and of all of them in turn."""
    torch.set_num_threads(1)
    return asyncio.run(_measure(Backbone.load()))


async def _measure(backbone: Backbone) -> Results:
    with _registry() as registry:
        _publish(registry, backbone)
        engine = PromptEngine(backbone, registry)
        try:
            _promote(registry, range(FEW))
            await engine.follower.start()
            await engine.predict(_asked(np.arange(256) % FEW))  # whatever a forward needs is there from now on
            before, held = _resident(), engine.bank.nbytes
            _promote(registry, range(FEW, PROMPTS))
            await engine.follower.sync()
            while engine.follower.snapshot.epoch < registry.epoch():  # it does not wait for all of them
                await asyncio.sleep(0.1)
            grown, nbytes = _resident() - before, engine.bank.nbytes - held
            few, many = await _rows_per_second(engine)
        finally:
            await engine.close()
    spread = f"{many:.0f} rows a second over {PROMPTS:,} prompts (Zipf), {few:.0f} over {FEW}, {ROWS} rows a request"
    memory = f"{grown / 2**20:.0f} MB more for {nbytes / 2**20:.0f} MB of tensors in the bank, of {PROMPTS:,} prompts"
    return [
        result(f"{PROMPTS:,} prompts against {FEW}", many / few, LEAST, spread),
        result(f"memory of {PROMPTS:,} prompts", grown / nbytes, MOST, memory, at_most=True),
    ]


async def _rows_per_second(engine: PromptEngine) -> tuple[float, float]:
    draw = np.random.default_rng(0)
    popular = 1 / np.arange(1, PROMPTS + 1)
    popular /= popular.sum()
    few: list[float] = []
    many: list[float] = []
    for turn in range(TURNS + 1):
        for taken, names in (
            (few, draw.integers(0, FEW, ROWS)),
            (many, draw.choice(PROMPTS, ROWS, p=popular)),
        ):
            inputs = _asked(names)
            began = time.perf_counter()
            await engine.predict(inputs)
            if turn:
                taken.append(time.perf_counter() - began)
    return ROWS / median(few), ROWS / median(many)


@contextmanager
def _registry() -> Iterator[Registry]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with closing(Registry.open(f"sqlite:///{home}/registry.db", str(home / "store"))) as registry:
            yield registry


def _publish(registry: Registry, backbone: Backbone) -> None:
    """As many prompts, each with tensors of its own."""
    generator, own = torch.Generator().manual_seed(0), backbone.layout(backbone.place)
    shape = (own.layers, 2, own.heads, LENGTH, own.head_dim)
    for name in map(_name, range(PROMPTS)):
        card = Card(name, Task(name, "classification", LABELS), "prefix-tuning", {}, backbone.fingerprint)
        form = Prefix(torch.randn(*shape, generator=generator) * 0.1, tuple(range(own.layers)), backbone.place)
        weight = torch.randn(len(LABELS), backbone.hidden_size, generator=generator) * 0.1
        artifact = Artifact(card, form, LinearHead(weight, torch.zeros(len(LABELS)), backbone.pooling))
        blob = artifact.to_bytes()
        registry.publish(name, blob, card.to_json(), idempotency_key=digest_of(blob), actor="bench")


def _promote(registry: Registry, indices: range) -> None:
    registry.promote([Move(f"{_name(index)}:1") for index in indices], actor="bench")


def _asked(indices: NDArray[np.int64]) -> list[Input]:
    texts = [f"the film was {word} and the hotel was not" for word in ("good", "bad", "old", "new")]
    return [Input(prompt=_name(index), text=texts[place % len(texts)]) for place, index in enumerate(indices.tolist())]


def _name(index: int) -> str:
    return f"p{index}"


def _resident() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss
