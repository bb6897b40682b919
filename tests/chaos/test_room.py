"""No room: the server's memory or its disk is full. Jobs end as far as they can, and all goes on when there is room."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.chaos._caller import check_passes
from tests.chaos._grounds import HERE, NEVER_REWRITTEN, Ground
from tests.chaos._words import say
from tests.e2e._harness import Site, WorkerProcess, all_ended, eventually
from tests.e2e.apps import jobs
from tests.servers._process import NoServer, Server, missing
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

from tidewheel import App, JobHandle, JobState, StoreError, StoreFull, StoreUnavailable

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("ground", [store for store in HERE if store in ("redis", "valkey")], indirect=True)
async def test_jobs_end_while_the_memory_is_full(ground: Ground, new_url: Callable[[], str], site: Site) -> None:
    assert isinstance(ground.server, Redis)
    site.url = new_url()
    async with jobs.build(site.url) as app:
        worker = await _at_work(site)
        first = await site.add(app, "hop", *[(0.3,)] * 30)
        await say(ground.server, "CONFIG", "SET", "maxmemory", "1mb")
        with pytest.raises(StoreFull, match="maxmemory"):
            await app.tasks["tell"].enqueue("no room")
        assert {job.state for job in await all_ended(first, app)} == {JobState.COMPLETED}
        await say(ground.server, "CONFIG", "SET", "maxmemory", "0")
        await _goes_on(site, app, worker)


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Path]]:
    """Makes a file system of some MiB, where servers have their folders then; making one takes root."""
    disk = Path(tempfile.mkdtemp(prefix="tidewheel-disk-"))
    disk.chmod(0o755)  # PostgreSQL runs as somebody else

    def make(size: int) -> Path:
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=1777", "tmpfs", str(disk)]
        if subprocess.run(words, check=False, capture_output=True).returncode:
            pytest.skip("making a small file system takes root and the right to mount")
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        return disk

    yield make
    subprocess.run(["umount", "--lazy", disk], check=False, capture_output=True)
    disk.rmdir()


async def test_a_full_disk_of_postgres_is_waited_out(site: Site, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(400)
    async with _served(site, Postgres(durable=True)) as (app, worker, server):
        await _full_and_room_again(site, app, worker, disk, server)


@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_a_full_disk_of_valkey_is_waited_out(site: Site, small_disk: Callable[[int], Path], fsync: str) -> None:
    """With `always` the server ends itself when it cannot write, with `everysec` it refuses writes until it can."""
    disk = small_disk(4)
    made = Redis("valkey", durable=True, settings={**NEVER_REWRITTEN, "appendfsync": fsync})
    async with _served(site, made) as (app, worker, server):
        await _full_and_room_again(site, app, worker, disk, server)


@asynccontextmanager
async def _served(site: Site, server: Postgres | Redis) -> AsyncIterator[tuple[App, WorkerProcess, Server]]:
    try:
        await asyncio.to_thread(server.make if isinstance(server, Postgres) else server.start)
        site.url = server.url
        async with jobs.build(site.url, crashes=100, attempts=100) as app:
            yield app, await _at_work(site), server
    except NoServer as error:
        missing(error)
    finally:
        site.end()
        server.remove()


async def _full_and_room_again(site: Site, app: App, worker: WorkerProcess, disk: Path, server: Server) -> None:
    held = await site.add(app, "hop", *[(1.0,)] * 5)
    await eventually(lambda: len(site.lines("start")) == 5, "five jobs to start", worker)
    stone = disk / "stone"
    _fill(stone)
    with pytest.raises((StoreFull, StoreUnavailable)):
        await _add_much(app, held)
    await asyncio.sleep(1.5)
    assert worker.alive, worker.log
    stone.unlink()
    if not _lives(server):  # it could not go on without its disk; somebody starts it again
        await asyncio.to_thread(server.start)
    # The five may run a second time: what they had to say could not be written while their leases ended.
    assert {job.state for job in await all_ended(held, app)} == {JobState.COMPLETED}
    await _goes_on(site, app, worker)


async def _add_much(app: App, taken: list[JobHandle[Any]]) -> None:
    """What was answered is `taken`, and must not be lost."""
    for _ in range(500):
        taken += await app.enqueue_many([app.tasks["tell"].job("x" * 100_000)])


async def _at_work(site: Site) -> WorkerProcess:
    worker = site.worker(app="many")
    await worker.ready()
    return worker


async def _goes_on(site: Site, app: App, worker: WorkerProcess) -> None:
    """Calls that were refused may take a moment to be taken again."""
    for _ in range(100):
        try:
            (more,) = await site.add(app, "tell", ("there is room again",))
            break
        except StoreError as error:
            check_passes(error)
            await asyncio.sleep(0.1)
    else:
        raise AssertionError("there is room, and jobs are still refused")
    assert await more.result(timeout=30) == "there is room again"
    assert await worker.stop() == 0


def _lives(server: Server) -> bool:
    process = server._process
    return process is not None and process.poll() is None and server.ready()


def _fill(path: Path) -> None:
    """Write until nothing more goes in."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 65536, 4096, 512):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
