"""Keeps a worker's knowledge of paused tasks fresh: read at the start, when a change is hinted, and every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tidewheel._engine.patience import Patience
from tidewheel._model.errors import StoreError
from tidewheel._pauses import paused_kinds
from tidewheel._store.base import Store

_EVERY: Final = 5.0
"""Seconds between two looks when no change was hinted."""


class PauseReader:
    """Tells a worker's claimers which kinds not to ask for."""

    def __init__(self, store: Store, patience: Patience, tell: Callable[[frozenset[str]], None]) -> None:
        self._store = store
        self._patience = patience
        self._tell = tell
        self._known: frozenset[str] = frozenset()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Somebody changed something."""
        self._wake.set()

    async def look(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Read, and tell if it is new."""
        self._wake.clear()
        try:
            found = await self._patience.insist(lambda: paused_kinds(self._store), stopped)
        except StoreError as error:
            if error.retriable and stopped():
                return  # nobody claims any more
            raise
        if found != self._known:
            self._known = found
            self._tell(found)

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_EVERY):
                    await self._wake.wait()
            except TimeoutError:
                pass
            await self.look()
