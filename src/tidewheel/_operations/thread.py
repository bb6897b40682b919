"""A plain function in a thread of its own, awaited."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


async def in_thread(call: Callable[[], T]) -> T:
    """Run `call` in a thread of its own, with the caller's context variables.

    Not in the loop's pool: a function that hangs would hold a place there for good, and would keep
    the process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def land(answer: tuple[Any, BaseException | None]) -> None:
        if not done.done():
            done.set_result(answer)

    def work() -> None:
        try:
            answer: tuple[Any, BaseException | None] = (context.run(call), None)
        except BaseException as error:  # noqa: BLE001 - goes to the caller
            answer = (None, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(land, answer)

    threading.Thread(target=work, name="tidewheel-operation", daemon=True).start()
    data, error = await done
    if error is not None:
        raise error
    return cast("T", data)
