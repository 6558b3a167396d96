"""An answer while it is being said."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

from methods import Answer, Generated, Output
from registry import Version

from ..errors import Failed
from ..work.generation import Hear


class Stream(AsyncIterator[str]):
    """Pieces of an answer, which joined are the answer; leaving it (`aclose`) stops what is being said.

    `read` and `said` are how many tokens it goes on from, and how many it has so far.
    """

    def __init__(
        self,
        version: Version,
        read: int,
        listen: Callable[[Hear], Awaitable[Output | BaseException]],
        known: Callable[[Sequence[int]], Awaitable[str]],
        whole: Callable[[Output | BaseException], Awaitable[Answer]],
        count: Callable[[], None],
    ) -> None:
        """`listen` has the tokens said, `known` is what is settled of so many tokens, `whole` the answer of all.

        `count` is told that it is answered.
        """
        self.version, self.read, self.said = version, read, 0
        self.answer: Generated | None = None  # once it is over
        self._listen, self._known, self._whole, self._count = listen, known, whole, count
        self._pieces = self._told()

    async def __anext__(self) -> str:
        """The next piece.

        Raises:
            ServeError: it could not begin, or something went wrong on the way.
        """
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Hear no more of it."""
        await self._pieces.aclose()

    async def enough(self) -> None:
        """What was heard is the answer."""
        await self.aclose()
        if self.answer is None:
            self._count()

    async def _told(self) -> AsyncGenerator[str, None]:
        heard: asyncio.Queue[Sequence[int] | None] = asyncio.Queue()
        listening = asyncio.ensure_future(self._listen(heard.put_nowait))
        listening.add_done_callback(lambda _: heard.put_nowait(None))
        told = ""
        try:
            while (tokens := await heard.get()) is not None:
                self.said = len(tokens)
                known = await self._known(tokens)
                if known.startswith(told) and len(known) > len(told):
                    yield known[len(told) :]
                    told = known
            answer = await self._whole(await listening)
            if not isinstance(answer, Generated):
                raise Failed(f"{self.version.reference} generates no text")
            self.answer, self.said = answer, answer.said
            self._count()
            if rest := answer.text.removeprefix(told):
                yield rest
        finally:
            listening.cancel()
