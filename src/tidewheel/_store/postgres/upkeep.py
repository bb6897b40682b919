"""The sweep as a function of a connection: expire, open gates, promote, rescue, forget workers, prune.

It waits for nobody: rows that others hold are passed over and come next time.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidewheel._model.flow import order_key_of
from tidewheel._model.query import SweepReport
from tidewheel._model.retention import RetentionRule, rule_for
from tidewheel._model.state import JobState
from tidewheel._model.transition import EXPIRED_ERROR, rescue_of
from tidewheel._model.worker import Wakeup
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.ending import End, Row, wake, write_ends
from tidewheel._store.postgres.gates import Held, calm, free, open_due
from tidewheel._store.postgres.graphs import tell, tell_untold
from tidewheel._store.postgres.tidy import forget, forget_keys, recount


async def sweep(
    call: Call,
    *,
    limit: int,
    retention: Sequence[RetentionRule],
    gone_after: int,
    now: int | None,
) -> SweepReport:
    """See `UpkeepStore.sweep`."""
    row = await call.connection.fetchrow(call.sql("sweep_look"), now, gone_after)
    assert row is not None  # noqa: S101 -- it has no condition
    moment, due, over, silent, kept, shut, late, following = row
    if not (due or over or silent or kept or shut or late or retention):
        return SweepReport(now=moment, next_due_at=following)
    expired = await _expire(call, limit, moment) if late else 0
    shut = shut or bool(expired)  # what expired may have been let in by a gate, which is due now
    if retention:
        await tell_untold(call, moment)
    # Transactions of their own, as the rescue locks gates, too: nobody takes some while he holds others.
    opened, looked = await open_due(call, limit, moment) if shut else (0, 0)
    async with call.connection.transaction():
        # Each part looks anew: what a rescue ends may be pruned at once.
        if over:
            await calm(call, moment)
        promoted = await call.connection.fetchval(call.sql("sweep_promote"), moment, limit) if due else 0
        if promoted:
            call.hints.add(Wakeup.WORK)
        ended, freed = await _rescue(call, limit, moment) if over else ([], 0)
        states = [end.ending.state for end in ended]
        found = await call.connection.fetch(call.sql("sweep_workers"), moment - gone_after, limit) if silent else []
        pruned = await _prune(call, retention, limit, moment)
    if retention:
        freed += await recount(call, moment)
        await forget(call, moment)
        await forget_keys(call, moment)
    row = await call.connection.fetchrow(call.sql("sweep_look"), moment, gone_after)
    assert row is not None  # noqa: S101 -- as above
    return SweepReport(
        promoted=promoted,
        rescued=states.count(JobState.AVAILABLE),
        discarded=tuple(end.id for end in ended if end.ending.state is JobState.DISCARDED),
        cancelled=states.count(JobState.CANCELLED),
        workers_gone=tuple(id for _, id in sorted((seen_at, id) for seen_at, id in found)),
        pruned=pruned,
        opened=opened + freed,
        expired=expired,
        now=moment,
        more=max(promoted, len(ended), len(found), pruned, looked, expired) >= limit,
        next_due_at=row[-1],
    )


async def _expire(call: Call, limit: int, now: int) -> int:
    """Cancel jobs whose time is over; gives how many."""
    async with call.connection.transaction():
        rows = [Row.of(record) for record in await call.connection.fetch(call.sql("sweep_expire"), now, limit)]
        gates = [row.let_in_by for row in rows]
        turns = {row.seq: key for row in rows if (key := order_key_of(row.flow))}
        await write_ends(call, [row.end(JobState.CANCELLED, EXPIRED_ERROR) for row in rows], now=now)
        await tell(call, [row.id for row in rows if row.awaited], now)
        await wake(call, (gate for gate in gates if gate is not None), now, turns)
    return len(rows)


async def _rescue(call: Call, limit: int, now: int) -> tuple[list[End], int]:
    """Gives the ends, and how many jobs came into the line by what is free again."""
    ends, held, told = [], [], []
    for row in await call.connection.fetch(call.sql("sweep_expired"), now, limit):
        seq, id, _, attempt, max_attempts, crashes, max_crashes, queue, run_at, cancel, keep_failed, *rest = row
        on_dead, flow, awaited = rest
        ending = rescue_of(
            attempt=attempt,
            max_attempts=max_attempts,
            crashes=crashes,
            max_crashes=max_crashes,
            run_at=run_at,
            cancel_requested=cancel,
        )
        ends.append(End(ending, id, seq, queue, keep_failed, on_dead))
        held.append(Held(flow, seq, ending.state.final, "failed"))
        if awaited and ending.state.final:
            told.append(id)
    await write_ends(call, ends, rescue=True, now=now)
    await tell(call, told, now)
    return ends, await free(call, held, now)


class _Group(msgspec.Struct, frozen=True, gc=False):
    """The finished jobs that a rule concerns: completed ones by themselves, the others together."""

    queue: str
    kind: str
    completed: bool
    number: int | None
    ended_before: int | None


async def _prune(call: Call, rules: Sequence[RetentionRule], limit: int, now: int) -> int:
    own = await call.connection.fetch(call.sql("prune_own"), now, limit)
    pruned = await delete(call, [row[0] for row in own])
    groups = await _groups(call, rules, now) if rules and pruned < limit else []
    if groups:
        asked = [[getattr(group, name) for group in groups] for name in _Group.__struct_fields__]
        over = await call.connection.fetch(call.sql("prune_groups_over"), limit - pruned, *asked)
        pruned += await delete(call, [row[0] for row in over])
    return pruned


async def _groups(call: Call, rules: Sequence[RetentionRule], now: int) -> list[_Group]:
    groups = []
    for queue, kind in await call.connection.fetch(call.sql("prune_groups")):
        retention = rule_for(rules, queue, kind)
        if retention is not None:
            for completed, keep in ((True, retention.completed), (False, retention.failed)):
                if keep.count is not None or keep.age is not None:
                    over = None if keep.age is None else now - keep.age + 1
                    groups.append(_Group(queue, kind, completed, keep.count, over))
    return groups


async def delete(call: Call, found: Sequence[int]) -> int:
    """Remove jobs with their history; the caller has locked them."""
    if found:
        await call.connection.execute(call.sql("delete"), sorted(found))
    return len(found)
