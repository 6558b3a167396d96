"""An answer while it is being said."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

from methods import Answer, Generated, Output
from registry import Version

from ..errors import Failed
from ..routing.split import Arm
from ..work.generation import Hear


class Stream(AsyncIterator[str]):
    """Pieces of an answer, which joined are the answer; leaving it (`aclose`) stops what is being said."""

    def __init__(
        self,
        version: Version,
        epoch: int,
        arm: Arm | None,
        listen: Callable[[Hear], Awaitable[Output | BaseException]],
        known: Callable[[Sequence[int]], Awaitable[str]],
        whole: Callable[[Output | BaseException], Awaitable[Answer]],
    ) -> None:
        """`listen` has the tokens said, `known` is what is settled of so many tokens, `whole` the answer of all."""
        self.version, self.epoch, self.arm = version, epoch, arm
        self.answer: Generated | None = None  # once it is over
        self._listen, self._known, self._whole = listen, known, whole
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

    async def _told(self) -> AsyncGenerator[str, None]:
        heard: asyncio.Queue[Sequence[int] | None] = asyncio.Queue()
        listening = asyncio.ensure_future(self._listen(heard.put_nowait))
        listening.add_done_callback(lambda _: heard.put_nowait(None))
        told = ""
        try:
            while (said := await heard.get()) is not None:
                known = await self._known(said)
                if known.startswith(told) and len(known) > len(told):
                    yield known[len(told) :]
                    told = known
            answer = await self._whole(await listening)
            if not isinstance(answer, Generated):
                raise Failed(f"{self.version.reference} generates no text")
            self.answer = answer
            if rest := self.answer.text.removeprefix(told):
                yield rest
        finally:
            listening.cancel()
