"""Workers that die, are frozen, or are killed by their own jobs: nothing is lost, nothing done is done again."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.e2e._harness import Site, all_ended, descendants, eventually, lives

from tidewheel import JobFilter, JobState

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]


async def test_ten_kills_at_random_moments_lose_and_repeat_nothing(site: Site) -> None:
    dice = random.Random(11)
    async with site.app(crashes=100, attempts=100) as app:
        handles = await site.add(app, "hop", *[(dice.uniform(0, 0.3),) for _ in range(60)])
        handles += await site.add(app, "step", *[(dice.uniform(0, 0.3),) for _ in range(60)])
        handles += await site.add(app, "crunch", *[(dice.uniform(0, 0.2),) for _ in range(20)])
        done: dict[str, int] = {}
        for _ in range(10):
            worker = site.worker("--concurrency", "4", "--threads", "4", "--cpu-processes", "2", app="many")
            await worker.ready()
            await asyncio.sleep(dice.uniform(0, 0.5))
            worker.kill()
            page = await app.jobs.list(JobFilter(states=(JobState.COMPLETED,)), limit=1000)
            now_done = {job.id: job.epoch for job in page.jobs}
            assert done.items() <= now_done.items()  # what was recorded stays recorded, as it was
            done = now_done
        assert 0 < len(done) < len(handles)
        # How many lines the history has when these are completed; whatever starts later must be another job.
        before = len(site.lines())
        last = site.worker(app="many")
        jobs = await all_ended(handles, app)
        assert {job.state for job in jobs} == {JobState.COMPLETED}
        started = {line["job"] for line in site.lines()[before:] if line["what"] == "start"}
        assert not started & done.keys()
        assert await last.stop() == 0
        verdict = site.check()
        assert verdict.completions == len(handles)
        assert verdict.executions > len(handles)  # kills did interrupt something


@pytest.mark.parametrize("how", ["exit", "kill"])
async def test_a_job_that_kills_its_worker_becomes_a_dead_letter_and_the_others_go_on(site: Site, how: str) -> None:
    async with site.app() as app:
        (bad,) = await site.add(app, "poison", (how,))
        supervisor = site.worker("--processes", "2")
        await eventually(lambda: bool(site.lines("dies")), "the first crash", supervisor)
        good = []
        for _ in range(5):  # work that comes while the workers fall over and come back
            good += await site.add(app, "hop", *[(0.0,)] * 10)
            await asyncio.sleep(0.3)
        (job,) = await all_ended([bad], app)
        assert (job.state, job.crashes, job.attempt) == (JobState.DISCARDED, 3, 3)
        assert job.error is not None
        assert job.error.type == "tidewheel.Crashed"
        assert "3 of at most 3 times" in job.error.message
        (dead,) = await app.dead_letters.list()
        assert (dead.id, dead.crashes) == (bad.id, 3)
        records = (await bad.history()).attempts
        assert [one.outcome for one in records] == ["rescue"] * 3
        assert len({one.worker for one in records}) == 3
        assert {one.state for one in await all_ended(good, app)} == {JobState.COMPLETED}
        assert supervisor.alive
        assert await supervisor.stop() == 0
        how_said = "ended with exit code 1" if how == "exit" else "was killed by SIGKILL"
        assert supervisor.log.count(how_said) == 3
        site.check()


async def test_a_job_that_kills_its_worker_takes_no_other_with_it(site: Site) -> None:
    async with site.app() as app:
        good = await site.add(app, "hop", *[(0.5,)] * 10)
        bad = await site.add(app, "poison", ("exit",))
        good += await site.add(app, "hop", *[(0.5,)] * 10)
        supervisor = site.worker("--processes", "2")
        jobs = await all_ended([*bad, *good], app)
        assert await supervisor.stop() == 0
        assert [job.state for job in jobs] == [JobState.DISCARDED, *[JobState.COMPLETED] * 20]


async def test_a_job_that_kills_its_child_process_fails_alone(site: Site) -> None:
    async with site.app() as app:
        (bad,) = await site.add(app, "poison_child", ())
        good = await site.add(app, "crunch", *[(0.05,)] * 6)
        worker = site.worker("--cpu-processes", "2")
        (job,) = await all_ended([bad], app)
        assert job.state is JobState.DISCARDED
        assert job.attempt == 3
        assert job.crashes == 0
        assert job.error is not None
        assert "exit code 1" in job.error.message
        assert {one.state for one in await all_ended(good, app)} == {JobState.COMPLETED}
        assert await worker.stop() == 0
        site.check()


async def test_a_frozen_worker_comes_back_and_its_late_writes_are_refused(site: Site) -> None:
    async with site.app() as app:
        handles = await site.add(app, "hop", (0.8,), (0.8,))
        handles += await site.add(app, "step", (0.8,), (0.8,))
        frozen = site.worker()
        await eventually(lambda: len(site.lines("start")) == 4, "four jobs to start", frozen)
        frozen.pause()
        other = site.worker()
        await other.ready()
        jobs = await all_ended(handles, app)
        assert [(job.state, job.crashes, job.attempt, job.epoch) for job in jobs] == [(JobState.COMPLETED, 1, 2, 3)] * 4
        results = [await handle.result() for handle in handles]
        assert results == [f"{handle.id}:3" for handle in handles]  # the second epoch's, not the frozen one's
        frozen.resume()
        # It finds its bodies over, or is told so in its next beat: either way nothing it has to say is taken.
        await eventually(lambda: frozen.log.count("was refused: its lease") == 4, "four refused outcomes", frozen)
        assert [await handle.result() for handle in handles] == results
        # It is as good as new.
        (more,) = await site.add(app, "hop", (0.0,))
        other.kill()
        assert (await all_ended([more], app))[0].state is JobState.COMPLETED
        assert await frozen.stop() == 0
        assert site.check().completions == 5


async def test_a_worker_frozen_for_less_than_its_lease_keeps_its_jobs(site: Site) -> None:
    async with site.app() as app:
        handles = await site.add(app, "hop", (1.0,))
        frozen = site.worker(lease="6s")
        other = site.worker(lease="6s")
        await eventually(lambda: len(site.lines("start")) == 1, "the job to start", frozen)
        holder = next(one for one in (frozen, other) if one.pid == site.lines("start")[0]["worker"])
        holder.pause()
        await asyncio.sleep(1.0)
        holder.resume()
        (job,) = await all_ended(handles, app)
        assert (job.state, job.epoch, job.crashes) == (JobState.COMPLETED, 1, 0)
        assert await frozen.stop() == await other.stop() == 0
        site.check(lease=6.0)


async def test_the_children_of_a_killed_worker_end_with_it(site: Site) -> None:
    async with site.app() as app:
        handles = await site.add(app, "crunch", (60.0,), (60.0,))
        worker = site.worker("--cpu-processes", "2", lease="30s")
        await eventually(lambda: len(site.lines("start")) == 2, "both jobs to start", worker)
        children = descendants(worker.pid)
        assert len(children) >= 2
        worker.kill()
        await eventually(lambda: not any(map(lives, children)), "the children to end")
        site.check(lease=30.0, unfinished=[handle.id for handle in handles])
