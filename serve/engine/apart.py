"""Work in a thread of its own, which may hang: nobody waits for it longer than said, nor at the end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Value = TypeVar("Value")


async def apart(work: Callable[[], Value], within_s: float) -> Value:
    """What the work returns or raises.

    Raises:
        TimeoutError: it takes longer; its thread is left to itself.
    """
    told: Future[Value] = Future()

    def run() -> None:
        told.set_running_or_notify_cancel()  # from here on, who no longer waits cannot take it back
        try:
            told.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            told.set_exception(error)

    threading.Thread(target=run, name="apart", daemon=True).start()
    return await asyncio.wait_for(asyncio.wrap_future(told), within_s)
