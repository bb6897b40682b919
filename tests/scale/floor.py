"""The least that an enqueue → start can take on PostgreSQL here: a durable insert, its notification, a durable claim.

    python -m tests.scale.floor

Bare statements on a table of three columns, two processes, no code of ours in between. What `tidewheel bench` measures
beyond that is what jobs, their indexes and the worker cost.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Final

import asyncpg
from tests.servers import postgres

from tidewheel._bench.loop import run

_JOBS: Final = 400
_SPACING: Final = 0.004
_TABLE: Final = """
    CREATE TABLE floor (id bigserial PRIMARY KEY, state text NOT NULL, sent double precision);
    CREATE INDEX floor_new ON floor (id) WHERE state = 'new'"""
_INSERT: Final = """
    WITH added AS (INSERT INTO floor (state, sent) VALUES ('new', $1) RETURNING 1)
    SELECT pg_notify('floor', '') FROM added"""
_CLAIM: Final = """
    UPDATE floor SET state = 'running'
    WHERE id = (SELECT id FROM floor WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING sent"""


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def work(url: str) -> None:
    """Claim what comes; print how long each took."""
    asking, listening = await asyncpg.connect(url), await asyncpg.connect(url)
    heard = asyncio.Event()
    await listening.add_listener("floor", lambda *_: heard.set())
    claim = await asking.prepare(_CLAIM)
    say("ready")
    took: list[float] = []
    while len(took) < _JOBS:
        await heard.wait()
        heard.clear()
        while (sent := await claim.fetchval()) is not None:
            took.append(time.time() - sent)
    say(json.dumps(took))


async def send(url: str) -> list[float]:
    """Insert jobs, one every few milliseconds; gives what the other process measured."""
    connection = await asyncpg.connect(url)
    await connection.execute(_TABLE)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, url, stdout=subprocess.PIPE, limit=1 << 20
    )
    assert worker.stdout is not None
    await worker.stdout.readline()
    insert = await connection.prepare(_INSERT)
    for _ in range(_JOBS):
        await insert.fetchval(time.time())
        await asyncio.sleep(_SPACING)
    took: list[float] = json.loads(await worker.stdout.readline())
    await worker.wait()
    return sorted(took)


def main() -> None:
    """Measure on a private server with fsync on."""
    with postgres.running("wheel", durable=True) as server:
        took = run(send(server.url))
    say(", ".join(f"p{part} {took[len(took) * part // 100] * 1000:.2f} ms" for part in (50, 95, 99)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(work(sys.argv[1]))
    else:
        main()
