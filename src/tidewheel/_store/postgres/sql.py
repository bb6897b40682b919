"""The statements: one file each under `statements/`, read once, with the name of the schema put in.

The head of each file says what it takes, gives and locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from tidewheel._store.ledger import Migration

_HERE: Final = files("tidewheel._store.postgres")

CLOCK: Final = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
"""The server's clock in microseconds, the same all through a statement."""
LIVE: Final = "state IN ('scheduled', 'available', 'parked', 'running', 'retryable')"
WAITS: Final = "state IN ('scheduled', 'available', 'parked', 'retryable')"
FINAL: Final = "state IN ('completed', 'cancelled', 'discarded')"
LAST_LIFE: Final = (
    "CASE WHEN crashes > 0 AND (crashes + 1 >= max_crashes OR attempt + 1 >= max_attempts) THEN 1 ELSE 0 END"
)
"""1 for an available job on its last life, as the index `jobs_ready` has it."""
LINE: Final = "CASE WHEN lifo THEN -run_at ELSE run_at END, CASE WHEN lifo THEN -seq ELSE seq END"
"""The order inside a priority."""
ROW: Final = (
    "id, seq, state, queue, attempt, run_at, keep_failed, on_dead, unique_key, parked_by, flow, expires_at, backlog, "
    "awaited, cancel_requested, priority, lifo, lead, error_type, error_message, error_traceback"
)
"""What `ending.Row` reads, in its order."""
LONE_SLOT: Final = (
    """CASE WHEN flow = '[[["' || split_part(flow, '"', 2) || '","' || split_part(flow, '"', 4) || '",1,true]]]' """
    """AND strpos(flow, chr(92)) = 0 """
    """THEN split_part(flow, '"', 2) || coalesce(':' || nullif(split_part(flow, '"', 4), ''), '') END"""
)
"""The key of the gate where a slot of it is all that a job needs, without decoding its flow; else null."""
CALM: Final = "pg_advisory_xact_lock_shared(1910365922, hashtext('{schema}'))"
"""What everybody does who judges by the limits, until his transaction ends (`gates_calm.sql`) ..."""
CHANGE: Final = CALM.replace("_shared", "")
"""... and who changes them: alone."""
LEAVE_OUT: Final = "ON CONFLICT DO NOTHING"
"""What becomes of a new row whose id or live unique key is taken; without it the statement fails."""
EARLY: Final = ", set_config('synchronous_commit', 'off', true)"
"""Others see, and hear of, what is committed before the disk has it. Who says so owes the caller a `flush` (early.py)."""
_WORDS: Final = {
    "{calm}": CALM,
    "{try_calm}": CALM.replace("pg_", "pg_try_"),
    "{change}": CHANGE,
    "{clock}": CLOCK,
    "{live}": LIVE,
    "{waits}": WAITS,
    "{row}": ROW,
    "{final}": FINAL,
    "{last_life}": LAST_LIFE,
    "{lone_slot}": LONE_SLOT,
    "{line}": LINE,
}


def with_schema(text: str, schema: str) -> str:
    """A text of ours with its placeholders filled in."""
    for word, meaning in _WORDS.items():
        text = text.replace(word, meaning)
    return text.replace("{schema}", f'"{schema}"')


@cache
def statement(name: str, schema: str) -> str:
    """The text of `statements/<name>.sql` without its comments."""
    text = _HERE.joinpath("statements", f"{name}.sql").read_text(encoding="utf-8")
    bare = " ".join(line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("--"))
    return with_schema(bare, schema)


@cache
def claim_statement(schema: str, *, one: bool) -> str:
    """The statement `claim` for `one` queue, or for many: to unfold an array of one takes as long as to find a job."""
    wanted = "unnest((SELECT $2::text[]), (SELECT $3::bigint[])) AS wanted (queue, slots)"
    queues = "ANY ((SELECT $2::text[])::text[])"
    if one:
        wanted, queues = (
            "(SELECT (SELECT $2::text) AS queue, (SELECT $3::bigint) AS slots) AS wanted",
            "(SELECT $2::text)",
        )
    return statement("claim", schema).replace("{wanted}", wanted).replace("{queues}", queues)


@cache
def rows_statement(
    name: str, schema: str, columns: tuple[tuple[str, str], ...], same: tuple[bool, ...], clash: str
) -> str:
    """A statement with `{values}`, `{rows}` and `{clash}` filled in for (name, type) columns, behind four parameters.

    A column whose value all rows share (`same`) is one plain parameter; the others are arrays.
    """
    values, arrays, names = [], [], []
    for number, ((column, kind), one) in enumerate(zip(columns, same, strict=True), start=5):
        if one:
            values.append(f"${number}::{kind} AS {column}")
        else:
            values.append(f"own.{column}")
            arrays.append(f"${number}::{kind}[]")
            names.append(column)
    rows = "(SELECT 1 AS place) AS own"
    if arrays:
        rows = f"unnest({', '.join(arrays)}) WITH ORDINALITY AS own ({', '.join([*names, 'place'])})"
    text = statement(name, schema).replace("{clash}", clash)
    return text.replace("{values}", ", ".join(values)).replace("{rows}", rows)


@cache
def row_statement(name: str, schema: str, columns: tuple[str, ...], clash: str, early: str) -> str:
    """A statement with `{columns}`, `{values}`, `{clash}` and `{early}` filled in for one row, behind three parameters."""
    values = ", ".join(f"${number}" for number, _ in enumerate(columns, start=4))
    text = statement(name, schema).replace("{clash}", clash).replace("{early}", early)
    return text.replace("{columns}", ", ".join(columns)).replace("{values}", values)


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration, in order."""
    found = [
        Migration(int(entry.name[:3]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in _HERE.joinpath("migrations").iterdir()
        if entry.name.endswith(".sql")
    ]
    return tuple(sorted(found))


def words(values: Sequence[str]) -> str:
    """Words of our own (states) as a list for IN (...)."""
    return ", ".join(f"'{value}'" for value in values)
