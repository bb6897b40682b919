"""Enqueue over the caller's own connection to the same file, in his transaction: the commit makes the jobs, the rollback
makes none.

The file's lock is his until then: no worker and no other enqueue can write, so such transactions are to be short.
Nobody sees the commit; a worker finds the jobs at its next poll.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tidewheel._model.job import NewJob
from tidewheel._model.query import Enqueued
from tidewheel._store.caller import reach_sqlite
from tidewheel._store.caller.errors import of_a_driver, translated
from tidewheel._store.caller.sqlite import check_file
from tidewheel._store.sqlite import enqueue as desk
from tidewheel._store.sqlite.options import SqliteOptions
from tidewheel._store.sqlite.writer import Transaction

_WHAT: Final = "this app's jobs live"


async def enqueue(
    options: SqliteOptions, connection: object, jobs: Sequence[NewJob], new_id: Callable[[], str], now: int
) -> list[Enqueued]:
    """See `JoiningStore.enqueue_in`."""

    def add(plain: Any) -> list[Enqueued]:
        check_file(plain, options.path, _WHAT)
        return desk.enqueue(Transaction(plain), jobs, new_id, now)

    try:
        caller = await reach_sqlite(connection, options.path, _WHAT)
        return await caller.run(add)
    except Exception as error:
        if not of_a_driver(error):
            raise
        remedy = f"Open the app once, or run `tidewheel migrate --store sqlite:///{options.path}`."
        raise translated(error, missing=remedy) from error
