"""Now and then: the slots in use counted anew from the jobs that run, and gates and keys forgotten that nobody would miss.

A count is never wrong by our own doing. It is, when code that knows no limits has claimed or rescued jobs that have some.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tidewheel._model.flow import order_key_of, readable
from tidewheel._model.gate import idle
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.gates import Locked, calm, lock, open_gates

_PAGE: Final = 1000
_PAGES: Final = 20
"""Of keys, in one sweep: the next one goes on."""
_LATER: Final = 3_600_000_000
"""After that the job of a key is looked for again."""


async def recount(call: Call, now: int) -> int:
    """Set right the gates whose count is wrong, and look at them; gives how many jobs that let in."""
    held, used = await _counts(call)
    wrong = {key for key in held.keys() | used.keys() if held[key] != used[key]} | await _lost(call)
    if not wrong:
        return 0
    async with call.connection.transaction():
        await calm(call, now)
        locked = await lock(call, wrong)
        # Again, now that nobody starts or ends an attempt there. One that is ending waits for us and counts yet.
        held, _ = await _counts(call)
        for key in wrong:
            locked.gates[key].used = held[key]
        for key in wrong & await _lost(call):
            locked.gates[key].holder = None
        return await open_gates(call, locked, wrong, now)


async def _counts(call: Call) -> tuple[Counter[str], Counter[str]]:
    """Slots by gate: as running jobs hold them, and as the gates say."""
    held, used = Counter[str](), Counter[str]()
    for text, key, count in await call.connection.fetch(call.sql("gates_held")):
        if key is not None:
            used[key] = count
        elif (flow := readable(text)) is not None:
            held.update(step.key for step in flow.passes if step.holds)
    return held, used


async def _lost(call: Call) -> set[str]:
    """Gates whose place is held by a job that cannot give it up: it is gone, or has ended, or has its turn elsewhere."""
    return {key for key, flow in await call.connection.fetch(call.sql("gates_turns")) if order_key_of(flow) != key}


async def forget(call: Call, now: int) -> None:
    """Forget gates that a new one would be as good as."""
    last, full = "", True
    while full:
        async with call.connection.transaction():
            await calm(call, now)
            page = Locked()
            page.read(await call.connection.fetch(call.sql("gates_idle"), last, now, _PAGE))
            gone = [key for key, gate in page.gates.items() if idle(page.rules[key], gate, now)]
            if gone:
                await call.connection.execute(call.sql("gates_forget"), gone)
        full = len(page.gates) == _PAGE
        last = max(page.gates, default="")


async def forget_keys(call: Call, now: int) -> None:
    """Forget keys whose period is over and whose job is gone."""
    for _ in range(_PAGES):
        async with call.connection.transaction():
            old = [row[0] for row in await call.connection.fetch(call.sql("keys_old"), now, _PAGE)]
            if old:
                await call.connection.execute(call.sql("keys_tidy"), now, old, _LATER)
        if len(old) < _PAGE:
            break
