"""Several processes on one file: each job runs once, nobody is locked out, everybody is heard."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing

import pytest
from tests.e2e._harness import PATIENCE, Site, all_ended, eventually, python

from tidewheel import App, JobState

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

ENQUEUER = """
import asyncio, sys
from tests.e2e.apps.jobs import build

async def main(url, who, count):
    async with build(url) as app:
        for n in range(count):
            if n % 10 == 9:
                await app.enqueue_many([app.tasks["tell"].options(id=f"{who}-{n}-{k}").job("x") for k in range(20)])
            else:
                await app.tasks["tell"].options(id=f"{who}-{n}").enqueue("x")

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def test_four_workers_and_four_enqueuers_on_one_file(site: Site) -> None:
    async with site.app() as app:
        workers = [site.worker("--concurrency", "8", "--log-level", "debug", lease="5s") for _ in range(4)]
        for worker in workers:
            await worker.ready()
        await asyncio.gather(*(python(ENQUEUER, site.url, f"e{n}", "100") for n in range(4)))
        ids = [f"e{who}-{n}-{k}" for who in range(4) for n in range(9, 100, 10) for k in range(20)]
        ids += [f"e{who}-{n}" for who in range(4) for n in range(100) if n % 10 != 9]
        for id in ids:
            site.note("enqueued", job=id)
        await asyncio.gather(*(app.ended(id, "tell", PATIENCE) for id in ids))
        for worker in workers:
            assert await worker.stop() == 0
        said = site.logs()
        for word in ("locked", "ERROR", "CRITICAL", "Traceback", "refused"):
            assert word not in said, said[-4000:]
        verdict = site.check(lease=5.0)
        assert verdict.executions == verdict.completions == len(ids)
        assert len({line["worker"] for line in site.lines("start")}) > 1


async def test_many_processes_create_the_same_file_at_once(site: Site) -> None:
    outcomes = await asyncio.gather(
        *(python(ENQUEUER, site.url, f"e{n}", "5") for n in range(8)), return_exceptions=True
    )
    assert [one for one in outcomes if isinstance(one, BaseException)] == []
    async with site.app(audit=False) as app:
        assert len((await app.jobs.list(limit=1000)).jobs) == 40


async def test_a_busy_writer_elsewhere_is_waited_for(site: Site) -> None:
    """Another program holds the write lock now and then, for long."""
    async with site.app() as app:
        worker = site.worker(lease="5s")
        await worker.ready()
        handles = []
        with closing(sqlite3.connect(site.database, isolation_level=None, timeout=10)) as other:
            for _ in range(5):
                other.execute("BEGIN IMMEDIATE")
                adding = asyncio.create_task(site.add(app, "hop", *[(0.0,)] * 20))
                await asyncio.sleep(0.2)
                other.execute("COMMIT")
                handles += await adding
        assert {job.state for job in await all_ended(handles, app)} == {JobState.COMPLETED}
        assert await worker.stop() == 0
        assert "ERROR" not in worker.log
        site.check(lease=5.0)


async def _delay_of_a_wakeup(site: Site, app: App, times: int) -> float:
    """Median seconds from an enqueue here to the start of the job there."""
    delays = list[float]()
    for _ in range(times):
        await asyncio.sleep(0.05)
        before = time.monotonic()
        (handle,) = await site.add(app, "hop", (0.0,))
        await all_ended([handle], app)
        delays.append(site.lines("start", job=handle.id)[0]["at"] - before)
    return sorted(delays)[times // 2]


async def test_a_worker_is_woken_by_another_process(site: Site) -> None:
    async with site.app() as app:
        worker = site.worker()
        await worker.ready()
        assert (await app.info()).listen
        # It listens a moment after it has started.
        await eventually(lambda: bool(list(site.folder.glob("jobs.db-bells/*"))), "its bell", worker)
        assert await _delay_of_a_wakeup(site, app, 9) < 0.25  # by polling alone it would be about half a second
        assert await worker.stop() == 0
        site.check()


@pytest.mark.parametrize("why", ["a file is in the way", "no pipes on this disk"])
async def test_without_pipes_polling_finds_the_work(site: Site, why: str) -> None:
    env = {}
    if why == "a file is in the way":
        (site.folder / "jobs.db-bells").write_text("not a folder")
    else:
        (site.folder / "sitecustomize.py").write_text(
            "import os\ndef refuse(*_, **__): raise PermissionError(1, 'Operation not permitted')\nos.mkfifo = refuse\n"
        )
        env["PYTHONPATH"] = os.pathsep.join([str(site.folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    async with site.app() as app:
        worker = site.worker(**env)
        await worker.ready()
        assert await _delay_of_a_wakeup(site, app, 3) < 5  # by polling about half a second
        assert not list(site.folder.glob(f"jobs.db-bells/{worker.pid}-*"))
        (handle,) = await site.add(app, "until_cancelled", ())
        await eventually(lambda: bool(site.lines("start", job=handle.id)), "the job to start", worker)
        assert await handle.cancel()
        (job,) = await all_ended([handle], app)
        assert job.state is JobState.CANCELLED
        assert await worker.stop() == 0
        assert "ERROR" not in worker.log
        site.check()


async def test_unknown_kinds_are_left_for_a_worker_that_knows_them(site: Site) -> None:
    async with site.app() as app:
        unknown = await site.add(app, "step", (0.0,), (0.0,))
        known = await site.add(app, "hop", (0.0,))
        few = site.worker(app="few")
        await all_ended(known, app)
        await asyncio.sleep(0.5)
        rows = [await handle.info() for handle in unknown]
        assert [(job.state, job.epoch) for job in rows] == [(JobState.AVAILABLE, 0)] * 2
        full = site.worker()
        assert {job.state for job in await all_ended(unknown, app)} == {JobState.COMPLETED}
        assert {line["worker"] for line in site.lines("start") if line["kind"] == "step"} == {full.pid}
        assert await few.stop() == await full.stop() == 0
        site.check()


TWO = """
from tidewheel import App
import os, pathlib

def make(name):
    app = App(os.environ["TIDEWHEEL_TEST_STORE"], retry=1)
    told = pathlib.Path(os.environ["TIDEWHEEL_TEST_HISTORY"]).with_name(f"told-{name}")

    @app.task(name=f"{name}.greet", queue=name)
    async def greet(who: str) -> str:
        return f"{name} greets {who}"

    @app.task(name=f"{name}.fail", queue=name)
    async def fail() -> None:
        raise ValueError(name)

    @app.on_dead_letter
    async def alert(dead) -> None:
        with told.open("a") as file:
            file.write(f"{dead.kind}\\n")

    return app

one, two = make("one"), make("two")
"""


async def test_two_apps_on_one_file_keep_to_their_own_jobs(site: Site) -> None:
    (site.folder / "two_apps.py").write_text(TWO)
    path = os.pathsep.join([str(site.folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    workers = [
        site.start(["-m", "tidewheel", "worker", f"two_apps:{name}", "--lease", "1s"], PYTHONPATH=path)
        for name in ("one", "two")
    ]
    async with App(site.url, retry=1) as app:

        @app.task(name="one.greet", queue="one")
        async def one(who: str) -> str:
            return ""

        @app.task(name="two.greet", queue="two")
        async def two(who: str) -> str:
            return ""

        made = [(name, await task.enqueue("Ada")) for _ in range(10) for name, task in (("one", one), ("two", two))]
        for name, handle in made:
            assert await handle.result(timeout=PATIENCE) == f"{name} greets Ada"
        for name in ("one", "two"):
            command = ["-m", "tidewheel", "enqueue", "--app", f"two_apps:{name}", f"{name}.fail"]
            assert await site.start(command, PYTHONPATH=path).ended() == 0
        told = [site.folder / "told-one", site.folder / "told-two"]
        await eventually(lambda: all(one.exists() and one.read_text() for one in told), "both dead letters to be told")
        assert (site.folder / "told-one").read_text() == "one.fail\n"
        assert (site.folder / "told-two").read_text() == "two.fail\n"
        for worker in workers:
            assert await worker.stop() == 0
            assert worker.log.count("ERROR") == 1  # the job that fails


RESULT = """
import asyncio, sys
from tests.e2e.apps.jobs import build

async def main(url, id):
    async with build(url) as app:
        handle = await app.jobs.get(id)
        print("waiting", flush=True)
        print(await handle.result(timeout=30))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_result_reaches_another_process(site: Site) -> None:
    async with site.app() as app:
        (early,) = await site.add(app, "tell", ("said before",))
        (late,) = await site.add(app, "hop", (0.5,))
        worker = site.worker()
        await all_ended([early], app)
        answers = await asyncio.gather(python(RESULT, site.url, early.id), python(RESULT, site.url, late.id))
        assert answers == ["waiting\nsaid before\n", f"waiting\n{late.id}:1\n"]
        assert await worker.stop() == 0
        site.check()


@pytest.mark.parametrize("kind", ["until_cancelled", "step", "crunch"])
async def test_a_cancel_reaches_a_job_that_runs_in_another_process(site: Site, kind: str) -> None:
    async with site.app() as app:
        (handle,) = await site.add(app, kind, () if kind == "until_cancelled" else (60.0,))
        worker = site.worker(lease="30s")  # the next regular beat would be 10 s away
        await eventually(lambda: bool(site.lines("start")), "the job to start", worker)
        asked = time.monotonic()
        assert await handle.cancel()
        (job,) = await all_ended([handle], app)
        # A process that does not look at `cancelled` is ended after 5 s, the others listen.
        assert time.monotonic() - asked < (20 if kind == "crunch" else 5)
        assert job.state is JobState.CANCELLED
        assert await worker.stop() == 0
        site.check(lease=30.0)


async def test_a_blocked_event_loop_keeps_its_lease(site: Site) -> None:
    async with site.app() as app:
        handles = await site.add(app, "block", (3.0,))
        handles += await site.add(app, "hop", (0.5,))
        workers = [site.worker(lease="1s"), site.worker(lease="1s")]
        jobs_done = await all_ended(handles, app)
        assert [(job.state, job.epoch, job.crashes) for job in jobs_done] == [(JobState.COMPLETED, 1, 0)] * 2
        for worker in workers:
            assert await worker.stop() == 0
        assert "The event loop was blocked for" in site.logs()
        assert f"by block {handles[0].id}" in site.logs()
        verdict = site.check()
        assert verdict.executions == 2


async def test_a_delayed_job_comes_due_on_time(site: Site) -> None:
    async with site.app() as app:
        worker = site.worker()
        await worker.ready()
        late = []
        for delay in (0.3, 0.4, 0.5, 0.6, 0.7):
            (handle,) = await site.add(app, "hop", (0.0,), delay=delay)
            (job,) = await all_ended([handle], app)
            assert job.started_at is not None
            late.append((job.started_at - job.run_at) / 1e6)
        assert min(late) >= 0  # never early
        assert sorted(late)[2] < 0.25  # usually 10 ms
        (handle,) = await site.add(app, "hop", (0.0,), delay=3600)
        await asyncio.sleep(0.3)
        assert await handle.promote()
        assert (await all_ended([handle], app))[0].state is JobState.COMPLETED
        assert await worker.stop() == 0
        site.check()


async def test_failures_snoozes_and_retries_are_counted_right(site: Site) -> None:
    async with site.app() as app:
        shaky, hopeless = await site.add(app, "shaky", (2,), (9,))
        (sleepy,) = await site.add(app, "sleepy", (0.2,))
        worker = site.worker()
        rows = await all_ended([shaky, hopeless, sleepy], app)
        assert [(job.state, job.attempt, job.epoch, job.crashes) for job in rows] == [
            (JobState.COMPLETED, 3, 3, 0),
            (JobState.DISCARDED, 3, 3, 0),
            (JobState.COMPLETED, 1, 2, 0),
        ]
        assert await worker.stop() == 0
        site.check()


async def test_a_blocked_event_loop_keeps_the_leases_of_a_claim_it_has_not_heard_of(site: Site) -> None:
    async with site.app() as app:
        handles = await site.add(app, "block", (2.5,))
        handles += await site.add(app, "hop", *[(0.0,)] * 20)
        workers = [site.worker("--concurrency", "8", lease="1s")]
        await eventually(lambda: bool(site.lines("start")), "the blocker to start", workers[0])
        workers.append(site.worker("--concurrency", "8", lease="1s"))  # it would take what the first one loses
        rows = await all_ended(handles, app)
        assert {(job.state, job.epoch, job.crashes) for job in rows} == {(JobState.COMPLETED, 1, 0)}
        for worker in workers:
            assert await worker.stop() == 0
        site.check()


async def test_leases_survive_a_time_in_which_nobody_could_write(site: Site) -> None:
    """A frozen process, or a backup, holds the write lock for longer than a lease: nobody is dead for that."""
    async with site.app() as app:
        workers = [site.worker("--concurrency", "4", lease="1s") for _ in range(3)]
        for worker in workers:
            await worker.ready()
        handles = await site.add(app, "hop", *[(4.0,)] * 12)
        await eventually(lambda: len(site.lines("start")) == 12, "twelve jobs to start")
        handles += await site.add(app, "hop", (0.0,), delay=0.2)  # so that all look at what is due, and at the leases
        await asyncio.sleep(0.5)
        with closing(sqlite3.connect(site.database, isolation_level=None, timeout=10)) as other:
            other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(2.0)
            other.execute("ROLLBACK")
        rows = await all_ended(handles, app)
        assert {(job.state, job.epoch, job.crashes) for job in rows} == {(JobState.COMPLETED, 1, 0)}
        for worker in workers:
            assert await worker.stop() == 0
        site.check()
