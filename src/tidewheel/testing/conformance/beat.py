"""Promises of `beat`."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tidewheel._model.job import Lease, LogLine
from tidewheel._model.outcome import Complete, Released
from tidewheel._model.query import Action
from tidewheel._model.state import JobState
from tidewheel._model.worker import BeatAnswer, LeaseBeat, WorkerRow
from tidewheel._store.base import LOG_LINES, MAX_BATCH
from tidewheel.testing.conformance.kit import HOUR, LEASE, Kit, Suite, worker_info


def lines(first: int, last: int) -> list[LogLine]:
    return [LogLine(number, "info", f"line {number}") for number in range(first, last + 1)]


class TestBeat(Suite):
    async def test_a_beat_extends_the_lease_and_nothing_else(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        before = await kit.row(lease.job_id)
        kit.clock.advance("10s")
        assert await kit.beat(lease, lease=HOUR) == [BeatAnswer.EXTENDED]
        assert await kit.row(lease.job_id) == replace(before, lease_until=kit.clock() + HOUR)

    async def test_a_lease_that_is_extended_is_not_rescued(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        for _ in range(5):
            kit.clock.advance("50s")
            await kit.beat(lease)
            await kit.sweep()
        assert (await kit.row(lease.job_id)).state is JobState.RUNNING

    async def test_a_lease_that_is_over_but_not_rescued_is_extended(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        kit.clock.advance("1h")
        assert await kit.beat(lease) == [BeatAnswer.EXTENDED]
        assert (await kit.sweep()).next_due_at == kit.clock() + LEASE
        assert (await kit.row(lease.job_id)).state is JobState.RUNNING

    async def test_a_requested_cancel_is_answered_and_the_lease_extended(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.alter(Action.CANCEL, lease.job_id)
        kit.clock.advance("10s")
        assert await kit.beat(lease) == [BeatAnswer.CANCEL]
        assert (await kit.row(lease.job_id)).lease_until == kit.clock() + LEASE
        assert await kit.beat(lease) == [BeatAnswer.CANCEL]

    async def test_a_rescued_lease_is_lost_and_writes_nothing(self, kit: Kit) -> None:
        lease = (await kit.run(max_attempts=5)).lease
        kit.clock.advance("1h")
        await kit.sweep()
        before = await kit.everything()
        assert await kit.beat(lease, progress="1", logs=lines(1, 2)) == [BeatAnswer.LOST]
        assert await kit.everything() == before

    async def test_an_older_lease_of_a_running_job_is_lost_and_writes_nothing(self, kit: Kit) -> None:
        old = (await kit.run()).lease
        await kit.settle(old, Released())
        (newer,) = await kit.claim()
        kit.clock.advance("1s")
        before = await kit.everything()
        assert await kit.beat(old, progress="1", logs=lines(1, 2)) == [BeatAnswer.LOST]
        assert await kit.beat(Lease(old.job_id, newer.epoch + 1), progress="1") == [BeatAnswer.LOST]
        assert await kit.everything() == before

    async def test_a_settled_lease_is_lost_and_writes_nothing(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.settle(lease, Complete("1"))
        before = await kit.everything()
        assert await kit.beat(lease, progress="1", logs=lines(1, 2)) == [BeatAnswer.LOST]
        assert await kit.everything() == before

    async def test_the_lease_of_no_job_is_lost(self, kit: Kit) -> None:
        assert await kit.beat(Lease("nobody", 1)) == [BeatAnswer.LOST]

    async def test_a_worker_that_says_goodbye_is_forgotten_at_once(self, kit: Kit) -> None:
        for worker in ("w1", "w2"):
            await kit.store.beat(worker_info(worker), [], lease=LEASE, now=kit.clock())
        goodbye = replace(worker_info("w1"), stopped=True)
        assert await kit.store.beat(goodbye, [], lease=LEASE, now=kit.clock()) == []
        assert [row.info.id for row in await kit.store.workers()] == ["w2"]
        assert await kit.store.beat(goodbye, [], lease=LEASE, now=kit.clock()) == []
        assert [row.info.id for row in await kit.store.workers()] == ["w2"]

    async def test_a_goodbye_extends_what_its_worker_still_has(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        kit.clock.advance("10s")
        goodbye = replace(worker_info("w1"), stopped=True)
        answers = await kit.store.beat(goodbye, [LeaseBeat(lease)], lease=LEASE, now=kit.clock())
        assert answers == [BeatAnswer.EXTENDED]
        assert (await kit.row(lease.job_id)).lease_until == kit.clock() + LEASE
        assert await kit.store.workers() == []

    async def test_answers_come_in_the_order_of_the_questions(self, kit: Kit) -> None:
        plain = (await kit.run(queue="a")).lease
        asked = (await kit.run(queue="b")).lease
        await kit.alter(Action.CANCEL, asked.job_id)
        answers = await kit.beat(asked, Lease("nobody", 1), plain)
        assert answers == [BeatAnswer.CANCEL, BeatAnswer.LOST, BeatAnswer.EXTENDED]
        assert await kit.beat() == []

    async def test_an_old_lease_beside_the_one_that_holds_is_lost_all_the_same(self, kit: Kit) -> None:
        old = (await kit.run()).lease
        await kit.settle(old, Released())
        (newer,) = await kit.claim()
        beats = [LeaseBeat(newer.lease, progress="1"), LeaseBeat(old, progress="2", logs=tuple(lines(1, 1)))]
        for told in (beats, beats[::-1]):
            answers = await kit.store.beat(worker_info("w1"), told, lease=LEASE, now=kit.clock())
            assert dict(zip((beat.lease for beat in told), answers, strict=True)) == {
                newer.lease: BeatAnswer.EXTENDED,
                old: BeatAnswer.LOST,
            }
        past = await kit.past(old.job_id)
        assert (past.job.progress, past.logs) == ("1", ())

    async def test_progress_is_written_and_kept_when_nothing_is_said(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.beat(lease, progress='{"done":1}')
        assert (await kit.row(lease.job_id)).progress == '{"done":1}'
        await kit.beat(lease)
        assert (await kit.row(lease.job_id)).progress == '{"done":1}'
        await kit.beat(lease, progress="2")
        assert (await kit.row(lease.job_id)).progress == "2"

    async def test_log_lines_are_kept_in_the_order_they_came(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        later, earlier = LogLine(20, "warning", "first said"), LogLine(10, "info", "said next: ü")
        await kit.beat(lease, logs=[later, earlier])
        await kit.beat(lease, logs=lines(1, 2))
        assert (await kit.past(lease.job_id)).logs == (later, earlier, *lines(1, 2))

    async def test_log_lines_stay_with_their_job(self, kit: Kit) -> None:
        one, two = (await kit.run(queue="a")).lease, (await kit.run(queue="b")).lease
        beats = [LeaseBeat(one, progress="1", logs=tuple(lines(1, 1))), LeaseBeat(two, logs=tuple(lines(2, 2)))]
        await kit.store.beat(worker_info("w1"), beats, lease=LEASE, now=kit.clock())
        assert (await kit.past(one.job_id)).logs == tuple(lines(1, 1))
        assert (await kit.past(two.job_id)).logs == tuple(lines(2, 2))
        assert (await kit.row(two.job_id)).progress is None

    async def test_the_newest_log_lines_are_kept(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.beat(lease, logs=lines(1, LOG_LINES))
        assert (await kit.past(lease.job_id)).logs == tuple(lines(1, LOG_LINES))
        await kit.beat(lease, logs=lines(LOG_LINES + 1, LOG_LINES + 3))
        assert (await kit.past(lease.job_id)).logs == tuple(lines(4, LOG_LINES + 3))

    async def test_more_log_lines_than_are_kept_may_come_at_once(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        await kit.beat(lease, logs=lines(1, LOG_LINES + 5))
        assert (await kit.past(lease.job_id)).logs == tuple(lines(6, LOG_LINES + 5))

    async def test_the_cap_is_each_jobs_own(self, kit: Kit) -> None:
        one, two = (await kit.run(queue="a")).lease, (await kit.run(queue="b")).lease
        await kit.beat(one, logs=lines(1, 10))
        await kit.beat(two, logs=lines(1, LOG_LINES + 5))
        assert (await kit.past(one.job_id)).logs == tuple(lines(1, 10))

    async def test_a_beat_makes_the_worker_known(self, kit: Kit) -> None:
        info = worker_info("w1", queues=("a", "b"), kinds=("x",), running=3, version="1.2", started_at=kit.clock())
        await kit.store.beat(info, [], lease=LEASE, now=kit.clock())
        assert await kit.store.workers() == [WorkerRow(info=info, seen_at=kit.clock())]

    async def test_the_next_beat_brings_the_worker_up_to_date(self, kit: Kit) -> None:
        await kit.beat()
        kit.clock.advance("10s")
        info = worker_info("w1", running=4)
        await kit.store.beat(info, [], lease=LEASE, now=kit.clock())
        assert await kit.store.workers() == [WorkerRow(info=info, seen_at=kit.clock())]

    async def test_without_now_the_time_is_the_stores_own(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        before = (await kit.store.info()).now
        await kit.store.beat(worker_info("w1"), [LeaseBeat(lease)], lease=LEASE)
        after = (await kit.store.info()).now
        assert before + LEASE <= ((await kit.row(lease.job_id)).lease_until or 0) <= after + LEASE
        assert before <= (await kit.store.workers())[0].seen_at <= after

    async def test_a_repeat_answers_the_same(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        first = await kit.beat(lease, progress="5")
        row = await kit.row(lease.job_id)
        assert await kit.beat(lease, progress="5") == first
        assert await kit.row(lease.job_id) == row

    async def test_a_call_refuses_more_than_a_full_batch(self, kit: Kit) -> None:
        with pytest.raises(ValueError, match="10,000"):
            await kit.beat(*[Lease("nobody", 1)] * (MAX_BATCH + 1))
