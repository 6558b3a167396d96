"""A tiny backbone, artifacts made by hand, and a real registry on SQLite."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from methods import Artifact, Backbone, Card, Form, Head, LinearHead, Prefix, SoftPrompt, SpanHead, Task
from registry import Registry, Version
from serve.config import ServeConfig

SENTIMENT = Task("sentiment", "classification", ("negative", "positive"))
TOPIC = Task("topic", "classification", ("city", "film", "night"))
SAME = Task("same", "pair", ("no", "yes"))
QA = Task("qa", "span-qa")

Publish = Callable[[str, Artifact], Version]


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Backbone:
    return Backbone.load(str(tiny_folder))


@pytest.fixture(scope="session")
def make(tiny: Backbone) -> Callable[..., Artifact]:
    """An artifact of random numbers; other seeds, lengths and forms give other answers."""

    def make(
        task: Task | None,
        seed: int = 0,
        *,
        form: str = "soft-prompt",
        length: int = 3,
    ) -> Artifact:
        generator = torch.Generator().manual_seed(seed)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator)

        forms: dict[str, Form] = {
            "soft-prompt": SoftPrompt(random(length, tiny.hidden_size)),
            "prefix": Prefix(random(tiny.layers, 2, tiny.heads, length, tiny.head_dim), tuple(range(tiny.layers))),
            "none": None,
        }
        size = len(task.labels) if task and task.labels else 2
        weight, bias = random(size, tiny.hidden_size) * 0.1, random(size) * 0.1
        head: Head = SpanHead(weight, bias) if task == QA else LinearHead(weight, bias)
        name = task.name if task else "shared/common"
        card = Card(name, task, "prompt-tuning", {}, tiny.fingerprint)
        return Artifact(card, forms[form], head if task else None)

    return make


@pytest.fixture
def config(tmp_path: Path, tiny_folder: Path) -> ServeConfig:
    home = tmp_path / "home"
    return ServeConfig(
        database_url=f"sqlite:///{home}/registry.db",
        store_url=str(home / "store"),
        backbone=str(tiny_folder),
        host="127.0.0.1",
        port=8000,
    )


@pytest.fixture
def registry(config: ServeConfig) -> Iterator[Registry]:
    opened = Registry.open(config.database_url, config.store_url)
    yield opened
    opened.close()


@pytest.fixture
def publish(registry: Registry) -> Publish:
    """Publish an artifact under a name; the same artifact again is the same version."""

    def publish(name: str, artifact: Artifact) -> Version:
        blob = artifact.to_bytes()
        return registry.publish(name, blob, artifact.card.to_json(), idempotency_key=str(hash(blob)), actor="ada")

    return publish
