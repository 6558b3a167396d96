"""The engine: references to versions, rows to tokens, tokens to mixed batches, and back to answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import torch

from methods import Answer, Artifact, Backbone, Example, MethodError, Output, Row, answer, encode, predict
from registry import Registry, RegistryError, Version

from .bank import Bank
from .batcher import Batcher
from .config import ServeConfig
from .correcting import check_kind, correction, erring
from .correction import Correction
from .errors import KINDS, Failed, Integrity, ServeError
from .fields import first_row, row
from .routing import Router
from .schemas import FeedbackRequest, Input
from .snapshot import Follower, Served

TOKEN_BUDGET = 2048  # padded tokens of one forward
QUEUE_TOKENS = 131_072

Value = TypeVar("Value")
Item: TypeAlias = tuple[Artifact, Example]
Submit: TypeAlias = Callable[[Sequence[Item]], Awaitable[list[Output | BaseException]]]


@dataclass(frozen=True)
class Asked:
    """A row, what answers it, and where it stands, for the error that names it."""

    where: str
    served: Served
    row: Row


@dataclass(frozen=True)
class Answered:
    """An answer, the version it came from, and the epoch of the snapshot that the version was found in."""

    version: Version
    epoch: int
    answer: Answer


class PromptEngine:
    """One frozen backbone that answers for every version of every task, whatever they are mixed with."""

    def __init__(self, backbone: Backbone, registry: Registry) -> None:
        self.backbone = backbone
        self.bank = Bank(registry, backbone)
        self.batcher: Batcher[Item, Output] = Batcher(
            lambda items: predict(backbone, items),
            lambda item: item[1].length,
            token_budget=TOKEN_BUDGET,
            queue_tokens=QUEUE_TOKENS,
        )
        self.follower = Follower(registry, self._bring)
        self._router = Router(registry, self._load)
        self._text = ThreadPoolExecutor(1, thread_name_prefix="text")  # a tokenizer is not for two threads at once

    async def close(self) -> None:
        """Answer what runs and turn away what waits."""
        await self.follower.close()
        await self.batcher.close()
        self._text.shutdown()

    async def predict(self, inputs: Sequence[Input]) -> list[Answered]:
        """Answers in the order of the inputs, all from one snapshot; or the error of the first row that has one."""
        snapshot = self.follower.snapshot
        served: dict[str, Served] = {}
        asked: list[Asked] = []
        for index, given in enumerate(inputs):
            with _naming(where := f"row {index}"):
                if given.prompt not in served:
                    served[given.prompt] = await self._router.route(given.prompt, snapshot)
                chosen = served[given.prompt]
                asked.append(Asked(where, chosen, row(chosen.task, given)))
        answers = await self._answers(asked, self.batcher.submit)
        return [Answered(a.served.version, snapshot.epoch, found) for a, found in zip(asked, answers, strict=True)]

    async def correction(self, given: FeedbackRequest, new_labels: bool) -> Correction:
        """What a user corrects, once its prompt, version, row and label are known to be right."""
        snapshot = self.follower.snapshot
        with _naming(where := "correction"):
            served = await self._router.route(given.prompt, snapshot)
            erred = await self._router.route(erring(given, served.version.name), snapshot)
            check_kind(given, served.task)
            asked = Asked(where, served, row(served.task, given))
            corrected = correction(given, served.task, erred.version, new_labels)
        await self._in_text_thread(lambda: self._encode(asked))
        return corrected

    async def _bring(self, version: Version) -> Served:
        """Load a version and have it answer a row once, so that what cannot answer is never swapped in."""
        served = await self._load(version)
        await self._answers([Asked("a first row", served, first_row(served.task))], self.batcher.rush)
        return served

    async def _load(self, version: Version) -> Served:
        artifact, task = await self.bank.get(version.digest)
        return Served(version, artifact, task)

    async def _answers(self, asked: Sequence[Asked], submit: Submit) -> list[Answer]:
        encoded = await self._in_text_thread(lambda: list(map(self._encode, asked)))
        items = [(one.served.artifact, e) for one, examples in zip(asked, encoded, strict=True) for e in examples]
        outputs = iter(await submit(items))
        found = [[next(outputs) for _ in examples] for examples in encoded]
        return await self._in_text_thread(lambda: list(map(self._merge, asked, encoded, found)))

    def _encode(self, one: Asked) -> list[Example]:
        with _naming(one.where):
            return encode(self.backbone, one.served.task, one.row, one.served.artifact.form)

    def _merge(self, one: Asked, examples: Sequence[Example], outputs: Sequence[Output | BaseException]) -> Answer:
        with _naming(one.where):
            numbers = [_checked(one.served.version, output) for output in outputs]
            return answer(self.backbone, one.served.artifact, one.row, examples, numbers)

    async def _in_text_thread(self, work: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._text, work)


@asynccontextmanager
async def opened(config: ServeConfig) -> AsyncIterator[PromptEngine]:
    """An engine for the time of the block, its first snapshot loaded, checked and warmed."""
    registry = await asyncio.to_thread(Registry.open, config.database_url, config.store_url)
    with closing(registry):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        engine = PromptEngine(await asyncio.to_thread(Backbone.load, config.backbone, device), registry)
        try:
            await engine.follower.start()
            yield engine
        finally:
            await engine.close()


def _checked(version: Version, output: Output | BaseException) -> Output:
    match output:
        case ServeError():
            raise output
        case BaseException():
            raise Failed(f"{version.reference} failed on it ({type(output).__name__})")
        case _ if not np.isfinite(output).all():
            raise Integrity(f"{version.reference} answers with a number that is not finite")
        case _:
            return output


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Say where an error lies; of a registry that is down, only that it is."""
    try:
        yield
    except (RegistryError, MethodError, ServeError) as error:
        kind = KINDS.get(error.code, Failed)
        if isinstance(error, RegistryError) and error.code == "unavailable":
            raise kind(f"{where}: the registry does not answer", hint="see /v1/status") from error
        raise kind(f"{where}: {error}", hint=error.hint) from error
