"""What a client gets: messages of `schemas` as plain dictionaries, with names and types for whoever reads them."""

from typing import Any, TypedDict


class Prediction(TypedDict):
    """One answer, and which version gave it. Of the fields after `epoch` it has those of its task's kind.

    `arm` is there where the alias has a candidate. Scores are by label, or in the order of the choices or words.
    """

    prompt: str
    version: str
    digest: str
    epoch: int
    arm: str
    label: str
    choice: str
    index: int
    tags: list[str]
    scores: Any
    text: str
    answer: str
    start: int
    end: int
    score: float


class ServedTask(TypedDict):
    """A prompt that is served, the fields its rows need and may have, and which version each alias names."""

    prompt: str
    kind: str
    labels: list[str]
    fields: list[str]
    optional: list[str]
    aliases: dict[str, str]
