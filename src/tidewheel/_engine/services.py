"""What runs beside a worker's claiming, and how its failure ends the worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def services(*works: Any) -> AsyncIterator[None]:
    """Run these beside the body. One that fails ends the body and the worker, loudly; they end with the body."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors  # one is enough for people, and for `except StoreError`


async def raised(failed: asyncio.Future[None]) -> None:
    """Pass on what ended the keeper's thread."""
    await failed
