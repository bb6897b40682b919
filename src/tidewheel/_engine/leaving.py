"""The end of a worker: its own reasons to leave, and what becomes of attempts under way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tidewheel._engine.attempt import Attempt
from tidewheel._engine.memory import resident
from tidewheel._model.duration import human

if TYPE_CHECKING:
    from tidewheel._config import WorkerOptions

_LISTEN: Final = 0.5
"""Seconds that an interrupted thread has to end when the worker must stop at once."""
_log: Final = logging.getLogger("tidewheel")


async def watch(
    options: WorkerOptions, stop: asyncio.Event, leave: Callable[[str], None], empty: Callable[[], Awaitable[bool]]
) -> None:
    """Once a second: is there a reason to leave?"""
    if options.max_memory is None and not options.drain_and_exit:
        return
    while not stop.is_set():
        await asyncio.sleep(0.1 if options.drain_and_exit else 1.0)
        if options.max_memory is not None and (size := resident()) > options.max_memory:
            _log.info("The worker has %d MiB, over its limit of %d.", size >> 20, options.max_memory >> 20)
            leave("recycle")
        if options.drain_and_exit and await empty():
            leave("drained")


async def drain(attempts: Mapping[tuple[str, int], Attempt], grace: int, hurry: asyncio.Event, reason: str) -> None:
    """Let running jobs end, as long as the grace lasts and nobody is in a hurry."""
    if attempts:
        _log.info("Stopping (%s): %d jobs have %s to end.", reason, len(attempts), human(grace))
    hurried = asyncio.create_task(hurry.wait())
    try:
        await _wait_for(attempts, grace / 1_000_000, hurried)
    finally:
        hurried.cancel()


async def hand_back(
    attempts: Mapping[tuple[str, int], Attempt],
    interrupt: Callable[[Attempt, str], None],
    *,
    at_most: float,
    hurried: Callable[[], bool],
) -> None:
    """Interrupt what still runs, and wait until it has ended, for so many seconds."""
    for attempt in tuple(attempts.values()):
        if attempt.task.run_in == "thread":
            # It can only be asked, and if it was handed back before it has ended its job would run twice at once.
            attempt.context.stop("shutdown")
        else:
            interrupt(attempt, "shutdown")
    await _wait_for(attempts, _LISTEN if hurried() else at_most)
    for attempt in tuple(attempts.values()):
        if attempt.task.run_in == "thread":
            interrupt(attempt, "shutdown")
    if hurried():
        await _wait_for(attempts, at_most - _LISTEN)


async def _wait_for(
    attempts: Mapping[tuple[str, int], Attempt], seconds: float, hurry: asyncio.Task[Any] | None = None
) -> None:
    """Wait until the attempts are over, at most so long, or until somebody is in a hurry."""
    deadline = asyncio.get_running_loop().time() + seconds
    while hurry is None or not hurry.done():
        left = deadline - asyncio.get_running_loop().time()
        waits = {one.handle for one in attempts.values() if one.handle is not None and not one.handle.done()}
        if not waits or left <= 0:
            return
        # Not until the deadline in one go: an attempt that is given up goes without its task having ended.
        await asyncio.wait(
            {*waits, *([hurry] if hurry is not None else [])},
            timeout=min(left, 0.5),
            return_when=asyncio.FIRST_COMPLETED,
        )
