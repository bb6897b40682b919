"""Promises of opening, closing and siblings."""

from __future__ import annotations

import asyncio

from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.query import Enqueued
from tidewheel._model.state import JobState
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Want
from tidewheel._store.base import Store
from tidewheel.testing._clock import fake_env
from tidewheel.testing.conformance.kit import HOUR, Kit, StoreMaker, Suite, worker_info


class TestLifecycle(Suite):
    async def test_info_says_who_the_store_is(self, kit: Kit) -> None:
        info = await kit.store.info()
        assert info.name
        assert info.version
        assert info.durability
        assert info.schema >= 1

    async def test_the_clock_does_not_go_back(self, kit: Kit) -> None:
        first, second = await kit.store.info(), await kit.store.info()
        assert first.now <= second.now

    async def test_closing_twice_is_safe(self, make_store: StoreMaker) -> None:
        store = make_store(fake_env())
        await store.open()
        await store.close()
        await store.close()

    async def test_closing_what_was_never_opened_is_safe(self, make_store: StoreMaker) -> None:
        await make_store(fake_env()).close()

    async def test_a_store_can_be_opened_again_and_has_its_jobs(self, kit: Kit) -> None:
        row = await kit.at(JobState.SCHEDULED)
        await kit.store.close()
        await kit.store.open()
        assert await kit.row(row.id) == row
        assert await kit.put()

    async def test_closing_finishes_what_was_handed_over(self, kit: Kit) -> None:
        jobs = [kit.new() for _ in range(20)]
        handed_over = [asyncio.ensure_future(kit.enqueue(job)) for job in jobs]
        await asyncio.sleep(0)
        await kit.store.close()
        answers = await asyncio.gather(*handed_over)
        await kit.store.open()
        assert answers == [[Enqueued(job.id, inserted=True)] for job in jobs]
        assert len(await kit.listed()) == len(jobs)

    async def test_migrating_what_is_up_to_date_changes_nothing(self, kit: Kit) -> None:
        row = await kit.at(JobState.SCHEDULED)
        schema = (await kit.store.info()).schema
        assert await kit.store.migrate() == (schema, schema)
        assert tuple(await asyncio.gather(kit.store.migrate(), kit.store.migrate())) == (
            (schema, schema),
            (schema, schema),
        )
        assert await kit.row(row.id) == row

    async def test_a_sibling_works_on_the_same_data_from_another_thread(self, kit: Kit) -> None:
        lease = (await kit.run()).lease
        sibling: Store = kit.store.sibling()
        job = kit.new(delay=HOUR)

        async def elsewhere() -> list[BeatAnswer]:
            if sibling is not kit.store:
                await sibling.open()
            await sibling.enqueue([job], now=kit.clock())
            beats = [LeaseBeat(lease, progress="5")]
            answers = await sibling.beat(worker_info("w1"), beats, lease=HOUR, now=kit.clock())
            if sibling is not kit.store:
                await sibling.close()
            return answers

        assert await asyncio.to_thread(asyncio.run, elsewhere()) == [BeatAnswer.EXTENDED]
        row = await kit.row(lease.job_id)
        assert (row.progress, row.lease_until) == ("5", kit.clock() + HOUR)
        assert await kit.exists(job.id)

    async def test_two_threads_may_use_the_store_at_once(self, kit: Kit) -> None:
        """Each settles and enqueues while the other does; nothing is lost and nothing is answered wrongly."""
        sibling: Store = kit.store.sibling()
        rounds = 25

        async def work(store: Store, queue: str) -> int:
            done = 0
            for _ in range(rounds):
                job = kit.new(queue=queue)
                await store.enqueue([job], now=kit.clock())
                (claimed,) = await store.claim(
                    [Want(queue, 1)], kinds=["work"], worker=queue, lease=HOUR, now=kit.clock()
                )
                await store.settle([Settlement(claimed.lease, Complete("1"))], now=kit.clock())
                done += claimed.id == job.id
            return done

        async def elsewhere() -> int:
            if sibling is not kit.store:
                await sibling.open()
            done = await work(sibling, "there")
            if sibling is not kit.store:
                await sibling.close()
            return done

        there, here = await asyncio.gather(asyncio.to_thread(asyncio.run, elsewhere()), work(kit.store, "here"))
        assert (there, here) == (rounds, rounds)
        assert len(await kit.listed(states=(JobState.COMPLETED,))) == 2 * rounds
