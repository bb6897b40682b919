"""A lone job is heard of while the disk writes it (docs/adr/0018). Who is told of it by us waits for the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from tidewheel._store.postgres.call import Call


async def learn(call: Call) -> None:
    """Ask the server how to wait for its disk, and whether anybody is early there."""
    row = await call.connection.fetchrow(call.sql("flush_how"))
    assert row is not None  # noqa: S101 -- it has no condition
    call.habit.flushes = row[0]


async def flush(call: Call, id: str) -> None:
    """Wait until the disk has a job that was committed before, by whomever; in a transaction, its end waits."""
    if call.habit.flushes is None:
        await learn(call)
    if call.habit.flushes == "by message":
        try:
            await call.connection.fetchrow(call.sql("flush"))
        except asyncpg.InsufficientPrivilegeError:  # the right was taken away meanwhile: nobody is early here any more
            call.habit.flushes = "by row"
    if call.habit.flushes == "by row":
        await call.connection.fetchrow(call.sql("flush_row"), id)
