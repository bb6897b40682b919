"""A server tells the time: callers and workers whose clocks are an hour wrong, either way, change nothing.

(On SQLite the machine's clock is the store's: see `test_surprises.py` for what happens when it is set.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.chaos._grounds import HERE
from tests.e2e._history import HISTORY
from tests.e2e.apps import jobs

from tidewheel import App, Env, JobState
from tidewheel._env import Uuid7, wall_clock

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(60)]
HOUR = 3600 * 1_000_000


def _app(url: str, wrong: int) -> App:
    def clock() -> int:
        return wall_clock() + wrong

    return jobs.build(url, crashes=1, env=Env(clock=clock, ids=Uuid7(clock)))


@pytest.mark.parametrize("ground", [store for store in HERE if store != "sqlite"], indirect=True)
async def test_wrong_clocks_move_no_job(
    new_url: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HISTORY, str(tmp_path / "history.jsonl"))
    url = new_url()
    async with _app(url, 0) as right, _app(url, HOUR) as ahead, _app(url, -HOUR) as behind:
        apps = (right, ahead, behind)
        workers = [one.worker(signals=False, lease="1s", grace="1s") for one in apps]
        running = [asyncio.create_task(one.run()) for one in workers]
        # Leases of one second, swept by all: were they judged by a worker's clock, these would be dead letters.
        long = [await one.tasks["hop"].enqueue(2.5) for one in apps]
        soon = [await one.tasks["hop"].options(delay="0.5s").enqueue(0.0) for one in apps]
        late = [await one.tasks["hop"].options(delay="60s").enqueue(0.0) for one in apps]
        for handle in (*long, *soon):
            assert await handle.result(timeout="15s") == f"{handle.id}:1"
        for handle in late:
            row = await right.jobs.info(handle.id)
            assert row is not None
            assert row.state is JobState.SCHEDULED
            assert abs(row.enqueued_at - wall_clock()) < 30_000_000
        for one in workers:
            one.stop()
        assert await asyncio.gather(*running) == ["stop"] * len(apps)
