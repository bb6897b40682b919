"""Rows that cannot be read, of every kind at once: the rest runs, people see them all, and each can be dealt with."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from tests.e2e._harness import Site, all_ended

from tidewheel import App, JobFilter, JobState

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]
BAD = "CAST(x'6162ff63' AS TEXT)"
LOST = "state = 'running', lease_until = 1, started_at = 1, epoch = 1, attempt = 1"

DISCARDED = {
    "args are no UTF-8": f"args = {BAD}",
    "args are no JSON": "args = 'no json'",
    "args are cut": "args = '{\"te'",
    "args do not fit": "args = '{\"nobody\": 1}'",
    "args have a zero byte": "args = 'x' || char(0) || 'y'",
    "id is no UTF-8": f"id = {BAD}",
    "tags are no UTF-8": f"tags = {BAD}",
    "options are no UTF-8": f"options = {BAD}",
    "options are no JSON": "options = 'no json'",
    "options are another type": "options = '[1]'",
    "meta is no UTF-8": f"meta = {BAD}",
    "lost, crashed too often, no UTF-8 to tell": f"{LOST}, crashes = 5, on_dead = {BAD}",
    "lost, and its id is no UTF-8": f"{LOST}, id = {BAD} || 'd'",
}
COMPLETED = {
    "tags are no JSON": "tags = 'no json'",
    "meta is no JSON": "meta = 'no json'",
    "unique key is no UTF-8": f"unique_key = {BAD}",
    "error is no JSON": "error = 'no json'",
    "error is no UTF-8": f"error = {BAD}",
    "worker is no UTF-8": f"worker = {BAD}",
    "on_dead is no UTF-8": f"on_dead = {BAD}",
    "progress is no UTF-8": f"progress = {BAD}",
    "result is no UTF-8": f"result = {BAD}",
    "counters are odd": "attempt = -3, max_attempts = 0, priority = -5",
    "times are odd": "run_at = 9223372036854775807, enqueued_at = -99999999999999",
    "lost, and its worker is no UTF-8": f"{LOST}, worker = {BAD}",
}
LEFT_ALONE = {
    "kind is no UTF-8": f"kind = {BAD}",
    "kind is unknown": "kind = 'nobody knows'",
    "queue is no UTF-8": f"queue = {BAD}",
    "lost, and its queue is no UTF-8": f"{LOST}, queue = {BAD}",
}
NO_STATE = {"state is no UTF-8": f"state = {BAD}", "state is unknown": "state = 'bogus'"}
CASES = {**DISCARDED, **COMPLETED, **LEFT_ALONE, **NO_STATE}


async def everything(app: App) -> dict[str, int]:
    """Every list there is, and how much is in it."""
    tagged = await app.jobs.list(JobFilter(tag="t"), limit=1000)
    found = await app.jobs.list(JobFilter(text="te"), limit=1000)
    return {
        "jobs": len((await app.jobs.list(limit=1000)).jobs),
        "tagged": len(tagged.jobs),
        "found": len(found.jobs),
        "dead": len(await app.dead_letters.list(limit=1000)),
        "queues": len(await app.queues.list()),
        "workers": len(await app.workers.list()),
    }


async def test_rows_that_cannot_be_read_stand_in_nobodys_way(site: Site) -> None:
    async with site.app(audit=False) as app:
        good, bad = [], {}
        for name, change in CASES.items():
            good += await site.add(app, "tell", ("before",), tags=("t",))
            (bad[name],) = await site.add(app, "tell", ("bad",), tags=("t",))
            with closing(sqlite3.connect(site.database)) as connection, connection:
                connection.execute(f"UPDATE tidewheel_jobs SET {change} WHERE id = ?", (bad[name].id,))  # noqa: S608
        good += await site.add(app, "tell", ("after",), tags=("t",))
        seqs = {name: 2 * n + 2 for n, name in enumerate(CASES)}
        with closing(sqlite3.connect(site.database)) as connection, connection:
            connection.execute("INSERT INTO tidewheel_workers VALUES ('w', 'no json', 1)")
        before = await everything(app)
        assert before["jobs"] == len(good) + len(bad)
        assert before["workers"] == 1
        assert before["tagged"] == before["jobs"] - 2

        worker = site.worker()
        assert {job.state for job in await all_ended(good, app)} == {JobState.COMPLETED}
        rest = [handle for name, handle in bad.items() if name in COMPLETED]
        assert {job.state for job in await all_ended(rest, app)} == {JobState.COMPLETED}
        assert await worker.stop() == 0
        after = await everything(app)
        assert after["jobs"] == before["jobs"] + 1  # the one that tells of a dead letter, of a kind nobody has
        assert after["dead"] == len(DISCARDED)

        states = raw(site, "SELECT seq, CAST(state AS BLOB) FROM tidewheel_jobs")
        assert {name: states[seqs[name]] for name in CASES} == (
            dict.fromkeys(DISCARDED, b"discarded")
            | dict.fromkeys(COMPLETED, b"completed")
            | dict.fromkeys(LEFT_ALONE, b"available")
            | {"state is no UTF-8": b"ab\xffc", "state is unknown": b"bogus"}
        )
        reasons = raw(site, "SELECT seq, CAST(error AS BLOB) FROM tidewheel_jobs")
        assert all(reasons[seqs[name]] for name in DISCARDED)
        assert b"tidewheel.Unreadable" in reasons[seqs["args are no UTF-8"]]


def raw(site: Site, question: str) -> dict[int, Any]:
    with closing(sqlite3.connect(site.database)) as connection:
        return dict(connection.execute(question).fetchall())


async def test_rows_that_cannot_be_read_can_be_shown_retried_cancelled_and_deleted(site: Site) -> None:
    async with site.app(audit=False) as app:
        for name, change in CASES.items():
            if "id " in name:
                continue  # nobody can name it; a filter finds it
            (handle,) = await site.add(app, "tell", ("bad",))
            with closing(sqlite3.connect(site.database)) as connection, connection:
                connection.execute(f"UPDATE tidewheel_jobs SET {change} WHERE id = ?", (handle.id,))  # noqa: S608
            job = await handle.info()
            assert (await handle.history()).job == job
            if name in NO_STATE:
                assert job.state is JobState.DISCARDED
                assert job.error is not None
                assert "does not exist" in job.error.message
                assert await handle.retry()
                assert await handle.state() is JobState.AVAILABLE
            if "UTF-8" in name and "lost" not in name and "tags" not in name:  # no tags are better than half of one
                assert "ab\\xffc" in str(job).replace("\\\\", "\\")
            await handle.cancel()
            if not name.startswith("lost"):
                assert await handle.delete(), name
                assert await app.jobs.info(handle.id) is None
        await app.jobs.cancel(JobFilter(kinds=("tell",)))
        await app.queues.pause("default")
        await app.queues.resume("default")
