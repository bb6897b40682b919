"""Promises of `claim`."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tidewheel._model.job import Claimed
from tidewheel._model.queue import QueueSettings
from tidewheel._model.state import JobState
from tidewheel._model.worker import Want
from tidewheel.testing.conformance.kit import HOUR, LEASE, MINUTE, Kit, Suite


class TestClaim(Suite):
    async def test_a_claimed_job_brings_what_running_it_needs(self, kit: Kit) -> None:
        job = kit.new(tags=("a", "b"), meta='{"m":1}', options='{"o":2}', max_attempts=5, queue="q", args="[1]")
        await kit.enqueue(job)
        enqueued_at = kit.clock()
        kit.clock.advance("5s")
        (claimed,) = await kit.claim(queue="q")
        assert claimed == Claimed(
            id=job.id,
            epoch=1,
            kind="work",
            queue="q",
            args="[1]",
            attempt=1,
            max_attempts=5,
            crashes=0,
            enqueued_at=enqueued_at,
            claimed_at=kit.clock(),
            tags=claimed.tags,
            meta='{"m":1}',
            options='{"o":2}',
        )
        assert (claimed.tags or "").replace(" ", "") == '["a","b"]'

    async def test_what_a_job_has_not_is_none(self, kit: Kit) -> None:
        claimed = await kit.run()
        assert (claimed.tags, claimed.meta, claimed.options) == (None, None, None)

    async def test_a_claimed_job_is_running_under_a_lease(self, kit: Kit) -> None:
        before = await kit.row(await kit.put())
        kit.clock.advance("5s")
        await kit.claim(worker="w9", lease=7 * MINUTE)
        assert await kit.row(before.id) == replace(
            before,
            state=JobState.RUNNING,
            epoch=1,
            attempt=1,
            worker="w9",
            started_at=kit.clock(),
            lease_until=kit.clock() + 7 * MINUTE,
        )

    async def test_without_now_the_time_is_the_stores_own(self, kit: Kit) -> None:
        await kit.store.enqueue([kit.new()])
        before = (await kit.store.info()).now
        (claimed,) = await kit.store.claim([Want("default", 1)], kinds=["work"], worker="w", lease=LEASE)
        after = (await kit.store.info()).now
        row = await kit.row(claimed.id)
        assert before <= claimed.claimed_at <= after
        assert (row.started_at, row.lease_until) == (claimed.claimed_at, claimed.claimed_at + LEASE)

    async def test_never_more_than_the_slots(self, kit: Kit) -> None:
        ids = [await kit.put() for _ in range(5)]
        assert await kit.claimed_ids(2) == ids[:2]
        assert await kit.claimed_ids(2) == ids[2:4]
        assert await kit.claimed_ids(2) == ids[4:]
        assert await kit.claimed_ids(2) == []

    async def test_no_slots_no_jobs(self, kit: Kit) -> None:
        await kit.put()
        assert await kit.claim(0) == []
        assert await kit.store.claim([], kinds=["work"], worker="w", lease=LEASE, now=kit.clock()) == []

    async def test_only_of_the_wanted_queues_each_with_its_slots_in_the_order_of_the_wants(self, kit: Kit) -> None:
        ids = {queue: [await kit.put(queue=queue) for _ in range(3)] for queue in ("a", "b", "c")}
        wants = [Want("c", 2), Want("a", 1), Want("empty", 5)]
        claimed = await kit.store.claim(wants, kinds=["work"], worker="w", lease=LEASE, now=kit.clock())
        assert [job.id for job in claimed] == [*ids["c"][:2], ids["a"][0]]

    async def test_the_smallest_priority_first(self, kit: Kit) -> None:
        ids = {priority: await kit.put(priority=priority) for priority in (500, 1, 1000, 100, 2)}
        assert await kit.claimed_ids() == [ids[1], ids[2], ids[100], ids[500], ids[1000]]

    async def test_within_a_priority_by_run_at(self, kit: Kit) -> None:
        ids = {age: await kit.put(run_at=kit.clock() - age) for age in (10, 30, 20)}
        assert await kit.claimed_ids() == [ids[30], ids[20], ids[10]]

    async def test_priority_goes_before_run_at(self, kit: Kit) -> None:
        old = await kit.put(priority=2, run_at=kit.clock() - HOUR)
        urgent = await kit.put(priority=1)
        assert await kit.claimed_ids() == [urgent, old]

    async def test_at_one_moment_in_the_order_of_the_enqueue(self, kit: Kit) -> None:
        jobs = [kit.new(id=name) for name in ("delta", "alpha", "charlie")]
        await kit.enqueue(*jobs)
        last = await kit.put(id="bravo")
        assert await kit.claimed_ids() == ["delta", "alpha", "charlie", last]

    async def test_a_promoted_job_stands_in_line_by_its_time(self, kit: Kit) -> None:
        delayed = await kit.put(delay=10)
        kit.clock.advance("1m")
        fresh = await kit.put()
        await kit.sweep()
        assert await kit.claimed_ids() == [delayed, fresh]

    async def test_lifo_jobs_go_before_the_others_newest_first(self, kit: Kit) -> None:
        plain = [await kit.put(), await kit.put()]
        lifo = [await kit.put(lifo=True), await kit.put(lifo=True)]
        plain.append(await kit.put())
        assert await kit.claimed_ids() == [*reversed(lifo), *plain]

    async def test_lifo_goes_by_run_at_the_other_way_round(self, kit: Kit) -> None:
        ids = {age: await kit.put(lifo=True, run_at=kit.clock() - age) for age in (10, 30, 20)}
        assert await kit.claimed_ids() == [ids[10], ids[20], ids[30]]

    async def test_lifo_stays_within_its_priority(self, kit: Kit) -> None:
        lifo = await kit.put(lifo=True, priority=5)
        urgent = await kit.put(priority=4)
        plain = await kit.put(priority=5)
        assert await kit.claimed_ids() == [urgent, lifo, plain]

    async def test_none_of_a_paused_queue(self, kit: Kit) -> None:
        paused, other = await kit.put(queue="a"), await kit.put(queue="b")
        await kit.store.put_queues([QueueSettings(name="a", paused=True)])
        wants = [Want("a", 5), Want("b", 5)]
        claimed = await kit.store.claim(wants, kinds=["work"], worker="w", lease=LEASE, now=kit.clock())
        assert [job.id for job in claimed] == [other]
        await kit.store.put_queues([QueueSettings(name="a", paused=False)])
        assert await kit.claimed_ids(queue="a") == [paused]

    async def test_only_the_kinds_asked_for(self, kit: Kit) -> None:
        ids = {kind: await kit.put(kind=kind) for kind in ("x", "y", "z")}
        wants = [Want("default", 5)]
        claimed = await kit.store.claim(wants, kinds=["z", "x"], worker="w", lease=LEASE, now=kit.clock())
        assert [job.id for job in claimed] == [ids["x"], ids["z"]]
        assert (await kit.row(ids["y"])).state is JobState.AVAILABLE

    async def test_kinds_nobody_knows_do_not_block_the_line(self, kit: Kit) -> None:
        strange = [await kit.put(kind="strange", priority=1) for _ in range(20)]
        known = await kit.put()
        assert await kit.claimed_ids(1) == [known]
        assert all([(await kit.row(job_id)).state is JobState.AVAILABLE for job_id in strange])

    async def test_no_kinds_no_jobs(self, kit: Kit) -> None:
        await kit.put()
        assert await kit.store.claim([Want("default", 5)], kinds=[], worker="w", lease=LEASE, now=kit.clock()) == []

    @pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.AVAILABLE}))
    async def test_only_available_jobs(self, kit: Kit, state: JobState) -> None:
        row = await kit.at(state, wait=0 if state is JobState.RETRYABLE else 1)
        kit.clock.advance("1s")
        assert await kit.claim() == []
        assert await kit.row(row.id) == row

    async def test_epoch_and_attempt_grow_with_every_claim(self, kit: Kit) -> None:
        job_id = (await kit.at(JobState.RETRYABLE, wait=0)).id
        await kit.sweep()
        (claimed,) = await kit.claim()
        assert (claimed.id, claimed.epoch, claimed.attempt) == (job_id, 2, 2)

    async def test_a_claimed_job_says_how_often_its_worker_was_lost(self, kit: Kit) -> None:
        await kit.run(max_attempts=5)
        kit.clock.advance("2m")
        await kit.sweep()
        (claimed,) = await kit.claim()
        assert claimed.crashes == 1

    async def test_a_lost_reply_costs_one_lease_time(self, kit: Kit) -> None:
        lost = await kit.run(max_attempts=2)
        assert await kit.claim() == []
        kit.clock.advance("1m")
        await kit.sweep()
        assert await kit.claimed_ids() == [lost.id]

    async def test_claimers_at_once_never_share_a_job(self, kit: Kit) -> None:
        ids = [await kit.put() for _ in range(40)]
        answers = await asyncio.gather(*(kit.claim(6, worker=f"w{n}") for n in range(8)))
        assert all(len(answer) <= 6 for answer in answers)
        assert sorted(job.id for answer in answers for job in answer) == sorted(ids)
