"""What travels over the Open Inference Protocol, version 2. Fields that it does not name are left to its extensions."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, StringConstraints

from ..schemas import Message, example

MOST_TENSORS = 16

Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Parameters: TypeAlias = dict[str, StrictBool | StrictInt | StrictFloat | StrictStr]
Size: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]


class Inference(Message):
    """What every message of the protocol has in common: its extensions may add fields."""

    model_config = ConfigDict(extra="ignore")


class InferInput(Inference):
    """One tensor in; without `data` its bytes stand behind the JSON, `binary_data_size` of them."""

    name: Name
    shape: tuple[Size, ...] = Field(min_length=1, max_length=2)
    datatype: Name
    parameters: Parameters = Field(default_factory=dict)
    data: list[Any] | None = Field(default=None, description="Texts, flat or nested as the shape is.")


class InferOutput(Inference):
    """A tensor that is asked for; as bytes where its parameter `binary_data` is true."""

    name: Name
    parameters: Parameters = Field(default_factory=dict)


class InferRequest(Inference):
    """Rows, field by field: the first size of every tensor is how many there are.

    Of the parameters, `binary_data_output` asks for outputs as bytes, and `key` is the rows' key; others are not read.
    """

    model_config = example(
        {
            "id": "42",
            "inputs": [
                {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a good film", "a slow train"]},
            ],
        }
    )

    id: Annotated[str, StringConstraints(max_length=200)] | None = None
    parameters: Parameters = Field(default_factory=dict)
    inputs: list[InferInput] = Field(min_length=1, max_length=MOST_TENSORS)
    outputs: list[InferOutput] | None = Field(default=None, max_length=MOST_TENSORS)


class OutputTensor(Inference):
    """One tensor out; without `data` its bytes stand behind the JSON, `binary_data_size` of them."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None
    data: list[str] | list[int] | list[float] | None = None


class InferResponse(Inference):
    """The tensors asked for; the parameters say the version, its digest and the epoch."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: Parameters
    outputs: list[OutputTensor]


class TensorMetadata(Inference):
    """A tensor of a model; -1 is a size that varies.

    The parameters say whether it is `optional`, and the `labels` that it holds or whose scores are its columns.
    """

    name: str
    datatype: str
    shape: list[int]
    parameters: Mapping[str, bool | list[str]] | None = None


class ModelMetadata(Inference):
    """What a prompt reads and answers, and the versions of it that are loaded."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: Parameters


class ServerMetadata(Inference):
    """What the server is, and which extensions of the protocol it speaks."""

    name: str
    version: str
    extensions: list[str]


class Live(Inference):
    """Whether the server answers at all."""

    live: bool


class Ready(Inference):
    """Whether everything promoted is loaded."""

    ready: bool


class ModelReady(Inference):
    """Whether one version can answer."""

    name: str
    ready: bool


class IndexEntry(Inference):
    """A version of the repository's index; an alias other than production stands in the name."""

    name: str
    version: str
    state: str
    reason: str = ""


class ErrorResponse(Inference):
    """What went wrong and what to do next."""

    error: str
