"""Server-sent events: one JSON document as the data of each, and [DONE] at last."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from ..edge.failures import STATUS, body
from ..errors import ServeError

TYPE = "text/event-stream"
PATH = "/v1/completions"  # whose protocol's errors an event may hold


def stream(documents: AsyncGenerator[BaseModel, None], headers: dict[str, str]) -> StreamingResponse:
    """The response; an error on the way is the last event but [DONE]."""
    return StreamingResponse(_lines(documents), headers=headers | {"Cache-Control": "no-store"}, media_type=TYPE)


async def _lines(documents: AsyncGenerator[BaseModel, None]) -> AsyncIterator[str]:
    try:
        async with aclosing(documents):
            async for document in documents:
                yield f"data: {document.model_dump_json()}\n\n"
    except ServeError as error:
        yield f"data: {json.dumps(body(error, STATUS[error.code], PATH))}\n\n"
    yield "data: [DONE]\n\n"
