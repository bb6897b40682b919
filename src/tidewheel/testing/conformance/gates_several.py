"""Promises about jobs with several limits, limits with several lines, and the order in which a limit lets in."""

from __future__ import annotations

from tidewheel._model.outcome import Complete
from tidewheel._model.worker import Want
from tidewheel.testing.conformance.gates_slots import full
from tidewheel.testing.conformance.kit import LEASE, Kit, Suite, flow

DONE = Complete("1")
API = flow("api")


class TestGatesSeveral(Suite):
    async def test_all_gates_are_taken_or_none(self, kit: Kit) -> None:
        await kit.limit("a", slots=5)
        await kit.limit("b", slots=1)
        first, second = [await kit.put(flow=flow("a", "b")) for _ in range(2)]
        assert await kit.claimed_ids() == [first]
        assert (await kit.row(second)).parked_by == "b"
        assert ((await kit.gate("a")).used, (await kit.gate("b")).used) == (1, 1)

    async def test_it_is_parked_under_the_first_gate_that_refuses(self, kit: Kit) -> None:
        await kit.limit("a", slots=1)
        await kit.limit("b", slots=1)
        await kit.put(flow=flow("a", "b"))
        ids = [await kit.put(flow=flow("a", "b")), await kit.put(flow=flow("b", "a"))]
        await kit.claim()
        assert [(await kit.row(job_id)).parked_by for job_id in ids] == ["a", "b"]

    async def test_who_is_parked_again_by_another_gate_passes_the_baton(self, kit: Kit) -> None:
        """Let in by `a`, stopped by `b`: the room of `a` is for the next in its line."""
        await kit.limit("a", slots=1)
        await kit.limit("b", slots=1)
        holds_a, holds_b = await kit.put(flow=flow("a")), await kit.put(flow=flow("b"))
        lease = {job.id: job.lease for job in await kit.claim()}
        both, only_a = await kit.put(flow=flow("a", "b")), await kit.put(flow=flow("a"))
        assert await kit.claim() == []
        await kit.settle(lease[holds_a], DONE)
        assert await kit.states(both, only_a) == ["available", "parked"]
        assert await kit.claim() == []
        assert (await kit.row(both)).parked_by == "b"
        assert await kit.claimed_ids() == [only_a]
        await kit.settle(lease[holds_b], DONE)
        assert await kit.claim() == [], "`a` is held by the other one now"
        assert (await kit.row(both)).parked_by == "a"

    async def test_the_baton_is_passed_also_by_who_does_not_come_as_far_as_its_gate(self, kit: Kit) -> None:
        await kit.limit("a", slots=1)
        await kit.limit("b", slots=1)
        held = await kit.run(flow=flow("a"))
        both, only_a = await kit.put(flow=flow("b", "a")), await kit.put(flow=flow("a"))
        assert await kit.claim() == []
        assert [(await kit.row(job_id)).parked_by for job_id in (both, only_a)] == ["a", "a"]
        await kit.run(flow=flow("b"))
        await kit.settle(held.lease, DONE)
        assert await kit.states(both, only_a) == ["available", "parked"]
        assert await kit.claim() == []
        assert (await kit.row(both)).parked_by == "b"
        assert await kit.claimed_ids() == [only_a]

    async def test_keys_are_apart(self, kit: Kit) -> None:
        await kit.limit("tenant", slots=1)
        ids = {key: [await kit.put(flow=flow(f"tenant:{key}")) for _ in range(2)] for key in ("x", "ünï:y")}
        assert await kit.claimed_ids() == [pair[0] for pair in ids.values()]
        assert [gate.key for gate in await kit.store.gates(limits=["tenant"], now=kit.clock())] == [
            "tenant:x",
            "tenant:ünï:y",
        ]

    async def test_queues_and_kinds_share_a_limit(self, kit: Kit) -> None:
        await kit.limit("api", slots=1)
        (held,) = [await kit.run(queue="a", kind="x", flow=API)]
        ids = [await kit.put(queue=queue, kind=kind, flow=API) for queue, kind in (("a", "x"), ("b", "x"), ("b", "y"))]
        for queue in "ab":
            for kind in "xy":
                assert await kit.claim(queue=queue, kind=kind) == []
        await kit.settle(held.lease, DONE)
        assert await kit.states(*ids) == ["available"] * 3, "one of each queue and kind: nobody knows who claims first"
        assert [job.id for job in await kit.claim(queue="b", kind="y")] == ids[2:]
        assert await kit.claim(queue="a", kind="x") == []

    async def test_a_kind_that_nobody_claims_blocks_no_other(self, kit: Kit) -> None:
        (held,), (waits,) = await full(kit)
        strange = await kit.put(kind="strange", flow=API, priority=1)
        assert await kit.claim(kind="strange") == []
        await kit.settle(held.lease, DONE)
        assert await kit.states(strange, waits) == ["available", "available"]
        assert await kit.claimed_ids() == [waits]

    async def test_several_wants_of_one_claim_share_the_slots(self, kit: Kit) -> None:
        await kit.limit("api", slots=3)
        ids = {queue: [await kit.put(queue=queue, flow=API) for _ in range(2)] for queue in "ab"}
        wants = [Want("b", 5), Want("a", 5)]
        claimed = await kit.store.claim(wants, kinds=["work"], worker="w", lease=LEASE, now=kit.clock())
        assert [job.id for job in claimed] == [*ids["b"], ids["a"][0]]
        assert await kit.states(ids["a"][1]) == ["parked"]

    # the order of the release

    async def test_let_in_by_priority_then_time_then_enqueue_and_lifo_first(self, kit: Kit) -> None:
        (held,), _ = await full(kit, waiting=0)
        now = kit.clock()
        late = await kit.put(flow=API, priority=500)
        second = await kit.put(flow=API, run_at=now - 5)
        first = await kit.put(flow=API, run_at=now - 9)
        third = await kit.put(flow=API, run_at=now - 5)
        lifo = [await kit.put(flow=API, lifo=True) for _ in range(2)]
        urgent = await kit.put(flow=API, priority=1)
        assert await kit.claim() == []
        order = []
        for _ in range(7):
            await kit.settle(held.lease, DONE)
            (held,) = await kit.claim()
            order.append(held.id)
        assert order == [urgent, lifo[1], lifo[0], first, second, third, late]

    async def test_who_is_let_in_stands_where_it_stood(self, kit: Kit) -> None:
        (held,), (waits,) = await full(kit)
        before = await kit.row(waits)
        kit.clock.advance("5s")
        plain = await kit.put()
        await kit.settle(held.lease, DONE)
        row = await kit.row(waits)
        assert (row.run_at, row.priority, row.epoch, row.attempt) == (before.run_at, before.priority, 0, 0)
        assert await kit.claimed_ids() == [waits, plain]
        assert (await kit.row(waits)).parked_by is None

    async def test_a_suspect_passes_gates_like_the_others(self, kit: Kit) -> None:
        await kit.limit("api", slots=1)
        suspect = await kit.run(flow=API, max_attempts=5, max_crashes=2)
        kit.clock.advance("5m")
        await kit.sweep()
        held = await kit.run(kind="other", flow=API)
        plain = await kit.put()
        assert await kit.claimed_ids() == [plain]
        assert await kit.states(suspect.id) == ["parked"]
        await kit.settle(held.lease, DONE)
        (claimed,) = await kit.claim()
        assert (claimed.id, claimed.last_life) == (suspect.id, True)

    async def test_a_suspect_that_is_parked_leaves_its_turn_to_the_next(self, kit: Kit) -> None:
        await kit.limit("api", slots=2)
        suspects = [await kit.put(max_attempts=5, max_crashes=2, flow=text) for text in (API, API, None)]
        assert len(await kit.claim()) == 3
        kit.clock.advance("5m")
        await kit.sweep()
        await kit.overrule("api", paused=True)
        assert await kit.claimed_ids() == suspects[2:]
        assert await kit.states(*suspects[:2]) == ["parked", "parked"]
