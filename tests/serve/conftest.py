"""A tiny backbone, artifacts made by hand, and a real registry on SQLite."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from methods import Artifact, Backbone, Card, Form, Prefix, SoftPrompt, Task, TextPrompt
from methods.heads import new_head
from methods.stored import tensors
from registry import Registry, Version
from serve.config import ServeConfig
from tests.backbones import tiny as tiny_of

SENTIMENT = Task("sentiment", "classification", ("negative", "positive"))
TOPIC = Task("topic", "classification", ("city", "film", "night"))
SAME = Task("same", "pair", ("no", "yes"))
NAMES = Task("names", "tagging", ("B-place", "O"))
QA = Task("qa", "span-qa")
QUIZ = Task("quiz", "multiple-choice")
STORY = Task("story", "generation")
WORDED = Task(
    "worded", "classification", SENTIMENT.labels, TextPrompt(("{text} it was",), (("bad", "awful"), ("good",)))
)

Publish = Callable[[str, Artifact], Version]


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Backbone:
    return Backbone.load(str(tiny_folder))


@pytest.fixture(scope="session")
def speaker_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny GPT-2."""
    return tiny_of("gpt2", tmp_path_factory.mktemp("speaker"))


@pytest.fixture(scope="session")
def speaker(speaker_folder: Path) -> Backbone:
    return Backbone.load(str(speaker_folder))


@pytest.fixture(scope="session")
def make(tiny: Backbone) -> Callable[..., Artifact]:
    """An artifact of random numbers; other seeds, lengths and forms give other answers."""

    def make(
        task: Task | None,
        seed: int = 0,
        *,
        form: str = "soft-prompt",
        length: int = 3,
        backbone: Backbone = tiny,
    ) -> Artifact:
        generator = torch.Generator().manual_seed(seed)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator)

        place = backbone.layout(backbone.place)
        shape = (place.layers, 2, place.heads, length, place.head_dim)
        forms: dict[str, Form] = {
            "soft-prompt": SoftPrompt(random(length, backbone.embedding_size)),
            "prefix": Prefix(random(*shape), tuple(range(place.layers)), backbone.place),
            "none": None,
        }
        name = task.name if task else "shared/common"
        card = Card(name, task, "prompt-tuning", {}, backbone.fingerprint)
        if task is None:
            return Artifact(card, forms[form])
        fresh = new_head(task, backbone, generator)
        weights = {name: random(*tensor.shape) * 0.1 for name, tensor in tensors(fresh).items()}
        return Artifact(card, forms[form], replace(fresh, **weights))  # pyright: ignore[reportArgumentType] - any head

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
