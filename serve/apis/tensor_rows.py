"""Rows as tensors: one for each field, with a row's part of it at the row's place."""

from typing import Any

from methods import Task

from ..engine.fields import FIELDS, PARTS
from ..errors import Invalid
from ..schemas import MOST_INPUTS, Input
from .inference_schemas import InferInput, InferRequest, TensorMetadata
from .tensors import check_size, flat, unpack

WIDE = ("tokens", "choices")  # fields of several texts; every row has as many, short rows of tokens end in ""


def reads(task: Task) -> list[TensorMetadata]:
    """The tensors that a task's rows are made of."""
    fields = FIELDS[task.kind]
    names = [(name, None) for name in fields.needed] + [(name, {"optional": True}) for name in fields.optional]
    return [
        TensorMetadata(name=name, datatype="BYTES", shape=[-1, -1] if name in WIDE else [-1], parameters=parameters)
        for name, parameters in names
    ]


def rows(reference: str, asked: InferRequest, behind: bytes) -> list[Input]:
    """The rows of a request; `behind` are the bytes behind its JSON.

    Raises:
        Invalid: a tensor is no field of a row, or has not the size, the type or the bytes that it says.
    """
    columns: dict[str, list[Any]] = {}
    for place, given in enumerate(asked.inputs):
        name, size = _named(place, given), _size_behind(given)
        if name in columns:
            raise Invalid(f"input {name!r} is there twice")
        if size > len(behind):
            raise Invalid(f"input {name!r} has {size} bytes, and {len(behind)} are left of the body")
        columns[name] = _column(name, given, behind[:size])
        behind = behind[size:]
    if behind:
        raise Invalid(f"{len(behind)} bytes are behind the last tensor")
    count = len(next(iter(columns.values())))
    if {len(column) for column in columns.values()} != {count}:
        raise Invalid("the inputs have not the same number of rows")
    if not 0 < count <= MOST_INPUTS:
        raise Invalid(f"a request has 1 to {MOST_INPUTS} rows, this one has {count}")
    key = asked.parameters.get("key")
    about = {"prompt": reference} | ({"key": key} if isinstance(key, str) else {})
    return [Input(**about, **dict(zip(columns, line, strict=True))) for line in zip(*columns.values(), strict=True)]


def _named(place: int, given: InferInput) -> str:
    if given.name not in PARTS:
        raise Invalid(f"input {place} is no field of a row", hint=f"the fields are {', '.join(PARTS)}")
    if given.datatype != "BYTES":
        raise Invalid(f"input {given.name!r} is not of datatype BYTES")
    return given.name


def _size_behind(given: InferInput) -> int:
    size = given.parameters.get("binary_data_size", 0)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Invalid(f"binary_data_size of input {given.name!r} is no number of bytes")
    if given.data is None and "binary_data_size" not in given.parameters:
        raise Invalid(f"input {given.name!r} has no data", hint="shared memory is not offered: send the texts")
    if given.data is not None and size:
        raise Invalid(f"input {given.name!r} has data twice, in the JSON and behind it")
    return size


def _column(name: str, given: InferInput, raw: bytes) -> list[Any]:
    """One value of the field for each row."""
    where, shape = f"input {name!r}", given.shape
    values = unpack(raw, where) if given.data is None else flat(given.data, shape, where)
    check_size(values, shape, where)
    if name not in WIDE:
        if shape[1:] not in ((), (1,)):
            raise Invalid(f"{where} has a shape other than [rows] or [rows, 1]")
        return values
    if len(shape) != 2 or shape[0] * shape[1] == 0:
        raise Invalid(f"{where} has a shape other than [rows, {name}]")
    each = [values[start : start + shape[1]] for start in range(0, len(values), shape[1])]
    return [_shorter(one) for one in each] if name == "tokens" else each


def _shorter(tokens: list[str]) -> list[str]:
    """A row's tokens without the empty ones at their end; one that has no other keeps the first."""
    last = max((index for index, token in enumerate(tokens) if token), default=0)
    return tokens[: last + 1]
