"""The engine: references to versions, rows to tokens, tokens to mixed batches, and back to answers."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import TypeAlias, TypeVar

from cachetools import LRUCache

from methods import Answer, Artifact, Backbone, Example, GenerationHead, Output, Row, answer, encode
from methods.embedding import embedder, embedding
from methods.words.settled import settled
from registry import Registry, Version

from ..errors import Invalid
from ..feedback.correcting import check_kind, correction, erring
from ..feedback.correction import Correction, digest_of_tokens
from ..metrics.observer import SILENT, Observer
from ..routing.follower import Follower
from ..routing.known import Known
from ..routing.routing import Router
from ..routing.shadow import Shadows
from ..routing.signed import Required, Signatures
from ..routing.snapshot import Passed, Served
from ..schemas import FeedbackRequest, Input
from ..work.work import QUEUE_TOKENS, Submit, Work
from .agreement import Agreement
from .answered import Answered, Asked, Embedded
from .bank import Bank
from .bare import bare
from .fields import first_row, row
from .outcomes import checked, naming
from .shortened import shortened
from .stream import Stream

TRIED = 4096
ANY = Required()

Value = TypeVar("Value")
Read: TypeAlias = tuple[list[Example], list[Output | BaseException]]


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

    async def streams(self, inputs: Sequence[Input], most: int | None = None) -> list[Stream]:
        """Answers while they are being said, in at most `most` tokens each; all from one snapshot.

        Raises:
            ServeError: a row cannot be answered, or its prompt generates no text.
        """
        _, asked = await self._asked(inputs, most)
        for one in asked:
            version, kind = one.served.version, one.served.task.kind
            if not isinstance(one.served.artifact.head, GenerationHead):
                raise Invalid(f"{one.where}: {version.reference} answers {kind} rows and says nothing")
        encoded = await self._in_text_thread(lambda: [self._encode(one)[0] for one in asked])
        return [self._stream(*one, most) for one in zip(asked, encoded, strict=True)]

    def _stream(self, asked: Asked, example: Example, most: int | None) -> Stream:
        started, served = time.perf_counter(), asked.served

        def known(said: Sequence[int]) -> str:
            return settled(served.task, self.backbone.tokenizer.decode(list(said), skip_special_tokens=True))

        async def whole(output: Output | BaseException) -> Answer:
            said = await self._in_text_thread(lambda: self._merge(asked, [example], [output]))
            if most is None:
                self.shadows.offer(served, asked.row, said)
            return said

        return Stream(
            served.version,
            len(example.input_ids),
            lambda hear: self.work.listen((served.artifact, example), hear),
            lambda said: self._in_text_thread(lambda: known(said)),
            whole,
            lambda: self._tell([asked], started),
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
        examples = await self._in_text_thread(lambda: self._encode(asked))
        return replace(corrected, read=digest_of_tokens(examples))

    async def _bring(self, version: Version) -> Passed:
        """Load a version and have it answer a row once, so that what cannot answer is never swapped in."""
        signed = await self._signatures.check(version)
        served = await self._load(version)
        if version.digest not in self._tried:
            await self._answers([Asked("a first row", served, first_row(served.task))], self.work.rush)
            self._tried[version.digest] = True
        return Passed(version, served.task, signed)

    async def _answer_beside(self, shadow: Passed, row: Row) -> Answer:
        (found,) = await self._answers([Asked("a row beside", await self._load(shadow.version), row)], self.work.submit)
        return found

    async def _load(self, version: Version) -> Served:
        await self._signatures.check(version)
        artifact, task = await self.bank.get(version.digest)
        return Served(version, artifact, task)

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
