"""Promises of `claim` about jobs on their last life: one more lost worker would make dead letters of them."""

from __future__ import annotations

from typing import Any

import pytest

from tidewheel._model.job import Claimed
from tidewheel._model.outcome import Complete, Released, RetryLater, Snoozed
from tidewheel._model.query import Action
from tidewheel._model.state import JobState
from tidewheel._model.worker import Want
from tidewheel.testing.conformance.kit import BOOM, LEASE, Kit, Suite


async def crashed(kit: Kit, times: int = 1, count: int = 1, **changes: Any) -> list[str]:
    """Jobs whose workers were lost so many times. Nothing else may be available."""
    options = {"max_attempts": 10, "max_crashes": times + 1, **changes}
    ids = [await kit.put(**options) for _ in range(count)]
    queue = changes.get("queue", "default")
    for _ in range(times):
        taken: list[Claimed] = []
        while more := await kit.claim(queue=queue):
            taken += more
        assert len(taken) == count
        kit.clock.advance("5m")
        await kit.sweep()
    return ids


class TestLastLife(Suite):
    async def test_one_call_hands_out_one(self, kit: Kit) -> None:
        ids = await crashed(kit, count=3)
        assert await kit.claimed_ids() == ids[:1]
        assert await kit.claimed_ids() == ids[1:2]
        assert await kit.claimed_ids() == ids[2:]
        assert await kit.claimed_ids() == []

    async def test_none_where_the_worker_wants_none(self, kit: Kit) -> None:
        (suspect,) = await crashed(kit)
        other = await kit.put()
        wants = [Want("default", 10)]
        asked: dict[str, Any] = {"kinds": ["work"], "worker": "w", "lease": LEASE, "now": kit.clock()}
        assert [job.id for job in await kit.store.claim(wants, last_life=False, **asked)] == [other]
        assert [job.id for job in await kit.store.claim(wants, last_life=True, **asked)] == [suspect]

    async def test_it_goes_before_the_others_of_its_queue_and_takes_one_of_the_slots(self, kit: Kit) -> None:
        (suspect,) = await crashed(kit, priority=500)
        others = [await kit.put(priority=1) for _ in range(3)]
        assert await kit.claimed_ids(3) == [suspect, *others[:2]]

    async def test_among_themselves_they_have_the_order_of_their_queue(self, kit: Kit) -> None:
        limits = {"max_attempts": 10, "max_crashes": 2}
        ids = {priority: await kit.put(priority=priority, **limits) for priority in (5, 1, 9)}
        newest = await kit.put(priority=5, lifo=True, **limits)
        await kit.claim()
        kit.clock.advance("5m")
        await kit.sweep()
        order = [(await kit.claimed_ids())[0] for _ in range(4)]
        assert order == [ids[1], newest, ids[5], ids[9]]

    async def test_the_first_wanted_queue_that_has_one_gives_it(self, kit: Kit) -> None:
        (b,) = await crashed(kit, queue="b")
        (c,) = await crashed(kit, queue="c")
        plain = [await kit.put(queue=queue) for queue in ("a", "b", "c")]
        wants = [Want(queue, 2) for queue in ("a", "b", "c")]
        claimed = await kit.store.claim(wants, kinds=["work"], worker="w", lease=LEASE, now=kit.clock())
        assert [job.id for job in claimed] == [plain[0], b, plain[1], plain[2]]
        claimed = await kit.store.claim(wants, kinds=["work"], worker="w", lease=LEASE, now=kit.clock())
        assert [job.id for job in claimed] == [c]

    async def test_no_slots_and_a_paused_queue_and_other_kinds_count_for_it_too(self, kit: Kit) -> None:
        (suspect,) = await crashed(kit)
        assert await kit.claim(0) == []
        assert await kit.claim(kind="other") == []
        assert await kit.claimed_ids() == [suspect]

    @pytest.mark.parametrize(
        ("limits", "handed_out"),
        [
            ({"max_crashes": 3, "max_attempts": 10}, 2),
            ({"max_crashes": 2, "max_attempts": 10}, 1),
            ({"max_crashes": 9, "max_attempts": 2}, 1),
            ({"max_crashes": 9, "max_attempts": 3}, 2),
        ],
    )
    async def test_it_is_the_last_life_when_another_crash_makes_a_dead_letter(
        self, kit: Kit, limits: dict[str, int], handed_out: int
    ) -> None:
        ids = await crashed(kit, 1, count=2, **limits)
        claimed = await kit.claim()
        assert [job.id for job in claimed] == ids[:handed_out]
        assert all(job.last_life is (handed_out == 1) for job in claimed)
        kit.clock.advance("5m")
        assert len((await kit.sweep()).discarded) == handed_out % 2

    async def test_a_job_that_never_crashed_is_no_suspect(self, kit: Kit) -> None:
        ids = [await kit.put(max_crashes=1, max_attempts=1) for _ in range(3)]
        claimed = await kit.claim()
        assert [job.id for job in claimed] == ids
        assert not any(job.last_life for job in claimed)

    @pytest.mark.parametrize(
        "outcome", [Released(), Snoozed(0), RetryLater(0, BOOM)], ids=["release", "snooze", "retry"]
    )
    async def test_it_stays_one_until_it_has_ended(self, kit: Kit, outcome: Any) -> None:
        ids = await crashed(kit, count=2)
        (claimed,) = await kit.claim()
        await kit.settle(claimed.lease, outcome)
        await kit.sweep()
        both = [*await kit.claimed_ids(), *await kit.claimed_ids()]
        assert sorted(both) == sorted(ids)

    async def test_a_retry_by_hand_gives_all_lives_back(self, kit: Kit) -> None:
        ids = await crashed(kit, count=2)
        while claimed := await kit.claim():
            await kit.settle(claimed[0].lease, Complete("1"))
        await kit.alter(Action.RETRY, *ids)
        assert await kit.claimed_ids() == ids

    async def test_it_can_be_cancelled_deleted_and_counted_like_any_other(self, kit: Kit) -> None:
        ids = await crashed(kit, count=3)
        (stats,) = await kit.store.queues()
        assert stats.counts[JobState.AVAILABLE] == 3
        assert stats.oldest_available is not None
        await kit.alter(Action.CANCEL, ids[0])
        await kit.alter(Action.DELETE, ids[1])
        assert await kit.claimed_ids() == ids[2:]
        assert await kit.claimed_ids() == []
