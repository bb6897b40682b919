"""Promises of `wakeups`. Hints may come for nothing, so the tests ask only that the right ones come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tidewheel._model.job import Claimed
from tidewheel._model.outcome import Settlement
from tidewheel._model.query import Action
from tidewheel._model.queue import QueueSettings
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup
from tidewheel._store.base import Store
from tidewheel.testing.conformance.kit import BOOM, MINUTE, OUTCOMES, Kit, Suite

PATIENCE = 5.0
"""Seconds that a hint may take on a busy machine before a test gives up."""


async def heard(hints: AsyncIterator[frozenset[Wakeup]], kind: Wakeup) -> set[Wakeup]:
    """Listen until `kind` is hinted; gives all that was."""
    kinds: set[Wakeup] = set()
    async with asyncio.timeout(PATIENCE):
        while kind not in kinds:
            kinds |= await anext(hints)
    return kinds


class TestWakeups(Suite):
    async def hints(self, kit: Kit, expected: Wakeup, act: Callable[[], Awaitable[object]]) -> None:
        """What `act` does, hints `expected`, also to a listener that asks for nothing else."""
        async with kit.store.wakeups() as every, kit.store.wakeups(frozenset({expected})) as some:
            await act()
            await heard(every, expected)
            assert await heard(some, expected) == {expected}

    async def test_an_available_job_hints_work(self, kit: Kit) -> None:
        await self.hints(kit, Wakeup.WORK, kit.put)

    async def test_a_scheduled_job_hints_due(self, kit: Kit) -> None:
        await self.hints(kit, Wakeup.DUE, lambda: kit.put(delay=MINUTE))

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("complete", Wakeup.SETTLED),
            ("cancel", Wakeup.SETTLED),
            ("discard", Wakeup.SETTLED),
            ("retry", Wakeup.DUE),
            ("snooze", Wakeup.DUE),
            ("release", Wakeup.WORK),
        ],
    )
    async def test_a_settlement_hints_where_the_job_went(self, kit: Kit, name: str, expected: Wakeup) -> None:
        claimed: Claimed = await kit.run()
        await self.hints(kit, expected, lambda: kit.settle(claimed.lease, OUTCOMES[name]))

    async def test_an_on_dead_job_hints_work(self, kit: Kit) -> None:
        claimed = await kit.run(on_dead="alert")
        await self.hints(kit, Wakeup.WORK, lambda: kit.settle(claimed.lease, OUTCOMES["discard"]))

    async def test_a_promotion_hints_work(self, kit: Kit) -> None:
        await kit.at(JobState.SCHEDULED, wait=MINUTE)
        kit.clock.advance("2m")
        await self.hints(kit, Wakeup.WORK, kit.sweep)

    @pytest.mark.parametrize(("max_attempts", "expected"), [(5, Wakeup.WORK), (1, Wakeup.SETTLED)])
    async def test_a_rescue_hints_where_the_job_went(self, kit: Kit, max_attempts: int, expected: Wakeup) -> None:
        await kit.run(max_attempts=max_attempts)
        kit.clock.advance("2m")
        await self.hints(kit, expected, kit.sweep)

    @pytest.mark.parametrize(
        ("state", "action", "expected"),
        [
            (JobState.SCHEDULED, Action.RUN_NOW, Wakeup.WORK),
            (JobState.DISCARDED, Action.RETRY, Wakeup.WORK),
            (JobState.AVAILABLE, Action.CANCEL, Wakeup.SETTLED),
            (JobState.RUNNING, Action.CANCEL, Wakeup.CONTROL),
        ],
    )
    async def test_an_alter_hints_what_it_did(
        self, kit: Kit, state: JobState, action: Action, expected: Wakeup
    ) -> None:
        row = await kit.at(state)
        await self.hints(kit, expected, lambda: kit.alter(action, row.id))

    async def test_an_alter_by_filter_hints_too(self, kit: Kit) -> None:
        await kit.at(JobState.RUNNING)
        await self.hints(kit, Wakeup.CONTROL, lambda: kit.alter_where(Action.CANCEL, kinds=("work",)))

    async def test_queue_settings_hint_control(self, kit: Kit) -> None:
        await self.hints(kit, Wakeup.CONTROL, lambda: kit.store.put_queues([QueueSettings(name="a", paused=True)]))

    async def test_hints_between_the_start_and_the_first_question_are_merged_not_lost(self, kit: Kit) -> None:
        async with kit.store.wakeups() as hints:
            claimed = await kit.run()
            await kit.put(delay=MINUTE)
            await kit.settle(claimed.lease, OUTCOMES["complete"])
            kinds: set[Wakeup] = set()
            for kind in (Wakeup.WORK, Wakeup.DUE, Wakeup.SETTLED):
                if kind not in kinds:
                    kinds |= await heard(hints, kind)

    async def test_hints_between_two_questions_are_not_lost(self, kit: Kit) -> None:
        async with kit.store.wakeups() as hints:
            await kit.put()
            await heard(hints, Wakeup.WORK)
            await kit.put(delay=MINUTE)
            await heard(hints, Wakeup.DUE)

    async def test_a_waiting_listener_is_woken(self, kit: Kit) -> None:
        async with kit.store.wakeups(frozenset({Wakeup.WORK})) as hints:
            waiting = asyncio.ensure_future(heard(hints, Wakeup.WORK))
            await asyncio.sleep(0)
            await kit.put()
            assert await waiting == {Wakeup.WORK}

    async def test_every_listener_hears(self, kit: Kit) -> None:
        async with kit.store.wakeups() as one, kit.store.wakeups() as two:
            await kit.put()
            await heard(one, Wakeup.WORK)
            await heard(two, Wakeup.WORK)

    async def test_a_listener_that_left_disturbs_nobody(self, kit: Kit) -> None:
        async with kit.store.wakeups() as stays:
            async with kit.store.wakeups():
                pass
            await kit.put()
            await heard(stays, Wakeup.WORK)

    async def test_a_listener_may_be_cancelled_while_it_waits(self, kit: Kit) -> None:
        async with kit.store.wakeups() as hints:
            waiting = asyncio.ensure_future(anext(hints))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await kit.put()
            await heard(hints, Wakeup.WORK)

    async def test_what_a_sibling_does_in_another_thread_is_heard(self, kit: Kit) -> None:
        sibling: Store = kit.store.sibling()
        lease = (await kit.run()).lease

        async def elsewhere() -> None:
            if sibling is not kit.store:
                await sibling.open()
            async with sibling.wakeups():
                await sibling.alter([lease.job_id], Action.CANCEL, now=kit.clock())
                await sibling.settle([Settlement(lease, OUTCOMES["discard"])], now=kit.clock())
            if sibling is not kit.store:
                await sibling.close()

        async with kit.store.wakeups() as hints:
            await asyncio.to_thread(asyncio.run, elsewhere())
            kinds = await heard(hints, Wakeup.CONTROL)
            if Wakeup.SETTLED not in kinds:
                await heard(hints, Wakeup.SETTLED)
            await kit.put()
            await heard(hints, Wakeup.WORK)
        assert (await kit.row(lease.job_id)).error == BOOM
