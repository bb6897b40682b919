"""Promises of `put_queues`, `queues` and `workers`."""

from __future__ import annotations

from tidewheel._model.duration import SECOND
from tidewheel._model.query import Action
from tidewheel._model.queue import QueueSettings, QueueStats
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.kit import HOUR, LEASE, Kit, Suite, worker_info

NONE = dict.fromkeys(JobState, 0)


class TestQueues(Suite):
    async def test_at_first_there_is_no_queue(self, kit: Kit) -> None:
        assert await kit.store.queues() == []

    async def test_settings_are_stored_and_given_back_in_order(self, kit: Kit) -> None:
        settings = [QueueSettings(name="b", paused=True), QueueSettings(name="a")]
        assert await kit.store.put_queues(settings) == settings
        assert await kit.store.put_queues([]) == []
        assert [(queue.name, queue.paused) for queue in await kit.store.queues()] == [("a", False), ("b", True)]

    async def test_new_settings_replace_the_old_ones_of_their_queue_only(self, kit: Kit) -> None:
        await kit.store.put_queues([QueueSettings(name="a", paused=True), QueueSettings(name="b", paused=True)])
        changed = [QueueSettings(name="a", paused=False)]
        assert await kit.store.put_queues(changed) == changed
        assert await kit.store.put_queues(changed) == changed
        assert [(queue.name, queue.paused) for queue in await kit.store.queues()] == [("a", False), ("b", True)]

    async def test_a_queue_with_settings_but_no_jobs_is_there(self, kit: Kit) -> None:
        await kit.store.put_queues([QueueSettings(name="a", paused=True)])
        assert await kit.store.queues() == [QueueStats(name="a", paused=True, counts=NONE, oldest_available=None)]

    async def test_a_queue_with_jobs_but_no_settings_is_there_and_runs(self, kit: Kit) -> None:
        await kit.put(queue="a")
        assert await kit.store.queues() == [
            QueueStats(name="a", paused=False, counts={**NONE, JobState.AVAILABLE: 1}, oldest_available=kit.clock())
        ]

    async def test_a_queue_whose_jobs_have_all_ended_is_there(self, kit: Kit) -> None:
        await kit.at(JobState.COMPLETED, queue="a")
        (queue,) = await kit.store.queues()
        assert (queue.name, queue.counts[JobState.COMPLETED], queue.oldest_available) == ("a", 1, None)

    async def test_a_queue_without_either_is_gone(self, kit: Kit) -> None:
        job_id = await kit.put(queue="a")
        await kit.alter(Action.DELETE, job_id)
        assert await kit.store.queues() == []

    async def test_every_state_is_counted_for_its_own_queue(self, kit: Kit) -> None:
        for number, state in enumerate(JobState):
            for _ in range(number):
                await kit.at(state, queue=f"queue {number}")
        stats = {queue.name: queue.counts for queue in await kit.store.queues()}
        for number, state in enumerate(JobState):
            if number:
                assert stats[f"queue {number}"] == {**NONE, state: number}

    async def test_queues_come_by_name(self, kit: Kit) -> None:
        for name in ("b", "B", "a", "ä", "a b"):
            await kit.put(queue=name)
        await kit.store.put_queues([QueueSettings(name="aa")])
        names = [queue.name for queue in await kit.store.queues()]
        assert names == sorted(names)
        assert len(names) == 6

    async def test_the_oldest_available_is_the_one_that_waits_longest(self, kit: Kit) -> None:
        since = kit.clock() - HOUR
        await kit.put(run_at=kit.clock())
        await kit.put(run_at=since, lifo=True, priority=900)
        await kit.put(run_at=since - 1, queue="other")
        await kit.put(run_at=kit.clock() + HOUR)
        (default, _) = await kit.store.queues()
        assert default.oldest_available == since

    async def test_at_first_there_is_no_worker(self, kit: Kit) -> None:
        assert await kit.store.workers() == []

    async def test_workers_come_by_start_time_then_by_id(self, kit: Kit) -> None:
        for name, age in (("c", 1), ("a", 5), ("d", 1), ("b", 3)):
            info = worker_info(name, started_at=kit.clock() - age * SECOND)
            await kit.store.beat(info, [], lease=LEASE, now=kit.clock())
        assert [row.info.id for row in await kit.store.workers()] == ["a", "b", "c", "d"]

    async def test_a_claim_alone_makes_no_worker_known(self, kit: Kit) -> None:
        await kit.run()
        assert await kit.store.workers() == []
