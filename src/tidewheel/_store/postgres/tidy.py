"""Now and then: the slots in use counted anew from the jobs that run, and gates forgotten that nobody would miss.

A count is never wrong by our own doing. It is, when code that knows no limits has claimed or rescued jobs that have some.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tidewheel._model.flow import readable
from tidewheel._model.gate import idle
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.gates import Locked, calm, lock, open_gates

_PAGE: Final = 1000


async def recount(call: Call, now: int) -> int:
    """Set right the gates whose count is wrong, and look at them; gives how many jobs that let in."""
    held, used = await _counts(call)
    wrong = {key for key in held.keys() | used.keys() if held[key] != used[key]}
    if not wrong:
        return 0
    async with call.connection.transaction():
        await calm(call, now)
        locked = await lock(call, wrong)
        # Again, now that nobody starts or ends an attempt there. One that is ending waits for us and counts yet.
        held, _ = await _counts(call)
        for key in wrong:
            locked.gates[key].used = held[key]
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
