"""Frozen records that hold tensors, taken apart for a file and put together again."""

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar

import torch
from pydantic import ConfigDict, TypeAdapter, with_config
from torch import Tensor

Record = TypeVar("Record")


def settings(record: Any) -> dict[str, Any]:
    """What is not a tensor, ready for JSON."""
    return {name: value for name, value in _values(record).items() if not isinstance(value, Tensor)}


def tensors(record: Any) -> dict[str, Tensor]:
    """The tensors, detached."""
    return {name: value.detach() for name, value in _values(record).items() if isinstance(value, Tensor)}


def moved(record: Record, device: torch.device) -> Record:
    """The record with its tensors on a device."""
    found: Any = replace(record, **{name: tensor.to(device) for name, tensor in tensors(record).items()})  # pyright: ignore[reportArgumentType, reportCallIssue] - a dataclass
    return found


def put_together(kind: type[Record], settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Record:
    """The record; pydantic's ValidationError for a field that is missing, unknown or of another type."""
    return _adapter(kind).validate_python({**settings, **tensors})


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(with_config(ConfigDict(extra="forbid", arbitrary_types_allowed=True))(kind))
