"""Which numbers a method's hyperparameters can be; checked where they are given by name."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from .errors import InvalidSetting

Length: TypeAlias = Annotated[int, Field(ge=1, le=10_000)]  # virtual tokens, or hidden units
Rank: TypeAlias = Annotated[int, Field(ge=1, le=10_000)]
Rate: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weight: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Ridge: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]  # without one, few rows have no single answer
Features: TypeAlias = Annotated[int, Field(ge=0, le=100_000)]  # random ones; 0 reads the states as they are
Temperature: TypeAlias = Annotated[float, Field(ge=1, le=1_000)]  # a teacher is smoothed, never sharpened

Method = TypeVar("Method")


def configured(among: Mapping[str, type[Method]], name: str, values: Mapping[str, object]) -> Method:
    """The frozen dataclass of this name with these values.

    Raises:
        InvalidSetting: the name, a hyperparameter or its value is not known.
    """
    if name not in among:
        raise InvalidSetting(f"unknown method {name!r}; known methods: {', '.join(sorted(among))}")
    kind: Any = among[name]
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InvalidSetting(f"{name} has no hyperparameter {unknown[0]!r}; it has {', '.join(known)}")
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSetting(f"{name}.{first['loc'][0]}: {first['msg']}") from error
