"""Workers that are asked to stop: what runs may end, what cannot end is handed back, and no attempt is burned."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest
from tests.e2e._harness import PATIENCE, Site, all_ended, descendants, eventually, lives

from tidewheel import JobState

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_running_jobs_end_and_waiting_ones_stay_when_a_worker_is_asked_to_stop(
    site: Site, how: signal.Signals
) -> None:
    async with site.app() as app:
        running = await site.add(app, "crunch", (1.0,))
        worker = site.worker("--concurrency", "2", "--threads", "2", "--cpu-processes", "1")
        await eventually(lambda: len(site.lines("start")) == 1, "the slowest to start", worker)
        running += await site.add(app, "hop", (1.0,), (1.0,))
        running += await site.add(app, "step", (1.0,), (1.0,))
        waiting = await site.add(app, "hop", *[(0.0,)] * 5)
        await eventually(lambda: len(site.lines("start")) == 5, "five jobs to start", worker)
        worker.send(how)
        assert await worker.ended() == 0
        assert f"stopped ({how.name})" in worker.log
        rows = [await handle.info() for handle in running]
        assert [(job.state, job.attempt, job.crashes) for job in rows] == [(JobState.COMPLETED, 1, 0)] * 5
        rows = [await handle.info() for handle in waiting]
        assert [(job.state, job.attempt, job.epoch) for job in rows] == [(JobState.AVAILABLE, 0, 0)] * 5
        site.check(unfinished=[handle.id for handle in waiting])


async def test_jobs_longer_than_the_grace_are_handed_back_and_burn_no_attempt(site: Site) -> None:
    async with site.app(attempts=1) as app:
        handles = await site.add(app, "hop", (60.0,), (60.0,))
        handles += await site.add(app, "step", (60.0,), (60.0,))
        handles += await site.add(app, "crunch", (60.0,))
        worker = site.worker("--grace", "0.5s", lease="30s")
        await eventually(lambda: len(site.lines("start")) == 5, "five jobs to start", worker)
        asked = time.monotonic()
        assert await worker.stop() == 0
        assert time.monotonic() - asked < 10  # not the 60 s of the jobs, not the 30 s of the lease
        rows = [await handle.info() for handle in handles]
        assert [(job.state, job.attempt, job.crashes, job.lease_until) for job in rows] == [
            (JobState.AVAILABLE, 0, 0, None)
        ] * 5
        for handle in handles:
            (record,) = (await handle.history()).attempts
            assert record.outcome == "release"
            assert record.error is not None
            assert "shutdown" in record.error.message
        # Each has its one attempt still, and another worker has them at once.
        second = site.worker(lease="30s")
        await eventually(lambda: len(site.lines("start")) == 10, "all of them to start again", second)
        assert {line["attempt"] for line in site.lines("start")} == {1}
        second.kill()
        site.check(lease=30.0, unfinished=[handle.id for handle in handles])


async def test_a_second_signal_stops_at_once_and_hands_back(site: Site) -> None:
    async with site.app() as app:
        handles = await site.add(app, "hop", (60.0,))
        handles += await site.add(app, "crunch", (60.0,))
        worker = site.worker("--grace", "60s", lease="30s")
        await eventually(lambda: len(site.lines("start")) == 2, "both jobs to start", worker)
        worker.send(signal.SIGTERM)
        await worker.said("Stopping (SIGTERM)")
        await asyncio.sleep(0.3)
        assert worker.alive  # it waits for its jobs
        asked = time.monotonic()
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0
        assert time.monotonic() - asked < 10
        rows = [await handle.info() for handle in handles]
        assert [(job.state, job.attempt) for job in rows] == [(JobState.AVAILABLE, 0)] * 2
        site.check(lease=30.0, unfinished=[handle.id for handle in handles])


async def test_what_a_handler_forks_is_no_worker_and_ends_at_sigterm(site: Site) -> None:
    async with site.app() as app:
        (handle,) = await site.add(app, "forks", ())
        (waiting,) = await site.add(app, "hop", (1.0,))
        worker = site.worker()
        assert await handle.result(timeout=PATIENCE) == -signal.SIGTERM
        assert (await all_ended([waiting], app))[0].state is JobState.COMPLETED
        assert worker.alive  # it was not meant
        assert await worker.stop() == 0
        site.check()


async def test_a_thread_that_does_not_listen_keeps_no_worker_from_ending(site: Site) -> None:
    async with site.app() as app:
        (handle,) = await site.add(app, "deaf", (60.0,))
        worker = site.worker("--grace", "0.2s", lease="30s")
        await eventually(lambda: len(site.lines("start")) == 1, "the job to start", worker)
        asked = time.monotonic()
        assert await worker.stop() == 0
        assert time.monotonic() - asked < 15
        job = await handle.info()
        assert (job.state, job.attempt) == (JobState.AVAILABLE, 0)
        site.check(lease=30.0, unfinished=[handle.id])


async def test_worker_processes_are_recycled_by_job_count_and_nobody_notices(site: Site) -> None:
    async with site.app() as app:
        supervisor = site.worker("--processes", "2", "--max-jobs", "20", "--concurrency", "4")
        await eventually(lambda: supervisor.log.count("started: ") >= 2, "two workers", supervisor)
        handles = []
        for _ in range(6):
            handles += await site.add(app, "hop", *[(0.01,)] * 20)
            await asyncio.sleep(0.1)
        jobs = await all_ended(handles, app)
        assert [(job.state, job.attempt, job.crashes) for job in jobs] == [(JobState.COMPLETED, 1, 0)] * len(handles)
        await eventually(lambda: supervisor.log.count("asked to be recycled: replaced") >= 2, "recycling", supervisor)
        assert len({line["worker"] for line in site.lines("start")}) >= 3
        assert await supervisor.stop() == 0
        verdict = site.check()
        assert verdict.executions == verdict.completions == len(handles)


async def test_a_supervisor_that_is_killed_takes_its_workers_along(site: Site) -> None:
    async with site.app() as app:
        handles = await site.add(app, "hop", (0.5,), (60.0,))
        supervisor = site.worker("--processes", "2", "--grace", "1s", lease="30s")
        await eventually(lambda: len(site.lines("start")) == 2, "both jobs to start", supervisor)
        children = descendants(supervisor.pid)
        supervisor.kill()
        await eventually(lambda: not any(map(lives, children)), "the workers to end")
        rows = [await handle.info() for handle in handles]
        assert [(job.state, job.attempt) for job in rows] == [(JobState.COMPLETED, 1), (JobState.AVAILABLE, 0)]
        site.check(lease=30.0, unfinished=[handles[1].id])
