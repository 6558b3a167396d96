"""Fields of another's protocol of which this server honours some values, and refuses the others instead of ignoring."""

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema


@dataclass(frozen=True)
class Only:
    """Takes these values, and null; `why` is what the error says of all others."""

    values: tuple[object, ...]
    why: str = "not offered here: leave it out"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """A check in place of the type's own."""
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The values, listed."""
        return {"enum": [*self.values, None]}

    def _check(self, value: object) -> object:
        if value is None or any(_same(value, one) for one in self.values):
            return value
        raise PydanticCustomError("unsupported", "{why}", {"why": self.why})


def _same(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


Greedy: TypeAlias = Annotated[Any, Only((0, 1), "decoding is greedy: give 0, or leave it out")]
One: TypeAlias = Annotated[Any, Only((1,), "there is one answer: give 1, or leave it out")]
Zero: TypeAlias = Annotated[Any, Only((0,))]
No: TypeAlias = Annotated[Any, Only((False,))]
Nothing: TypeAlias = Annotated[Any, Only(())]
Empty: TypeAlias = Annotated[Any, Only(({},))]
