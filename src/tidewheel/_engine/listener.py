"""Hears the store's hints and passes them on to whom they concern."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from tidewheel._model.errors import StoreError
from tidewheel._model.worker import Wakeup
from tidewheel._store.base import Store

_PAUSE: Final = 1.0


class Listener:
    """The hint loop of one worker. Hints may get lost: everybody polls as well."""

    def __init__(self, store: Store, random: Random, calls: Mapping[Wakeup, Callable[[], None]]) -> None:
        self._store = store
        self._random = random
        self._calls = dict(calls)

    async def run(self) -> None:
        """Listen until cancelled. A store that is away is asked again; that it is away others say."""
        while True:
            try:
                await self._listen()
            except StoreError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(_PAUSE * self._random.uniform(0.5, 1.5))

    async def _listen(self) -> None:
        async with self._store.wakeups(frozenset(self._calls)) as hints:
            await hints.tell(self._pass_on)

    def _pass_on(self, kinds: frozenset[Wakeup]) -> None:
        for kind in kinds:
            self._calls[kind]()
