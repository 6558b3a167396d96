"""Which numbers a method's hyperparameters can be; checked where they are given by name."""

from typing import Annotated, TypeAlias

from pydantic import Field

Length: TypeAlias = Annotated[int, Field(ge=1, le=10_000)]  # virtual tokens, or hidden units
Rank: TypeAlias = Annotated[int, Field(ge=1, le=10_000)]
Rate: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weight: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Temperature: TypeAlias = Annotated[float, Field(ge=1, le=1_000)]  # a teacher is smoothed, never sharpened
