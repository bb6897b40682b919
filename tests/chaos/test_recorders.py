"""What the judge knows of a store is complete: each recorder keeps every change, also across a crash of the server."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from tests.chaos._grounds import HERE, Ground
from tests.chaos.recorders.redis import parsed
from tests.e2e._history import HISTORY, Change, same_count
from tests.e2e.apps import jobs
from tests.servers._process import NoServer, missing

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(60)]


@pytest.mark.parametrize("store", HERE)
def test_every_change_is_kept_in_order(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HISTORY, str(tmp_path / "history.jsonl"))
    ground = Ground(store, tmp_path, lease=2.0)
    try:
        ground.start()
    except NoServer as error:
        ground.remove()
        missing(error)
    try:
        first, second = asyncio.run(_story(ground))
        changes, moments = ground.recorder.changes(), ground.recorder.moments()
    finally:
        ground.remove()
    assert [change for change in changes if change.job == first] == [
        Change(first, None, "available", 0, 0, 0),
        Change(first, "available", "cancelled", 0, 0, 0),
        Change(first, "cancelled", "available", 0, 0, 0),
        Change(first, "available", "cancelled", 0, 0, 0),
        Change(first, "cancelled", None, 0, 0, 0),
    ]
    epoch = changes[-1].epoch
    assert same_count(epoch, 1)
    assert [change for change in changes if change.job == second] == [
        Change(second, None, "scheduled", 0, 0, 0),
        Change(second, "scheduled", "available", 0, 0, 0),
        Change(second, "available", "running", epoch, 1, 0),
        Change(second, "running", "completed", epoch, 1, 0, f'"{second}:{epoch}"'),
    ]
    assert moments == sorted(moments)
    assert 0 < moments[-1] - moments[0] < 60


async def _story(ground: Ground) -> tuple[str, str]:
    async with jobs.build(ground.url) as app, ground.watched():
        one = await app.tasks["hop"].enqueue()
        await one.cancel()
        await one.retry()
        await one.cancel()
        await one.delete()
        two = await app.tasks["hop"].options(delay="60s").enqueue(0.0)
    if ground.server is not None:
        await asyncio.to_thread(ground.server.stop, signal.SIGKILL)
        await asyncio.to_thread(ground.server.start)
    async with jobs.build(ground.url) as app:
        await app.jobs.promote([two.id])
        await app.worker(drain_and_exit=True, signals=False).run()
    return one.id, two.id


def test_a_torn_end_of_the_append_only_file_is_left_out() -> None:
    whole = b"#TS:1\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n"
    words = [b"DEL", b"a"]
    assert list(parsed(whole * 2)) == [words, words]
    for end in range(len(whole) + 8, 2 * len(whole)):
        assert list(parsed((whole * 2)[:end])) == [words], end
