"""Promises of `put_limits`, `limits` and `gates`: rules that change while jobs run and wait."""

from __future__ import annotations

import pytest

from tidewheel._model.limit import GateRow, LimitRow, Rule
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.worker import Wakeup
from tidewheel.testing.conformance.kit import Kit, Suite, flow
from tidewheel.testing.conformance.wakeups import heard

DONE = Complete("1")
API = flow("api")


class TestGatesLimits(Suite):
    async def test_declared_and_operators_rules_stand_side_by_side(self, kit: Kit) -> None:
        declared = LimitRow(name="api", declared=Rule(slots=5))
        assert await kit.store.put_limits([declared], declared=True, now=kit.clock()) == [declared]
        said = LimitRow(name="api", declared=Rule(slots=99), operator=Rule(slots=1, paused=False))
        both = LimitRow(name="api", declared=Rule(slots=5), operator=Rule(slots=1, paused=False))
        assert await kit.store.put_limits([said], declared=False, now=kit.clock()) == [both]
        assert await kit.store.limits() == [both]
        again = LimitRow(name="api", declared=Rule(slots=7), operator=None)
        (row,) = await kit.store.put_limits([again], declared=True, now=kit.clock())
        assert row == LimitRow(name="api", declared=Rule(slots=7), operator=both.operator)

    async def test_every_part_of_a_rule_is_kept(self, kit: Kit) -> None:
        rules = [
            Rule(slots=1),
            Rule(count=2, per=3),
            Rule(count=4, per=5, algorithm="sliding"),
            Rule(slots=9, count=4, per=10**13, algorithm="bucket", burst=6, paused=False),
            Rule(count=4, per=5, algorithm="fixed", paused=True),
            Rule(),
        ]
        rows = [LimitRow(name=f"limit {number}", declared=rule) for number, rule in enumerate(rules)]
        assert await kit.store.put_limits(rows, declared=True, now=kit.clock()) == rows
        assert await kit.store.limits() == rows

    async def test_limits_come_by_name_and_answers_in_the_order_of_the_questions(self, kit: Kit) -> None:
        rows = [LimitRow(name=name, declared=Rule(slots=1)) for name in ("b", "ä", "B", "a.b", "a")]
        assert await kit.store.put_limits(rows, declared=True, now=kit.clock()) == rows
        assert [row.name for row in await kit.store.limits()] == ["B", "a", "a.b", "b", "ä"]
        assert await kit.store.put_limits([], declared=True, now=kit.clock()) == []

    async def test_a_row_that_says_nothing_is_removed(self, kit: Kit) -> None:
        await kit.limit("api", slots=1)
        await kit.overrule("api", slots=2)
        empty = LimitRow(name="api")
        (left,) = await kit.store.put_limits([empty], declared=True, now=kit.clock())
        assert left == LimitRow(name="api", operator=Rule(slots=2))
        assert await kit.store.put_limits([empty], declared=False, now=kit.clock()) == [empty]
        assert await kit.store.limits() == []
        assert await kit.store.put_limits([empty], declared=False, now=kit.clock()) == [empty]

    # slots, while jobs run and wait

    async def test_more_slots_let_more_in_with_the_next_sweep(self, kit: Kit) -> None:
        await kit.limit("api", slots=1)
        ids = [await kit.put(flow=API) for _ in range(5)]
        assert await kit.claimed_ids() == ids[:1]
        await kit.limit("api", slots=3)
        report = await kit.sweep()
        assert (report.opened, report.more) == (2, False)
        assert await kit.claimed_ids() == ids[1:3]

    async def test_a_change_is_due_at_once_and_hinted(self, kit: Kit) -> None:
        await kit.limit("api", slots=0)
        await kit.put(flow=API)
        assert await kit.claim() == []
        for kind in (Wakeup.DUE, Wakeup.CONTROL):
            async with kit.store.wakeups(frozenset({kind})) as hints:
                await kit.overrule("api", slots=1)
                assert await heard(hints, kind) == {kind}
                await kit.overrule("api")
        await kit.overrule("api", slots=1)
        assert (await kit.sweep()).opened == 1

    async def test_fewer_slots_stop_nobody_who_runs(self, kit: Kit) -> None:
        await kit.limit("api", slots=3)
        for _ in range(3):
            await kit.put(flow=API, max_attempts=5)
        running = await kit.claim()
        last = await kit.put(flow=API)
        await kit.limit("api", slots=2)
        assert await kit.claim() == []
        gate = await kit.gate("api")
        assert (gate.used, gate.room) == (3, 0)
        await kit.settle(running[0].lease, DONE)
        assert await kit.states(last) == ["parked"]
        await kit.settle(running[1].lease, DONE)
        assert await kit.claimed_ids() == [last]

    async def test_the_operator_wins_over_the_code(self, kit: Kit) -> None:
        await kit.limit("api", slots=5)
        await kit.overrule("api", slots=1)
        await kit.limit("api", slots=4)
        ids = [await kit.put(flow=API) for _ in range(5)]
        assert await kit.claimed_ids() == ids[:1]
        assert (await kit.gate("api")).rule == Rule(slots=1)
        await kit.overrule("api")
        assert (await kit.sweep()).opened == 3
        assert await kit.claimed_ids() == ids[1:4]

    async def test_an_operators_word_alone_opens_nothing(self, kit: Kit) -> None:
        await kit.overrule("api", slots=5)
        await kit.put(flow=API)
        assert await kit.claim() == []
        assert (await kit.gate("api")).rule is None

    async def test_a_declaration_that_changes_nothing_opens_nothing(self, kit: Kit) -> None:
        """Every worker declares when it starts."""
        await kit.limit("api", slots=1)
        await kit.put(flow=API)
        await kit.put(flow=API)
        await kit.claim()
        await kit.limit("api", slots=1)
        report = await kit.sweep()
        assert report.opened == 0
        assert report.next_due_at != kit.clock()

    # one key of a limit

    async def test_a_key_may_have_its_own_rule(self, kit: Kit) -> None:
        await kit.limit("tenant", slots=1)
        await kit.overrule("tenant:big", slots=3)
        big = [await kit.put(flow=flow("tenant:big")) for _ in range(4)]
        small = [await kit.put(flow=flow("tenant:small")) for _ in range(2)]
        assert await kit.claimed_ids() == [*big[:3], small[0]]
        assert (await kit.gate("tenant:big")).rule == Rule(slots=3)
        assert (await kit.gate("tenant:small")).rule == Rule(slots=1)
        await kit.overrule("tenant:big", slots=4)
        await kit.overrule("tenant:small", slots=2)
        assert (await kit.sweep()).opened == 2
        assert await kit.claimed_ids() == [big[3], small[1]]

    async def test_the_word_for_a_key_wins_over_that_for_the_limit(self, kit: Kit) -> None:
        await kit.limit("tenant", slots=1)
        await kit.overrule("tenant", slots=2)
        await kit.overrule("tenant:big", slots=3)
        for key in ("big", "small"):
            for _ in range(5):
                await kit.put(flow=flow(f"tenant:{key}"))
        await kit.claim()
        assert ((await kit.gate("tenant:big")).used, (await kit.gate("tenant:small")).used) == (3, 2)

    async def test_a_change_of_one_key_leaves_the_others(self, kit: Kit) -> None:
        await kit.limit("tenant", slots=0)
        ids = {key: await kit.put(flow=flow(f"tenant:{key}")) for key in ("x", "y")}
        assert await kit.claim() == []
        await kit.overrule("tenant:x", slots=1)
        assert (await kit.sweep()).opened == 1
        assert await kit.states(ids["x"], ids["y"]) == ["available", "parked"]

    async def test_a_change_of_the_limit_is_for_all_its_keys_and_no_other_limit(self, kit: Kit) -> None:
        for name in ("tenant", "tenant2", "tenan"):
            await kit.limit(name, slots=0)
        passes = ("tenant:x", "tenant:y", "tenant", "tenant2:x", "tenan:x")
        ids = [await kit.put(flow=flow(one)) for one in passes]
        assert await kit.claim() == []
        for name in ("tenant2", "tenan"):
            await kit.overrule(name, paused=True)
        await kit.limit("tenant", slots=1)
        assert (await kit.sweep()).opened == 3
        assert await kit.states(*ids) == ["available"] * 3 + ["parked"] * 2

    async def test_a_change_of_the_limit_is_for_a_key_too_of_which_something_is_said(self, kit: Kit) -> None:
        await kit.limit("tenant", slots=1)
        await kit.overrule("tenant:x", paused=False)
        ids = [await kit.put(flow=flow("tenant:x")) for _ in range(2)]
        assert await kit.claimed_ids() == ids[:1]
        await kit.limit("tenant", slots=2)
        assert (await kit.sweep()).opened == 1
        assert await kit.claimed_ids() == ids[1:]

    # pause

    @pytest.mark.parametrize("name", ["tenant", "tenant:x"])
    async def test_pause_and_resume(self, kit: Kit, name: str) -> None:
        await kit.limit("tenant", slots=2)
        await kit.overrule(name, paused=True)
        ids = [await kit.put(flow=flow("tenant:x")) for _ in range(3)]
        other = await kit.put(flow=flow("tenant:y"))
        assert await kit.claimed_ids() == ([other] if name == "tenant:x" else [])
        kit.clock.advance("1h")
        assert (await kit.sweep()).opened == 0, "a pause has no end"
        await kit.overrule(name, paused=False)
        await kit.sweep()
        assert await kit.claimed_ids() == (ids[:2] if name == "tenant:x" else [*ids[:2], other])

    async def test_a_pause_lets_running_jobs_end_and_nobody_in(self, kit: Kit) -> None:
        await kit.limit("api", slots=1)
        held = await kit.run(flow=API)
        waits = await kit.put(flow=API)
        await kit.claim()
        await kit.overrule("api", paused=True)
        await kit.settle(held.lease, DONE)
        assert await kit.states(held.id, waits) == ["completed", "parked"]
        await kit.overrule("api")
        await kit.sweep()
        assert await kit.claimed_ids() == [waits]

    async def test_who_was_let_in_before_the_pause_is_stopped_by_the_claim(self, kit: Kit) -> None:
        await kit.limit("api", slots=1)
        held = await kit.run(flow=API)
        waits = await kit.put(flow=API)
        await kit.claim()
        await kit.settle(held.lease, DONE)
        assert await kit.states(waits) == ["available"]
        await kit.overrule("api", paused=True)
        assert await kit.claim() == []
        assert await kit.states(waits) == ["parked"]

    # upkeep

    async def test_no_more_gates_are_opened_than_the_limit_of_the_sweep(self, kit: Kit) -> None:
        await kit.limit("tenant", slots=0)
        for number in range(3):
            await kit.put(flow=flow(f"tenant:{number}"))
        await kit.claim()
        await kit.limit("tenant", slots=1)
        report = await kit.sweep(limit=2)
        assert (report.opened, report.more) == (2, True)
        assert report.next_due_at is not None
        assert report.next_due_at <= kit.clock()
        report = await kit.sweep(limit=2)
        assert (report.opened, report.more, report.next_due_at) == (1, False, None)

    async def test_a_repeat_of_the_sweep_finds_nothing_more(self, kit: Kit) -> None:
        await kit.limit("api", slots=0)
        for _ in range(3):
            await kit.put(flow=API)
        await kit.claim()
        await kit.limit("api", slots=2)
        assert (await kit.sweep()).opened == 2
        before = await kit.everything()
        again = await kit.sweep()
        assert (again.opened, again.more, again.next_due_at) == (0, False, None)
        assert await kit.everything() == before

    # gates

    async def test_gates_of_limits_and_by_key_in_the_order_of_their_keys(self, kit: Kit) -> None:
        for name in ("a", "b", "c"):
            await kit.limit(name, slots=2)
        names = ["a:y", "a:x", "b", "c:z", "c"]
        for name in names:
            await kit.put(flow=flow(name))
        await kit.claim()
        assert await self.keys(kit) == sorted(names)
        assert await self.keys(kit, limits=["a"]) == ["a:x", "a:y"]
        assert await self.keys(kit, keys=["c", "nobody", "b"]) == ["b", "c"]
        assert await self.keys(kit, limits=["c"], keys=["a:x"]) == ["a:x", "c", "c:z"]
        assert await self.keys(kit, limit=2) == ["a:x", "a:y"]

    async def keys(self, kit: Kit, limit: int = 100, **which: list[str]) -> list[str]:
        rows = await kit.store.gates(limit=limit, now=kit.clock(), **which)
        return [row.key for row in rows]

    async def test_a_gate_shows_all(self, kit: Kit) -> None:
        await kit.limit("tenant", slots=3)
        for _ in range(2):
            await kit.put(flow=flow("tenant:x"))
        await kit.claim()
        assert await kit.gate("tenant:x") == GateRow(
            key="tenant:x", limit="tenant", rule=Rule(slots=3), used=2, waiting=False, room=1, opens_at=None
        )

    @pytest.mark.parametrize("limit", [0, 1001, -1])
    async def test_a_limit_out_of_range_is_refused(self, kit: Kit, limit: int) -> None:
        with pytest.raises(ValueError, match=str(limit)):
            await kit.store.gates(limit=limit, now=kit.clock())

    async def test_gates_of_all_kinds_of_keys(self, kit: Kit) -> None:
        """What a value may hold, no store stumbles over."""
        await kit.limit("t", slots=1)
        values = ["a b", "a:b", "ünï\U0001f40b", "%_*[", "'\"\\", "{x}", "x" * 200]
        for value in values:
            await kit.put(flow=flow(f"t:{value}"))
            await kit.put(flow=flow(f"t:{value}"))
        claimed = await kit.claim()
        assert len(claimed) == len(values)
        await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())
        assert len(await kit.claim()) == len(values)
        assert {row.key for row in await kit.store.gates(now=kit.clock())} == {f"t:{value}" for value in values}
