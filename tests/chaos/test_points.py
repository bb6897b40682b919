"""Workers die at every labelled point between two calls of the store, one after the other; a last one ends the work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.chaos._caller import Caller, living
from tests.chaos.faults.calls import CALLS, POINTS
from tests.e2e._harness import Site, WorkerProcess, eventually
from tests.e2e._history import Verdict, executions
from tests.e2e._records import Records, judge_records
from tests.e2e.apps import jobs

from tidewheel.testing.faults import Fault, FaultPlan, Point

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(60)]


async def test_a_worker_may_die_between_any_two_calls(new_url: Callable[[], str], tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.url = new_url()
    try:
        async with jobs.build(site.url, crashes=100, attempts=100) as app:
            caller = Caller(app, site.note)
            for number in range(60):
                kind, argument = (("hop", 0.1), ("step", 0.1), ("shaky", 1), ("tell", "x"))[number % 4]
                await caller.give(app.tasks[kind].options(tags=[f"order-{number}"]).job(argument))
            doomed = [_worker(site, call, fault) for call, fault in POINTS]
            assert await asyncio.gather(*(worker.ended() for worker in doomed)) == [-9] * len(POINTS)
            last = _worker(site)

            async def done() -> bool:
                return await living(app) == 0

            await eventually(done, "all jobs ended", last)
            assert await last.stop() == 0
            records = await Records.read(app)
    finally:
        site.end()
    died = {(line["call"], line["fault"]) for line in site.lines("fault")}
    assert died == {(call, fault.value) for call, fault in POINTS}
    verdict = Verdict()
    judge_records(verdict, site.lines(), records)
    assert not verdict.findings, str(verdict)
    assert verdict.completions == 60
    _check_what_each_point_means(site, doomed, records)


def _worker(site: Site, call: str = "", fault: Fault = Fault.DIE_AFTER) -> WorkerProcess:
    nth = 2 if call == "beat" else 1  # its first beat is how a worker begins
    harm = {CALLS: FaultPlan(points=(Point(call, fault, nth),)).encode()} if call else {}
    words = ["--lease", "1s", "--concurrency", "2", "--threads", "2"]
    return site.start(["-m", "tidewheel", "worker", "tests.chaos.app:app", *words], **harm)


def _check_what_each_point_means(site: Site, doomed: list[WorkerProcess], records: Records) -> None:
    """Before a settlement is written, a death takes finished bodies along; after that it takes only the answer."""
    workers = {point: worker.pid for point, worker in zip(POINTS, doomed, strict=True)}
    rescued = {(id, one.epoch) for id, some in records.attempts.items() for one in some if one.outcome == "rescue"}

    def finished(fault: Fault) -> set[tuple[str, int]]:
        runs = (run for done in executions(site.lines()).values() for run in done)
        pid = workers["settle", fault]
        return {(run.job, run.epoch) for run in runs if run.worker == pid and run.how in ("end", "fail")}

    assert finished(Fault.DIE_BEFORE)
    assert finished(Fault.DIE_BEFORE) <= rescued
    assert finished(Fault.DIE_AFTER) - rescued
