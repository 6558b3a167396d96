"""Answers as tensors: one for each thing that they say, with a row's part of it at the row's place."""

from collections.abc import Mapping, Sequence
from typing import Any

from methods import Task

from ..answers import said
from ..engine.answered import Answered
from ..errors import Invalid
from .inference_schemas import InferOutput, InferRequest, TensorMetadata
from .tensors import Datatype, Tensor

DATATYPES: Mapping[str, Datatype] = {
    "label": "BYTES",
    "choice": "BYTES",
    "tags": "BYTES",
    "answer": "BYTES",
    "text": "BYTES",
    "index": "INT64",
    "start": "INT64",
    "end": "INT64",
    "score": "FP32",
    "scores": "FP32",
}
ANSWERS: Mapping[str, tuple[str, ...]] = {
    "classification": ("label", "scores"),
    "pair": ("label", "scores"),
    "tagging": ("tags", "scores"),
    "span-qa": ("answer", "start", "end", "score"),
    "multiple-choice": ("choice", "index", "scores"),
    "generation": ("text",),
}


def answers(task: Task) -> list[TensorMetadata]:
    """The tensors that a task's answers are made of; `scores` has one column for each label, in the labels' order."""
    found = []
    for name in ANSWERS[task.kind]:
        shape = [-1]
        if name in ("scores", "tags"):
            shape.append(len(task.labels) if name == "scores" and task.kind in ("classification", "pair") else -1)
        labels = {"labels": list(task.labels)} if task.labels and name in ("label", "tags", "scores") else None
        found.append(TensorMetadata(name=name, datatype=DATATYPES[name], shape=shape, parameters=labels))
    return found


def columns(answered: Sequence[Answered]) -> list[Tensor]:
    """What rows of one task were answered, as tensors; short rows of tags end in "" and the score 0."""
    each = [said(one.answer) for one in answered]
    return [_tensor(name, [one[name] for one in each]) for name in each[0]]


def _tensor(name: str, column: list[Any]) -> Tensor:
    datatype = DATATYPES[name]
    listed = [list(one.values()) if isinstance(one, dict) else one for one in column]
    if not isinstance(listed[0], list):
        return Tensor(name, datatype, (len(listed),), listed)
    width, filler = max(map(len, listed)), "" if datatype == "BYTES" else 0
    padded = [value for one in listed for value in [*one, *[filler] * (width - len(one))]]
    return Tensor(name, datatype, (len(listed), width), padded)


def chosen(asked: InferRequest, tensors: Sequence[Tensor]) -> list[tuple[Tensor, bool]]:
    """The tensors that the request asks for, each with whether it goes as bytes.

    Raises:
        Invalid: it asks for one that is not answered, or for more of one than its values.
    """
    as_bytes = asked.parameters.get("binary_data_output") is True
    if not asked.outputs:
        return [(tensor, as_bytes) for tensor in tensors]
    by_name = {tensor.name: tensor for tensor in tensors}
    return [(_asked_for(place, one, by_name), _binary(one, as_bytes)) for place, one in enumerate(asked.outputs)]


def _asked_for(place: int, asked: InferOutput, by_name: Mapping[str, Tensor]) -> Tensor:
    if asked.name not in by_name:
        raise Invalid(f"output {place} is none of {', '.join(by_name)}")
    if any(name == "classification" or name.startswith("shared_memory") for name in asked.parameters):
        raise Invalid(
            f"output {asked.name!r} is sent as it is", hint="neither classification nor shared memory is offered"
        )
    return by_name[asked.name]


def _binary(asked: InferOutput, otherwise: bool) -> bool:
    return asked.parameters.get("binary_data", otherwise) is True
