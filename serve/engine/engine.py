"""The engine: references to versions, rows to tokens, tokens to mixed batches, and back to answers."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from cachetools import LRUCache
from numpy.typing import NDArray

from methods import Answer, Artifact, Backbone, Example, GenerationHead, Output, Row, answer, encode
from methods.embedding import embedder, embedding
from methods.runtime.precision import lower
from methods.words.settled import settled
from registry import Registry, Version

from ..config import ServeConfig
from ..errors import Invalid
from ..feedback.correcting import check_kind, correction, erring
from ..feedback.correction import Correction
from ..metrics.observer import SILENT, Observer
from ..routing.follower import Follower
from ..routing.known import Known, open_registry
from ..routing.routing import Router
from ..routing.shadow import Shadows
from ..routing.signed import Required, Signatures
from ..routing.snapshot import Served
from ..routing.split import Arm
from ..schemas import FeedbackRequest, Input
from ..work.work import QUEUE_TOKENS, Submit, Work
from .agreement import Agreement, quantized
from .bank import Bank
from .bare import bare
from .fields import first_row, row
from .outcomes import checked, naming
from .shortened import shortened
from .stream import Stream

BRINGING = 64  # versions that are loaded and tried at once
TRIED = 4096
ANY = Required()

Value = TypeVar("Value")
Read: TypeAlias = tuple[list[Example], list[Output | BaseException]]


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
    arm: Arm | None = None


@dataclass(frozen=True)
class Embedded:
    """A row as a vector [H], the version through which it is seen, and how many tokens it has."""

    version: Version
    epoch: int
    vector: NDArray[np.float64]
    tokens: int


class PromptEngine:
    """One frozen backbone that answers for every version of every task, whatever they are mixed with."""

    def __init__(
        self,
        backbone: Backbone,
        registry: Registry,
        *,
        deadline_s: float | None = None,
        known: Known | None = None,
        required: Required = ANY,
        observer: Observer = SILENT,
    ) -> None:
        self.backbone, self._observer = backbone, observer
        self.agreement: Agreement | None = None  # with what the backbone answered in more bits
        self.bank = Bank(registry, backbone, observer=observer)
        self._signatures = Signatures(registry, required, known.signed if known else {})
        self.work = Work(backbone, deadline_s, observer)
        self.follower = Follower(registry, self._bring, known)
        self.shadows = Shadows(self._answer_beside, lambda: self.waiting_tokens, QUEUE_TOKENS)
        self._router = Router(registry, self._load, cache(partial(bare, backbone)))
        self._bringing = asyncio.Semaphore(BRINGING)
        self._tried: LRUCache[str, bool] = LRUCache(TRIED)  # digests of versions that have answered a first row
        self._text = ThreadPoolExecutor(1, thread_name_prefix="text")  # a tokenizer is not for two threads at once

    async def close(self) -> None:
        """Answer what runs and turn away what waits."""
        await self.follower.close()
        await self.shadows.close()
        await self.work.close()
        self._text.shutdown()

    @property
    def waiting_tokens(self) -> int:
        """Tokens of the rows that have not begun."""
        return self.work.waiting_tokens

    async def predict(self, inputs: Sequence[Input], most: int | None = None) -> list[Answered]:
        """Answers in the order of the inputs, all from one snapshot; or the error of the first row that has one.

        What is generated has at most `most` tokens, where that is given.
        """
        started = time.perf_counter()
        epoch, asked = await self._asked(inputs, most)
        answers = await self._answers(asked, self.work.submit)
        self._tell(asked, started)
        for one, found in zip(asked, answers, strict=True) if most is None else ():
            self.shadows.offer(one.served, one.row, found)
        return [
            Answered(one.served.version, epoch, found, one.served.arm)
            for one, found in zip(asked, answers, strict=True)
        ]

    async def stream(self, given: Input, most: int | None = None) -> Stream:
        """The answer to one row while it is being said, of a prompt that generates text, in at most `most` tokens.

        Raises:
            ServeError: the row cannot be answered, or not so.
        """
        started = time.perf_counter()
        epoch, (asked,) = await self._asked([given], most)
        served = asked.served
        if not isinstance(served.artifact.head, GenerationHead):
            raise Invalid(f"{asked.where}: {served.version.reference} answers {served.task.kind} rows and says nothing")
        example, *_ = await self._in_text_thread(lambda: self._encode(asked))

        def known(said: Sequence[int]) -> str:
            return settled(served.task, self.backbone.tokenizer.decode(list(said), skip_special_tokens=True))

        async def whole(output: Output | BaseException) -> Answer:
            said = await self._in_text_thread(lambda: self._merge(asked, [example], [output]))
            self._tell([asked], started)
            if most is None:
                self.shadows.offer(served, asked.row, said)
            return said

        return Stream(
            served.version,
            epoch,
            served.arm,
            lambda hear: self.work.listen((served.artifact, example), hear),
            lambda said: self._in_text_thread(lambda: known(said)),
            whole,
        )

    async def embed(self, inputs: Sequence[Input]) -> list[Embedded]:
        """The vector that each row's own head reads, seen through its prompt, in the order of the inputs.

        Raises:
            Invalid: a prompt's head reads no such vector.
            ServeError: a row cannot be answered.
        """
        started = time.perf_counter()
        epoch, asked = await self._asked(inputs)
        readers: dict[str, Artifact] = {}
        reading = []
        for one in asked:
            with naming(one.where):
                digest = one.served.version.digest
                readers[digest] = readers.get(digest) or embedder(one.served.artifact)
                reading.append(replace(one, served=replace(one.served, artifact=readers[digest])))
        read = await self._read(reading, self.work.submit)
        self._tell(asked, started)
        return [self._vector(epoch, one, *found) for one, found in zip(reading, read, strict=True)]

    async def served(self, reference: str) -> Served:
        """What answers for a reference now; a pinned version is loaded for it.

        Raises:
            ServeError: it is no reference, or nothing that can be served has that name.
        """
        with naming("model"):
            return await self._router.route(reference, self.follower.snapshot)

    async def correction(self, given: FeedbackRequest, new_labels: bool) -> Correction:
        """What a user corrects, once its prompt, version, row and label are known to be right."""
        snapshot = self.follower.snapshot
        with naming(where := "correction"):
            served = await self._router.route(given.prompt, snapshot)
            erred = await self._router.route(erring(given, served.version.name), snapshot, given.key)
            check_kind(given, served.task)
            asked = Asked(where, served, row(served.task, given))
            corrected = correction(given, served.task, erred.version, new_labels)
        await self._in_text_thread(lambda: self._encode(asked))
        return corrected

    async def _bring(self, version: Version) -> Served:
        """Load a version and have it answer a row once, so that what cannot answer is never swapped in."""
        async with self._bringing:
            return await self._brought(version)

    async def _brought(self, version: Version) -> Served:
        served = await self._load(version)
        if version.digest not in self._tried:
            await self._answers([Asked("a first row", served, first_row(served.task))], self.work.rush)
            self._tried[version.digest] = True
        return served

    async def _answer_beside(self, shadow: Served, row: Row) -> Answer:
        (found,) = await self._answers([Asked("a row beside", shadow, row)], self.work.submit)
        return found

    async def _load(self, version: Version) -> Served:
        signed = await self._signatures.check(version)
        artifact, task = await self.bank.get(version.digest)
        slim = replace(version, card={})  # thousands of cards are more than their tensors
        return Served(slim, artifact, task, signed)

    async def _asked(self, inputs: Sequence[Input], most: int | None = None) -> tuple[int, list[Asked]]:
        """What answers each input, all from one snapshot, and the snapshot's epoch."""
        snapshot, drawn = self.follower.snapshot, secrets.token_hex(16)
        served: dict[tuple[str, str], Served] = {}
        asked: list[Asked] = []
        for index, given in enumerate(inputs):
            with naming(where := f"row {index}"):
                named = given.prompt, given.key or drawn
                if named not in served:
                    served[named] = shortened(await self._router.route(given.prompt, snapshot, named[1]), most)
                chosen = served[named]
                asked.append(Asked(where, chosen, row(chosen.task, given)))
        return snapshot.epoch, asked

    async def _answers(self, asked: Sequence[Asked], submit: Submit) -> list[Answer]:
        read = await self._read(asked, submit)
        return await self._in_text_thread(
            lambda: [self._merge(one, *found) for one, found in zip(asked, read, strict=True)]
        )

    async def _read(self, asked: Sequence[Asked], submit: Submit) -> list[Read]:
        """The tokens of each row, and what came out for them."""
        started = time.perf_counter()
        encoded = await self._in_text_thread(lambda: list(map(self._encode, asked)))
        self._observer.encoded(len(asked), time.perf_counter() - started)
        items = [(one.served.artifact, e) for one, examples in zip(asked, encoded, strict=True) for e in examples]
        outputs = iter(await submit(items))
        return [(examples, [next(outputs) for _ in examples]) for examples in encoded]

    def _encode(self, one: Asked) -> list[Example]:
        with naming(one.where):
            return encode(self.backbone, one.served.task, one.row, one.served.artifact.form)

    def _merge(self, one: Asked, examples: Sequence[Example], outputs: Sequence[Output | BaseException]) -> Answer:
        with naming(one.where):
            numbers = [checked(one.served.version, output) for output in outputs]
            return answer(self.backbone, one.served.artifact, one.row, examples, numbers)

    def _vector(
        self, epoch: int, one: Asked, examples: Sequence[Example], outputs: Sequence[Output | BaseException]
    ) -> Embedded:
        with naming(one.where):
            vector = embedding(one.served.artifact, [checked(one.served.version, output) for output in outputs])
        return Embedded(one.served.version, epoch, vector, sum(len(example.input_ids) for example in examples))

    def _tell(self, asked: Sequence[Asked], started: float) -> None:
        kinds = Counter(one.served.task.kind for one in asked)
        self._observer.answered(kinds, time.perf_counter() - started)

    async def _in_text_thread(self, work: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._text, work)


@asynccontextmanager
async def opened(config: ServeConfig, observer: Observer = SILENT) -> AsyncIterator[PromptEngine]:
    """An engine for the time of the block, its first snapshot loaded, checked and warmed."""
    registry, known = await asyncio.to_thread(open_registry, config)
    with closing(registry):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        backbone = await asyncio.to_thread(Backbone.load, config.backbone, device)
        if device == "cuda":
            lower(backbone, "bfloat16")
        required = Required(config.require_signed, config.trusted_keys)
        engine = PromptEngine(
            backbone, registry, deadline_s=config.deadline_s, known=known, required=required, observer=observer
        )
        try:
            await engine.follower.start()
            if config.quantize:
                engine.agreement = await quantized(engine)
            yield engine
        finally:
            await engine.close()
