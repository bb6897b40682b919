"""Measures single claims on an empty store, and again beside millions of finished and scheduled jobs.

    python -m tests.scale.claims --store postgres --finished 10000000 --scheduled 1000000 --queues 10000

A job is enqueued in one of the queues, claimed by itself, and settled; each call is timed. What the same calls take
in both cases, and what a sweep and the pages of an administrator take, goes into the table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

from tests.scale.fill import fill_postgres, fill_sqlite
from tests.servers import postgres, redis

from tidewheel._env import Env
from tidewheel._model.duration import SECOND
from tidewheel._model.job import Job, NewJob
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.query import JobFilter
from tidewheel._model.state import JobState
from tidewheel._model.worker import Want
from tidewheel._store.base import Store

T = TypeVar("T")
_LEASE: Final = 30 * SECOND
_YEAR: Final = 365 * 24 * 3600 * SECOND
_BATCH: Final = 1000
_MEMORY: Final = "used_memory"


class Place:
    """A store to be measured, and how its past is made."""

    def __init__(self, store: Store, fill: Callable[[Job, int, int, Callable[[int], None]], Awaitable[None]]) -> None:
        self.store = store
        self.fill = fill
        self.memory: Callable[[], int] = lambda: 0
        """Bytes the server holds in memory; 0 where that says nothing."""


@asynccontextmanager
async def place(name: str) -> AsyncIterator[Place]:
    """A private store of this kind, empty and open."""
    if name == "sqlite":
        from tidewheel._store.sqlite import SqliteStore

        with tempfile.TemporaryDirectory(prefix="tidewheel-scale-") as folder:
            path = Path(folder, "jobs.db")

            async def copy(model: Job, copies: int, queues: int, tell: Callable[[int], None]) -> None:
                await asyncio.to_thread(fill_sqlite, path, model, copies, queues, tell)

            async with _opened(SqliteStore(str(path), Env())) as store:
                yield Place(store, copy)
    elif name == "postgres":
        from tidewheel._store.postgres import PostgresStore

        with postgres.running("wheel", durable=True) as server:

            async def copy(model: Job, copies: int, queues: int, tell: Callable[[int], None]) -> None:
                await fill_postgres(server.url, model, copies, queues, tell)

            async with _opened(PostgresStore(server.url, Env())) as store:
                yield Place(store, copy)
    else:
        import redis as client

        from tidewheel._store.redis import RedisStore

        with redis.running("valkey") as keeper, client.Redis.from_url(keeper.url) as connection:
            async with _opened(RedisStore(keeper.url, Env())) as store:
                made = Place(store, lambda _, copies, queues, tell: _run_them(store, copies, queues, tell))
                made.memory = lambda: int(connection.info("memory")[_MEMORY])
                yield made


@asynccontextmanager
async def _opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def _run_them(store: Store, count: int, queues: int, tell: Callable[[int], None]) -> None:
    """Finished jobs made in the ordinary way, where rows cannot be copied."""
    for start in range(0, count, _BATCH):
        queue = f"queue{start // _BATCH % queues:05}"
        numbers = range(start, min(count, start + _BATCH))
        await store.enqueue([_job(f"copy-{number:012}", queue) for number in numbers])
        claimed = await store.claim([Want(queue, _BATCH)], kinds=["noop"], worker="filler", lease=_LEASE)
        await store.settle([Settlement(job.lease, Complete("null")) for job in claimed])
        tell(numbers.stop)


def _job(id: str, queue: str, **changes: Any) -> NewJob:
    return NewJob(id=id, kind="noop", args='{"customer":12345,"name":"Ada"}', queue=queue, max_attempts=3, **changes)


class Watch:
    """How long calls took, by name, in milliseconds."""

    def __init__(self) -> None:
        self.took: dict[str, list[float]] = {}

    async def time(self, name: str, work: Awaitable[T]) -> T:
        """Await something and note how long it took."""
        start = time.perf_counter()
        answer = await work
        self.took.setdefault(name, []).append((time.perf_counter() - start) * 1000)
        return answer

    def figures(self) -> dict[str, dict[str, float]]:
        """p50 and p99 of each name."""
        return {
            name: {f"p{part}": round(sorted(took)[min(len(took) - 1, len(took) * part // 100)], 3) for part in (50, 99)}
            for name, took in self.took.items()
        }


async def calls(store: Store, rounds: int, queues: int, tag: str) -> dict[str, dict[str, float]]:
    """The calls that carry one job, many times, and those of upkeep and administration, a few times."""
    random, watch = Random(7), Watch()
    for number in range(rounds):
        queue = f"queue{random.randrange(queues):05}"
        await watch.time("enqueue", store.enqueue([_job(f"{tag}-{number}", queue)]))
        claim = store.claim([Want(queue, 1)], kinds=["noop"], worker="w", lease=_LEASE)
        (job,) = await watch.time("claim", claim)
        await watch.time("settle", store.settle([Settlement(job.lease, Complete("null"))]))
        if number % (rounds // 20) == 0:
            await watch.time(
                "claim of nothing", store.claim([Want(queue, 1)], kinds=["noop"], worker="w", lease=_LEASE)
            )
            await watch.time("sweep", store.sweep())
            await watch.time("newest page of all", store.list(JobFilter(), limit=50))
            await watch.time("newest dead letters", store.list(JobFilter(states=(JobState.DISCARDED,)), limit=50))
    await watch.time("counts of all queues", store.queues())
    return watch.figures()


def _teller(what: str, whole: int) -> Callable[[int], None]:
    def tell(done: int) -> None:
        sys.stderr.write(f"\r\033[K{what}: {done:,} of {whole:,}" if sys.stderr.isatty() else "")

    return tell


async def measure(name: str, finished: int, scheduled: int, queues: int, rounds: int) -> dict[str, Any]:
    """The whole comparison; milliseconds, and bytes of a server's memory for a finished job."""
    async with place(name) as one:
        store = one.store
        await calls(store, rounds // 4, queues, "warm")
        empty = await calls(store, rounds, queues, "empty")
        (model,) = await store.get(["empty-0"])
        assert model is not None, "the first job is gone"
        before = one.memory()
        await one.fill(model, finished, queues, _teller("finished", finished))
        held = one.memory() - before
        due, tell = (await store.info()).now + _YEAR, _teller("scheduled", scheduled)
        for start in range(0, scheduled, _BATCH):
            numbers = range(start, min(scheduled, start + _BATCH))
            await store.enqueue([_job(f"due-{n}", f"queue{n % queues:05}", run_at=due + n) for n in numbers])
            tell(numbers.stop)
        await calls(store, rounds // 4, queues, "warm again")
        full = await calls(store, rounds, queues, "full")
        info = await store.info()
    return {
        "store": f"{info.name} {info.version}", "finished": finished, "scheduled": scheduled, "queues": queues,
        "empty_ms": empty, "full_ms": full, "bytes_per_finished_job": round(held / finished) if finished else 0,
        "python": platform.python_version(),
    }  # fmt: skip


def _print(card: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = "{store}: empty, and with {finished:,} finished and {scheduled:,} scheduled jobs in {queues:,} queues"
    table = Table(title=title.format(**card), title_justify="left")
    for column in ("call", "p50 empty", "p50 full", "p99 empty", "p99 full", "p99 ratio"):
        table.add_column(column, justify="left" if column == "call" else "right")
    for name, empty in card["empty_ms"].items():
        full = card["full_ms"][name]
        figures = (empty["p50"], full["p50"], empty["p99"], full["p99"])
        table.add_row(name, *(f"{figure:.2f} ms" for figure in figures), f"{full['p99'] / empty['p99']:.2f}")
    console = Console()
    console.print(table)
    if card["bytes_per_finished_job"]:
        console.print(f"Memory of the server for a finished job: {card['bytes_per_finished_job']} bytes.")


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description="Single calls on an empty store and on a very full one.")
    parser.add_argument("--store", choices=("sqlite", "postgres", "redis"), default="sqlite")
    parser.add_argument("--finished", type=int, default=10_000_000)
    parser.add_argument("--scheduled", type=int, default=1_000_000)
    parser.add_argument("--queues", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--json", action="store_true", help="print the card as JSON")
    given = parser.parse_args()
    card = asyncio.run(measure(given.store, given.finished, given.scheduled, given.queues, given.rounds))
    sys.stderr.write("\r\033[K" if sys.stderr.isatty() else "")
    if given.json:
        sys.stdout.write(json.dumps(card) + "\n")
    else:
        _print(card)
    return 0


if __name__ == "__main__":
    sys.exit(main())
