"""Hears the store's hints and passes them on to whom they concern."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tidewheel._model.worker import Wakeup
from tidewheel._store.base import Store


class Listener:
    """The hint loop of one worker. Hints may get lost: everybody polls as well."""

    def __init__(self, store: Store, calls: Mapping[Wakeup, Callable[[], None]]) -> None:
        self._store = store
        self._calls = dict(calls)

    async def run(self) -> None:
        """Listen until cancelled."""
        async with self._store.wakeups(frozenset(self._calls)) as hints:
            async for kinds in hints:
                for kind in kinds:
                    self._calls[kind]()
