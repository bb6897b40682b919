"""Fills a store with the past of a busy year, in minutes: a job that really ran is copied, many times.

The copies differ in id, queue and the moment of their end, so every index holds what it would hold after a year.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tidewheel._model.job import Job

OWN: Final = ("seq", "id", "queue", "finished_at")
"""The columns in which the copies differ."""
PART: Final = 250_000
"""Copies made in one transaction."""
_STEP: Final = 3_000_000
"""Microseconds between the ends of two copies."""

Tell = Callable[[int], None]
"""Hears how many copies there are so far."""


def fill_sqlite(path: Path, model: Job, copies: int, queues: int, tell: Tell) -> None:
    """Copy the finished job `model` into the file, which nobody else may be writing."""
    connection = sqlite3.connect(path, isolation_level=None)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(tidewheel_jobs)") if row[1] not in OWN]
    same = ", ".join(columns)
    statement = f"""
        WITH RECURSIVE n (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2 - 1)
        INSERT INTO tidewheel_jobs (id, queue, finished_at, {same})
        SELECT printf('copy-%012d', n), printf('queue%05d', n % ?3), ?4 - n * {_STEP}, {same}
        FROM n CROSS JOIN tidewheel_jobs AS model WHERE model.id = ?5"""
    for start in range(0, copies, PART):
        end = min(copies, start + PART)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(statement, (start, end, queues, model.finished_at, model.id))
        connection.execute("COMMIT")
        tell(end)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def fill_postgres(url: str, model: Job, copies: int, queues: int, tell: Tell) -> None:
    """Copy the finished job `model` in the schema `tidewheel`, then clean up as autovacuum would have."""
    import asyncpg

    connection = await asyncpg.connect(url)
    found = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'tidewheel' AND table_name = 'jobs'"
    )
    same = ", ".join(row[0] for row in found if row[0] not in OWN)
    statement = f"""
        INSERT INTO tidewheel.jobs (id, queue, finished_at, {same})
        SELECT 'copy-' || lpad(n::text, 12, '0'), 'queue' || lpad((n % $3)::text, 5, '0'), $4::bigint - n * {_STEP}, {same}
        FROM generate_series($1::bigint, $2::bigint - 1) AS n CROSS JOIN (
            SELECT {same} FROM tidewheel.jobs WHERE id = $5
        ) AS model"""
    for start in range(0, copies, PART):
        end = min(copies, start + PART)
        await connection.execute(statement, start, end, queues, model.finished_at, model.id)
        tell(end)
    await connection.execute("VACUUM ANALYZE tidewheel.jobs")
    await connection.close()
