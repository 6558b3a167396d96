"""Small sessions of a tiny backbone's words, and settings of continual methods that fit its three layers."""

from collections.abc import Mapping

from methods import Artifact, Backbone, Card, Row, Task, encode
from methods.continual import Learned, Session
from methods.rows.encoding import Example
from methods.training import Plan, Step

PLAN = Plan(epochs=2, batch_size=5, seed=3)
OPENINGS = ("the film was", "a", "who sold the old book and it is", "not one hotel in the city on the river was", "how")
FIRST, SECOND = ("good", "bad"), ("red", "blue", "green")
SMALL: Mapping[str, dict[str, object]] = {
    "coda": {
        "components": 4,
        "length": 2,
        "layers": "last:2",
        "read_layers": "last:2",
        "random_features": 24,
        "head_learning_rate": 0.1,
    },
    "dualprompt": {"general_length": 2, "general_layers": "0", "length": 3, "layers": "1,2"},
    "l2p": {"components": 6, "top": 2, "layers": "last:2"},
    "progressive-prompts": {"length": 3},
    "ft": {"length": 3},
    "ftpp": {"length": 3},
    "ncm": {},
    "ridge": {},
    "ridge-random": {"random_features": 24},
    "joint": {"length": 3},
}


def examples(backbone: Backbone, labels: tuple[str, ...], rows: int = 4) -> list[Example]:
    """That many rows of each label, which say it."""
    task = Task("session", "classification", (*labels, "nothing else"))
    texts = [(f"{OPENINGS[n % len(OPENINGS)]} {label}", label) for n in range(rows) for label in labels]
    return [one for text, label in texts for one in encode(backbone, task, Row(text, label=label))]


def session(backbone: Backbone, labels: tuple[str, ...], rows: int = 4) -> Session:
    """A session of such rows."""
    return Session(labels, examples(backbone, labels, rows))


def unwatched(step: Step) -> None:
    """Nobody looks."""
    del step


def version(backbone: Backbone, learned: Learned) -> Artifact:
    """What is published of it."""
    labels = learned.labels if len(learned.labels) > 1 else (*learned.labels, "nothing else")
    card = Card("assistant", Task("assistant", "classification", labels), "m", {}, backbone.fingerprint)
    return Artifact(card, learned.form, learned.head, learned.factors)
