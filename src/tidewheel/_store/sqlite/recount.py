"""Now and then: the slots in use counted anew from the jobs that run, and gates forgotten that nobody would miss.

A count is never wrong by our own doing. It is, when code that knows no limits has claimed or rescued jobs that have some.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from tidewheel._model.flow import order_key_of, readable
from tidewheel._model.gate import idle
from tidewheel._store.sqlite.gates import Gates
from tidewheel._store.sqlite.rows import keys, listed, seqs, text
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.writer import Transaction

FORGET_MOST: Final = 10_000
_flows: Final = msgspec.json.Decoder(list[str])
_turns: Final = msgspec.json.Decoder(list[tuple[str, str | None]])


def recount(tx: Transaction, gates: Gates) -> None:
    """Set right the gates that say another number of slots than running jobs hold; look at them by `gates.finish`."""
    running = seqs(tx.connection, statement("gates_running"), ())
    held: Counter[str] = Counter()
    for value in listed(tx.connection, "gates_flows", _flows, running) if running else ():
        if flow := readable(value):
            held.update(one.key for one in flow.passes if one.holds)
    known = held.keys() | keys(tx.connection, statement("gates_used"), ())
    gates.load(known)
    wrong = [key for key in known if gates.gates[key].used != held[key]]
    for key in wrong:
        gates.gates[key].used = held[key]
    gates.touch([*wrong, *_lost(tx, gates)])


def _lost(tx: Transaction, gates: Gates) -> list[str]:
    """Gates whose place was held by nobody who could give it up; it is free now."""
    lost = list[str]()
    held = keys(tx.connection, statement("turns_held"), ())
    found = listed(tx.connection, "turns_flows", _turns, held, lost) if held else []
    lost += [key for key, flow in found if order_key_of(flow) != key]
    gates.load(set(lost))
    for key in lost:
        gates.gates[key].holder = None
    return lost


def forget(tx: Transaction, gates: Gates, now: int) -> bool:
    """Forget gates, at most `FORGET_MOST`; True when there may be more."""
    found = keys(tx.connection, statement("gates_idle"), (now, FORGET_MOST))
    gates.load(set(found))
    gone = {key for key in found if idle(gates.rules[key], gates.gates[key], now)}
    if gone:
        tx.connection.execute(statement("gates_forget"), (text(gone),))
    # The rule of the others has changed, and so the time until they may be forgotten.
    gates.write([key for key in found if key not in gone])
    return len(found) == FORGET_MOST
