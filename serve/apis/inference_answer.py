"""The answer to an inference: JSON, and behind it the tensors that go as bytes."""

from collections.abc import Sequence

from fastapi import Response

from ..engine.answered import Answered
from .inference_schemas import InferRequest, InferResponse, OutputTensor
from .naming import HEADER as VERSION
from .naming import named
from .tensor_answers import chosen, columns
from .tensors import HEADER, Tensor


def written(asked: InferRequest, answered: Sequence[Answered]) -> Response:
    """What rows of one version were answered, as the request wants it.

    Raises:
        Invalid: it asks for an output that there is not.
    """
    version, epoch = answered[0].version, answered[0].epoch
    sent = chosen(asked, columns(answered))
    body = InferResponse(
        model_name=version.name,
        model_version=str(version.number),
        id=asked.id,
        parameters={"version": version.reference, "digest": version.digest, "epoch": epoch},
        outputs=[_output(tensor, as_bytes) for tensor, as_bytes in sent],
    ).model_dump_json(exclude_none=True)
    headers = {VERSION: named(version)}
    behind = b"".join(tensor.to_bytes() for tensor, as_bytes in sent if as_bytes)
    if not any(as_bytes for _, as_bytes in sent):
        return Response(body, headers=headers, media_type="application/json")
    head = body.encode()
    return Response(head + behind, headers=headers | {HEADER: str(len(head))}, media_type="application/octet-stream")


def _output(tensor: Tensor, as_bytes: bool) -> OutputTensor:
    told = OutputTensor(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape))
    if as_bytes:
        return told.model_copy(update={"parameters": {"binary_data_size": len(tensor.to_bytes())}})
    return told.model_copy(update={"data": tensor.to_json()})
