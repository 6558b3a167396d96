"""OpenAI's models, completions, chat and embeddings: a model is a reference to a prompt.

Prompts that generate text complete and chat; prompts whose head reads one vector of a row embed. Rows of one request
are answered by one version; `user` is the key by which a candidate's rows are chosen.
"""

from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response
from fastapi.responses import StreamingResponse
from numpy.typing import NDArray
from pydantic import BaseModel

from registry import Version
from registry.references import PRODUCTION

from ..engine.engine import PromptEngine
from ..schemas import Input
from .events import TYPE, stream
from .naming import HEADER, named
from .openai_answers import (
    ChatChunk,
    ChatCompletion,
    Completion,
    Embedding,
    Embeddings,
    EmbeddingUsage,
    FaultResponse,
    Model,
    Models,
    Usage,
)
from .openai_schemas import ChatRequest, CompletionRequest, EmbeddingsRequest, Speaking
from .openai_shapes import Shapes
from .speaking import Told, check, say, tell, total

Name: TypeAlias = Annotated[str, Path(max_length=200, description="A reference.", examples=["story"])]


def _engine(request: Request) -> PromptEngine:
    return request.app.state.engine


Engine: TypeAlias = Annotated[PromptEngine, Depends(_engine)]
Write: TypeAlias = Callable[[Shapes, Sequence[Told], Usage | None], BaseModel]
Opening: TypeAlias = Callable[[Shapes], BaseModel]


def add_to(app: FastAPI) -> None:
    """Add the routes."""
    fault = {"model": FaultResponse, "description": "What went wrong."}
    router = APIRouter(prefix="/v1", tags=["OpenAI"], responses={"default": fault})
    router.get("/models", operation_id="openai_models")(models)
    router.get("/models/{name}", operation_id="openai_model")(model)
    router.post(
        "/completions",
        operation_id="openai_completions",
        response_model=Completion,
        responses=_streamed(Completion),
    )(completions)
    router.post(
        "/chat/completions",
        operation_id="openai_chat",
        response_model=ChatCompletion,
        responses=_streamed(ChatChunk),
    )(chat)
    router.post("/embeddings", operation_id="openai_embeddings")(embeddings)
    app.include_router(router)


async def models(engine: Engine) -> Models:
    """Everything that an alias names; the alias is part of the id, unless it is production."""
    served = engine.follower.snapshot.served
    found = {name if alias == PRODUCTION else f"{name}@{alias}": one for (name, alias), one in served.items()}
    return Models(data=[_model(name, one.version) for name, one in sorted(found.items())])


async def model(name: Name, engine: Engine) -> Model:
    """One prompt, by any reference."""
    return _model(name, (await engine.served(name)).version)


async def completions(asked: CompletionRequest, engine: Engine, response: Response) -> Any:
    """Go on from texts as the prompt's task does; as a stream of events where `stream` is true."""
    await check(engine, asked.model)
    if asked.stream:
        return await _stream(engine, asked, asked.texts, Shapes.completion)
    told = await say(engine, asked, asked.texts)
    response.headers.update(_headers(told[0].version))
    return Shapes(asked.model, told[0].version).completion(told, total(one.usage for one in told))


async def chat(asked: ChatRequest, engine: Engine, response: Response) -> Any:
    """Answer a conversation as the prompt's task does; as a stream of events where `stream` is true."""
    await check(engine, asked.model)
    if asked.stream:
        return await _stream(engine, asked, asked.texts, Shapes.chunk, Shapes.opening)
    (told,) = await say(engine, asked, asked.texts)
    response.headers.update(_headers(told.version))
    return Shapes(asked.model, told.version).chat(told)


async def embeddings(asked: EmbeddingsRequest, engine: Engine, response: Response) -> Embeddings:
    """The vector that the prompt's own head reads of each text; where it reads one at all."""
    rows = [Input(prompt=asked.model, text=text, key=asked.user or None) for text in asked.texts]
    found = await engine.embed(rows)
    response.headers.update(_headers(found[0].version))
    read = sum(one.tokens for one in found)
    data = [Embedding(index=i, embedding=_written(one.vector, asked.encoding_format)) for i, one in enumerate(found)]
    return Embeddings(model=asked.model, data=data, usage=EmbeddingUsage(prompt_tokens=read, total_tokens=read))


async def _stream(
    engine: PromptEngine, asked: Speaking, texts: Sequence[str], write: Write, opening: Opening | None = None
) -> StreamingResponse:
    """The response, once there is a first piece: until then an error has its own status."""
    telling = tell(engine, asked, texts)
    first = await anext(telling)
    shapes = Shapes(asked.model, first.version)

    async def events() -> AsyncGenerator[BaseModel, None]:
        usage = [first.usage]
        if opening is not None:
            yield opening(shapes)
        yield write(shapes, [first], None)
        async with aclosing(telling):
            async for told in telling:
                usage.append(told.usage)
                yield write(shapes, [told], None)
        if asked.counted:
            yield write(shapes, [], total(usage))

    return stream(events(), _headers(first.version))


def _written(vector: NDArray[np.float64], encoding: Literal["float", "base64"]) -> list[float] | str:
    return b64encode(vector.astype("<f4").tobytes()).decode() if encoding == "base64" else vector.tolist()


def _headers(version: Version) -> dict[str, str]:
    return {HEADER: named(version)}


def _model(reference: str, version: Version) -> Model:
    return Model(id=reference, created=int(version.created_at.timestamp()))


def _streamed(document: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """How `/openapi.json` says that an answer may also be a stream of events."""
    data = {"type": "string", "description": f"One {document.__name__}; [DONE] at last."}
    event = {"type": "object", "required": ["data"], "properties": {"data": data}}
    return {200: {"content": {TYPE: {"schema": event}}}}
