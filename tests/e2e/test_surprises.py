"""What happens to a store from outside: a full disk, a deleted file, a fork, a clock that is set."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e._harness import Site, all_ended, eventually, python
from tests.e2e.apps import jobs

from tidewheel import App, JobState, StoreError, StoreFull

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB of its own; making one takes root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("making a small file system takes root and the right to mount")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


async def test_a_full_disk_stops_nothing_for_good(site: Site, small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/jobs.db"
    async with site.app(audit=False, url=url) as app:
        worker = site.worker(url=url)
        await worker.ready()
        first = await site.add(app, "hop", *[(1.0,)] * 5)
        await eventually(lambda: len(site.lines("start")) == 5, "five jobs to start", worker)
        stone = small_disk / "stone"
        fill(stone)
        with pytest.raises(StoreFull, match=r"No room left for .*jobs.db .*free some space, workers try again"):
            await add_much(app)
        await worker.said("The store is away; trying again until it is back.")
        assert "No room left" in worker.log
        stone.unlink()
        # The five may run a second time: what they had to say could not be written while their leases ended.
        assert {job.state for job in await all_ended(first, app)} == {JobState.COMPLETED}
        (more,) = await site.add(app, "tell", ("there is room again",))
        assert await more.result(timeout=30) == "there is room again"
        assert await worker.stop() == 0


async def add_much(app: App) -> None:
    for _ in range(200):
        await app.tasks["tell"].enqueue("x" * 2000)


def fill(path: Path) -> None:
    """Write until nothing more goes in."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


async def test_a_quota_on_the_worker_is_waited_out(site: Site) -> None:
    """The unprivileged way to a disk that takes nothing: a limit on the size of files, for one process."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("this system sets no limits of other processes")
    async with site.app() as app:
        worker = site.worker()
        await worker.ready()
        handles = await site.add(app, "hop", *[(0.3,)] * 20)
        await eventually(lambda: len(site.lines("start")) == 20, "twenty jobs to start", worker)
        unlimited = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (16_384, unlimited[1]))
        await worker.said("The store is away; trying again until it is back.")
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, unlimited)
        assert {job.state for job in await all_ended(handles, app)} == {JobState.COMPLETED}
        await worker.said("The store is back.")
        assert await worker.stop() == 0


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_file_that_goes_away_under_a_worker_is_noticed(site: Site, how: str) -> None:
    async with site.app(audit=False) as app:
        worker = site.worker()
        await worker.ready()
        os.link(site.database, site.folder / "elsewhere.db")
        if how == "deleted":
            site.database.unlink()
        else:
            async with jobs.build(f"sqlite:///{site.folder}/other.db"):
                pass
            (site.folder / "other.db").rename(site.database)
        assert await worker.ended() == 3
        what = "is gone" if how == "deleted" else "is another file now"
        assert f"{site.database} {what}: it was deleted, moved or replaced while it was open" in worker.log
        with pytest.raises(StoreError, match=what):
            await app.tasks["tell"].enqueue("this would be lost")
        with pytest.raises(StoreError, match=what):
            await app.jobs.list()
    if how == "deleted":
        for part in site.folder.glob("jobs.db-*"):
            if part.is_file():
                part.unlink()
        (site.folder / "elsewhere.db").rename(site.database)
    async with site.app(audit=False) as app:
        (handle,) = await site.add(app, "tell", ("again",))
        fresh = site.worker()
        assert await handle.result(timeout=30) == "again"
        assert await fresh.stop() == 0


FORK = """
import asyncio, os, sys, warnings
from tests.e2e.apps.jobs import build
warnings.simplefilter("ignore")  # newer Pythons warn of forks in general
url = sys.argv[1]
app = build(url)
app.run_sync(app.tasks["tell"].enqueue("from the parent"))
pid = os.fork()
if not pid:
    for use in (app, build(url)):
        try:
            use.run_sync(use.tasks["tell"].enqueue("from the child"))
            print("took it", flush=True)
        except Exception as error:
            print(type(error).__name__, str(error), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
app.run_sync(app.tasks["tell"].enqueue("from the parent again"))
app.run_sync(app.close())
pid = os.fork()
if not pid:
    app = build(url)
    app.run_sync(app.tasks["tell"].enqueue("from a child of a closed one"))
    app.run_sync(app.close())
    os._exit(0)
os.waitpid(pid, 0)
print(len(app.run_sync(app.jobs.list()).jobs))
app.run_sync(app.close())
"""


async def test_a_fork_with_an_open_store_is_noticed(site: Site) -> None:
    old, new, count = (await python(FORK, site.url)).splitlines()
    assert old.startswith("StoreError This process was forked from one in which the app is open")
    assert "'spawn'" in old
    assert new.startswith(f"StoreError This process was forked from one that has {site.database} open")
    assert count == "3"


CLOCK = """
import os, time
from tests.e2e.apps import jobs
from tidewheel import Env

def clock():
    with open(os.environ["TIDEWHEEL_TEST_CLOCK"]) as file:
        return time.time_ns() // 1000 + int(float(file.read() or 0) * 1e6)

app = jobs.build(os.environ[jobs.STORE], env=Env(clock=clock))
"""


@pytest.mark.parametrize("step", [-3600, 3600], ids=["back", "ahead"])
async def test_a_clock_that_is_set_loses_and_repeats_nothing(site: Site, step: int) -> None:
    offset = site.folder / "offset"
    offset.write_text("0")
    (site.folder / "set_clock.py").write_text(CLOCK)
    path = os.pathsep.join([str(site.folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = ["-m", "tidewheel", "worker", "set_clock:app", "--lease", "2s"]
    async with site.app() as app:
        workers = [site.start(words, PYTHONPATH=path, TIDEWHEEL_TEST_CLOCK=str(offset)) for _ in range(2)]
        running = await site.add(app, "hop", *[(3.0,)] * 6)
        await eventually(lambda: len(site.lines("start")) == 6, "six jobs to start", workers[0])
        part = site.folder / "part"
        part.write_text(str(step))
        part.rename(offset)
        later = await site.add(app, "hop", *[(0.1,)] * 10)
        assert {job.state for job in await all_ended([*running, *later], app)} == {JobState.COMPLETED}
        victim = site.lines("start")[0]["worker"]
        await asyncio.sleep(0.2)
        held = await site.add(app, "hop", *[(1.0,)] * 6)
        await eventually(lambda: len({line["job"] for line in site.lines("start")}) == 22, "the others to start")
        next(one for one in workers if one.pid == victim).kill()  # what it holds comes back after a lease, as ever
        begun = time.monotonic()
        assert {job.state for job in await all_ended(held, app)} == {JobState.COMPLETED}
        assert time.monotonic() - begun < 20
        for worker in workers:
            if worker.alive:
                assert await worker.stop() == 0
        verdict = site.verdict(lease=2.0)
        # Ahead: leases seem to be over until the next beat; such a job may run twice, and completes once.
        assert {what for what, _, _ in verdict.findings} <= ({"overlap"} if step > 0 else set()), str(verdict)
        assert verdict.completions == 22
