"""Load on servers that change places, and what must be true of it afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos._load import Load


@asynccontextmanager
async def unharmed(url: str) -> AsyncIterator[Load]:
    """Load that is under way in the block. Afterwards it must have lost nothing, and done nothing twice."""
    async with Load(url) as load:
        await load.served()
        yield load
        await load.served()
        await load.finish()
        lost = await load.lost()
    assert not lost
    assert not load.doubled
    assert not load.completed_twice
