"""Worlds in which a job does not run for one reason, or runs soon: one or more for each word that `why` has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from tests.conformance._why_kit import World

from tidewheel._model.after import After
from tidewheel._model.flow import Pass
from tidewheel._model.limit import PAUSED
from tidewheel._model.outcome import RetryLater
from tidewheel._model.query import Action
from tidewheel._model.queue import QueueSettings
from tidewheel.testing.conformance.kit import BOOM, HOUR, MINUTE, flow

Given: TypeAlias = tuple[str, tuple[str, ...]]
"""The job, and words that the answer's text must have."""
Make: TypeAlias = Callable[[World], Awaitable[Given]]


async def due(world: World) -> Given:
    await world.hire()
    return await world.kit.put(delay=HOUR), ("in 1h (2026-01-15 13:00:00 UTC)",)


async def due_late(world: World) -> Given:
    job_id, _ = await due(world)
    world.kit.clock.advance("1h")
    await world.beat()
    return job_id, ("was due now", "next sweep")


async def retry(world: World) -> Given:
    await world.hire()
    claimed = await world.kit.run(max_attempts=3)
    await world.kit.settle(claimed.lease, RetryLater(HOUR, BOOM))
    return claimed.id, ("Attempt 1 of 3 failed with ValueError: boom", "in 1h (")


async def rescue_due(world: World) -> Given:
    claimed = await world.kit.run(worker="lost", max_attempts=2)
    world.kit.clock.advance("2m")
    await world.hire()
    return claimed.id, ("Its worker lost", "1m ago (", "it runs again")


async def ended(world: World) -> Given:
    await world.hire()
    claimed = await world.kit.run(max_attempts=3)
    await world.kit.settle(claimed.lease, RetryLater(HOUR, BOOM))
    await world.kit.alter(Action.CANCEL, claimed.id)
    return claimed.id, ("was cancelled now",)


async def children(world: World) -> Given:
    await world.hire()
    ids = [await world.kit.put() for _ in range(3)]
    await world.turn()
    await world.end(ids[1])
    job_id = await world.kit.put(after=tuple(After(one) for one in ids))
    return job_id, (f"waits for 2 of its 3 children: {ids[0]} (running), {ids[2]} (running).", f"why {ids[0]}")


async def expires_later(world: World) -> Given:
    job_id, _ = await limit_full(world)
    mine = await world.kit.put(flow=flow("tenant:acme"), expires_in=HOUR)
    assert mine != job_id
    return mine, ("2 of 2 slots", "It expires in 1h (2026-01-15 13:00:00 UTC) if it has not started.")


async def order(world: World) -> Given:
    """The first waits for its next attempt, and nobody passes it."""
    await world.hire()
    await world.kit.limit("account", slots=1)
    text = flow(Pass("account", "a", holds=False, order="block"))
    ids = [await world.kit.put(flow=text, max_attempts=2) for _ in range(2)]
    (first,) = await world.kit.claim()
    await world.kit.settle(first.lease, RetryLater(HOUR, BOOM))
    return ids[1], ("limit 'account' (key 'a') start one by one", f"{ids[0]} (retryable), until it has ended for good")


async def order_of_attempts(world: World) -> Given:
    await world.hire()
    await world.kit.limit("account", slots=1)
    text = flow(Pass("account", "a", holds=False, order="skip"))
    first = await world.kit.put(flow=text)
    await world.turn()
    return await world.kit.put(flow=text), (f"{first} (running), until the end of its attempt",)


async def its_own_turn(world: World) -> Given:
    """It has kept its place while it waited for its next attempt."""
    job_id, _ = await order(world)
    (first,) = (await world.why(job_id)).holders
    world.kit.clock.advance("1h")
    await world.beat()
    await world.kit.sweep()
    return first, ("first in its line",)


async def limit_full(world: World) -> Given:
    await world.hire()
    await world.kit.limit("tenant", slots=2)
    ids = [await world.kit.put(flow=flow("tenant:acme")) for _ in range(3)]
    await world.kit.put(flow=flow("tenant:other"))
    await world.turn()
    return ids[2], ("'tenant' (key 'acme')", "2 of 2 slots", ids[0], ids[1])


async def limit_full_unseen(world: World) -> Given:
    """No claim has judged it yet."""
    job_id, _ = await limit_full(world)
    fresh = await world.kit.put(flow=flow("free", "tenant:acme"), priority=1)
    await world.kit.limit("free", slots=9)
    assert job_id != fresh
    return fresh, ("2 of 2 slots",)


async def limit_rate(world: World) -> Given:
    await world.hire()
    await world.kit.limit("vendor", count=2, per=MINUTE)
    ids = [await world.kit.put(flow=flow(Pass("vendor", holds=False))) for _ in range(3)]
    await world.turn()
    return ids[2], ("of 2 per 1m 0 are left", "in 1m (2026-01-15 12:01:00 UTC)")


async def limit_rate_fixed(world: World) -> Given:
    """Its cost is more than what is left."""
    await world.hire()
    await world.kit.limit("vendor", count=5, per=MINUTE, algorithm="fixed")
    world.kit.clock.advance("20s")
    ids = [await world.kit.put(flow=flow(Pass("vendor", "", 3, holds=False))) for _ in range(2)]
    await world.turn()
    return ids[1], ("of 5 per 1m 2 are left, and this job needs 3", "in 40s (")


async def limit_held(world: World) -> Given:
    await world.hire()
    await world.kit.limit("vendor", count=100, per=HOUR)
    ids = [await world.kit.put(flow=flow(Pass("vendor", holds=False)), max_attempts=2) for _ in range(2)]
    (first,) = await world.kit.claim(1)
    await world.kit.settle(first.lease, RetryLater(MINUTE, BOOM, hold=("vendor",)))
    await world.turn()
    return ids[1], ("held shut", "in 1m (")


async def breaker(world: World) -> Given:
    await world.hire()
    await world.kit.limit("vendor", failures=1, within=MINUTE, open_for=MINUTE)
    ids = [await world.kit.put(flow=flow(Pass("vendor", trips=True)), max_attempts=2) for _ in range(2)]
    (first,) = await world.kit.claim(1)
    await world.kit.settle(first.lease, RetryLater(HOUR, BOOM))
    await world.turn()
    return ids[1], ("is shut, after failures", "in 1m (", "then 1 at a time may try")


async def breaker_on_trial(world: World) -> Given:
    job_id, _ = await breaker(world)
    await world.kit.put(flow=flow(Pass("vendor", trips=True)))
    world.kit.clock.advance("1m")
    await world.kit.sweep()
    (first,) = await world.kit.claim(1)
    await world.turn()
    (last,) = [one for one in await world.kit.listed() if one not in (first.id, job_id)][:1]
    return last, ("was shut after failures, and 1 at a time may try", first.id)


async def limit_paused(world: World) -> Given:
    await world.hire()
    await world.kit.limit("vendor", slots=5)
    await world.kit.overrule("vendor", paused=True)
    job_id = await world.kit.put(flow=flow("vendor:x"))
    await world.turn()
    return job_id, ("limit 'vendor' is paused", "tidewheel limits resume vendor")


async def limit_paused_key(world: World) -> Given:
    await world.hire()
    await world.kit.limit("vendor", slots=5)
    await world.kit.overrule("vendor:x", paused=True)
    return await world.kit.put(flow=flow("vendor:x")), ("(key 'x') is paused", "resume vendor --key 'x'")


async def limit_undeclared(world: World) -> Given:
    await world.hire()
    job_id = await world.kit.put(flow=flow("vendor:x"))
    await world.turn()
    return job_id, ("'vendor' is not declared",)


async def limit_undeclared_unseen(world: World) -> Given:
    await world.hire()
    return await world.kit.put(flow=flow("vendor")), ("'vendor' is not declared",)


async def let_in(world: World) -> Given:
    """Let into the line, and no claim has come yet."""
    job_id, _ = await limit_full(world)
    answer = await world.why(job_id)
    await world.end(*answer.holders)
    assert (await world.kit.row(job_id)).state == "available"
    return job_id, ("(tenant:acme) lets it in",)


async def let_in_parked(world: World) -> Given:
    """The window is open, and no sweep has come yet."""
    job_id, _ = await limit_rate(world)
    world.kit.clock.advance("1m")
    await world.beat()
    return job_id, ("(vendor) lets it in", "next sweep")


async def queue_paused(world: World) -> Given:
    await world.hire()
    await world.kit.store.put_queues([QueueSettings(name="default", paused=True)])
    return await world.kit.put(), ("'default' is paused", "tidewheel queues resume default")


async def task_paused(world: World) -> Given:
    await world.hire()
    await world.kit.overrule(PAUSED + "work", paused=True)
    return await world.kit.put(), ("'work' is paused", "tidewheel tasks resume work")


async def no_worker(world: World) -> Given:
    return await world.kit.put(), ("No worker lives",)


async def no_worker_any_more(world: World) -> Given:
    await world.hire("old")
    world.crew.clear()
    world.kit.clock.advance("5m")
    return await world.kit.put(), ("No worker lives", "old (process 7 on host), 5m ago (")


async def no_worker_of_the_queue(world: World) -> Given:
    await world.hire("w1", queues=("email", "sms"))
    return await world.kit.put(), ("the queue 'default'", "w1 (process 7 on host) works on email, sms")


async def no_worker_for_the_due(world: World) -> Given:
    job_id = await world.kit.put(delay=MINUTE)
    world.kit.clock.advance("2m")
    return job_id, ("was due 1m ago", "no worker lives")


async def unknown_task(world: World) -> Given:
    await world.hire("w1", kinds=("send", "resize"))
    await world.hire("w2", queues=("other",))
    return await world.kit.put(), ("knows the task 'work'", "w1 (process 7 on host) knows send, resize")


async def last_life(world: World) -> Given:
    await world.hire("w1")
    ids = [await world.kit.put(max_crashes=2, max_attempts=9) for _ in range(2)]
    await world.kit.claim(worker="lost")
    world.kit.clock.advance("2m")
    await world.turn()
    (waits,) = [one for one in ids if not await world.runs(one)]
    (other,) = {*ids} - {waits}
    return waits, ("one at a time", other)


async def behind(world: World) -> Given:
    await world.hire(concurrency=1)
    ids = [await world.kit.put(priority=priority, lifo=lifo) for priority, lifo in ((5, False), (5, False), (5, True))]
    job_id = await world.kit.put(priority=5)
    await world.kit.put(priority=5)
    await world.kit.put(priority=9, lifo=True)
    await world.kit.put(priority=1, kind="unknown")
    first = await world.kit.put(priority=1)
    answer = await world.why(job_id)
    assert answer.holders == (first, ids[2], ids[0], ids[1])
    return job_id, ("behind 4 jobs", "(priority 5)", f"{first}, {ids[2]}, {ids[0]} and 1 more", "0 of 1 slots")


async def behind_one_let_in(world: World) -> Given:
    """Parked, and the room is meant for another."""
    await world.hire(concurrency=2)
    await world.kit.limit("tenant", slots=1)
    ids = [await world.kit.put(flow=flow("tenant")) for _ in range(3)]
    await world.turn()
    await world.end(ids[0])
    assert await world.kit.states(*ids[1:]) == ["available", "parked"]
    return ids[2], ("behind 1 job", ids[1])


async def busy(world: World) -> Given:
    await world.hire(concurrency=2)
    ids = [await world.kit.put() for _ in range(3)]
    await world.turn()
    return ids[2], ("the next free slot: 2 of 2 slots of 1 worker",)


async def next_in_line(world: World) -> Given:
    await world.hire()
    job_id = await world.kit.put()
    await world.kit.put()
    return job_id, ("first in its line", "0 of 10 slots of 1 worker are in use")


WORLDS: Final[dict[Make, str]] = {
    due: "due",
    due_late: "due",
    retry: "retry",
    rescue_due: "rescue_due",
    ended: "ended",
    children: "children",
    expires_later: "limit_full",
    order: "order",
    order_of_attempts: "order",
    its_own_turn: "next",
    limit_full: "limit_full",
    limit_full_unseen: "limit_full",
    limit_rate: "limit_rate",
    limit_rate_fixed: "limit_rate",
    limit_held: "limit_held",
    breaker: "breaker",
    breaker_on_trial: "breaker",
    limit_paused: "limit_paused",
    limit_paused_key: "limit_paused",
    limit_undeclared: "limit_undeclared",
    limit_undeclared_unseen: "limit_undeclared",
    let_in: "let_in",
    let_in_parked: "let_in",
    queue_paused: "queue_paused",
    task_paused: "task_paused",
    no_worker: "no_worker",
    no_worker_any_more: "no_worker",
    no_worker_of_the_queue: "no_worker",
    no_worker_for_the_due: "no_worker",
    unknown_task: "unknown_task",
    last_life: "last_life",
    behind: "behind",
    behind_one_let_in: "behind",
    busy: "busy",
    next_in_line: "next",
}
SOON: Final = (due_late, rescue_due, its_own_turn, let_in, let_in_parked, next_in_line)
"""Where nothing is in the way: the next sweep and claim are all it takes."""
