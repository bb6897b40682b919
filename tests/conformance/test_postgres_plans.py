"""The hot statements look only at the rows they need, however many jobs there are: their plans are looked at.

Empty, filled without statistics, filled with statistics, emptied: a plan that is good for one must not be kept for
another. TIDEWHEEL_PLANS=full fills in a million finished jobs, as users have.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from tests.servers.postgres import Postgres

from tidewheel._store.postgres import PostgresStore
from tidewheel._store.postgres.connect import connect
from tidewheel._store.postgres.options import PostgresOptions
from tidewheel._store.postgres.sql import claim_statement, statement, with_schema

FINISHED: Final = 1_000_000 if os.environ.get("TIDEWHEEL_PLANS") == "full" else 20_000
HOT: Final[dict[str, set[str]]] = {
    "claim": {"jobs_ready", "jobs_pkey"},
    "beat": {"jobs_id", "jobs_pkey"},
    "settle_complete": {"jobs_id"},
    "settle_known": {"jobs_id"},
    "settle_rows": {"jobs_id"},
    "end_rows": {"jobs_pkey"},
    "gates_claim": {"jobs_ready", "jobs_pkey"},
    "gates_pick": {"jobs_ready", "jobs_order", "jobs_parked"},
    "gates_take": {"jobs_pkey"},
    "gates_release": {"jobs_parked", "jobs_pkey"},
    "gates_held": {"jobs_leased"},
    "enqueue_holders": {"jobs_id", "jobs_unique"},
    "desk_find": {"jobs_id", "jobs_unique"},
    "desk_hold": {"jobs_id"},
    "desk_backlog": {"jobs_backlog"},
    "desk_change": {"jobs_pkey"},
    "keys_tidy": {"jobs_id"},
    "edges_add": {"jobs_id"},
    "edges_await": {"jobs_pkey"},
    "edges_end": {"jobs_id"},
    "edges_release": {"jobs_pkey"},
    "edges_reopen": {"jobs_id"},
    "edges_untold": {"jobs_id"},
    "delete": {"jobs_pkey"},
    "sweep_look": {"jobs_due", "jobs_leased", "jobs_prune", "jobs_expiring"},
    "sweep_expire": {"jobs_expiring"},
    "sweep_promote": {"jobs_due", "jobs_pkey"},
    "sweep_expired": {"jobs_leased"},
    "sweep_workers": {"jobs_leased"},
    "prune_own": {"jobs_prune"},
    "prune_groups": {"jobs_final"},
    "prune_groups_over": {"jobs_final"},
}
GATES: Final[dict[str, set[str]]] = {
    "gates_claim": {"gates_pkey by key"},
    "gates_lock": {"gates_pkey by key"},
    "gates_make": set(),
    "gates_take": set(),
    "gates_write": set(),
    "gates_release": set(),
    "gates_due": {"gates_open by opens_at"},
    "gates_wake": {"gates_pkey by key"},
    "gates_idle": {"gates_pkey by key"},
    "limits_wake": {"gates_pkey by key", "gates_waiting", "gates_waiting by limit"},
    "settle_complete": set(),
    "sweep_look": {"gates_open by opens_at", "gates_open"},
}
"""How the gates are found; with nothing behind it, an index is gone through from its beginning."""
KEYS: Final[dict[str, set[str]]] = {
    "keys_lock": set(),
    "keys_put": set(),
    "keys_old": {"keys_look by look_at"},
    "keys_tidy": {"keys_pkey by key"},
}
"""The same for keys."""
EDGES: Final[dict[str, set[str]]] = {
    "edges_end": {"edges_child by child", "Tid Scan"},
    "edges_open": {"edges_open by parent"},
    "edges_reopen": {"edges_child by child"},
    "edges_untold": {"edges_open"},
    "edges_around": {"edges_child by child", "edges_pkey by parent"},
    "edges_forget": {"edges_pkey by parent"},
    "edges_list": {"edges_child by child", "edges_pkey by parent"},
    "delete": {"edges_pkey by parent", "Tid Scan"},
}
"""And for edges."""
_FILL: Final = """
INSERT INTO {schema}.jobs (id, kind, queue, state, args, priority, run_at, max_attempts, max_crashes, enqueued_at,
    finished_at)
SELECT 'done' || n, 'k' || n % 10, 'q' || n % 10, 'completed', '{}', 100, n, 1, 3, n, n FROM generate_series(1, $1) AS n
UNION ALL
SELECT 'later' || n, 'k' || n % 10, 'q' || n % 10, 'scheduled', '{}', 100, 9000000000000000 + n, 1, 3, n, NULL
FROM generate_series(1, $1 / 10) AS n
UNION ALL
SELECT 'now' || n, 'k' || n % 10, 'q' || n % 10, 'available', '{}', 100, n, 1, 3, n, NULL
FROM generate_series(1, $1 / 10) AS n
"""
_PARK: Final = """
UPDATE {schema}.jobs SET flow = '[[]]', parked_by = 'api:' || seq % 10, state = CASE seq % 3 WHEN 0 THEN 'available' ELSE 'parked' END
WHERE state = 'available' AND seq % 2 = 0
"""
_GATES: Final = """
INSERT INTO {schema}.gates (key, "limit", waiting, opens_at)
SELECT 'api:' || n, 'api', n % 10 = 0, CASE WHEN n % 10 = 0 THEN n END FROM generate_series(1, $1) AS n
ON CONFLICT DO NOTHING
"""
_KEYS: Final = """
INSERT INTO {schema}.keys (key, look_at) SELECT 'k' || n, n FROM generate_series(1, $1) AS n ON CONFLICT DO NOTHING
"""
_EDGES: Final = """
INSERT INTO {schema}.edges (parent, child, place, on_failure, state)
SELECT 'p' || n, 'c' || n % 1000, n, 'fail', CASE WHEN n % 10 > 0 THEN 'completed' END FROM generate_series(1, $1) AS n
ON CONFLICT DO NOTHING
"""
_STAGES: Final = {
    "empty": "",
    "filled": _FILL,
    "parked": _PARK,
    "expiring": "UPDATE {schema}.jobs SET expires_at = run_at, backlog = 'b' || seq % 10 WHERE state = 'scheduled'",
    "analyzed": "ANALYZE {schema}.jobs",
    "all done": "UPDATE {schema}.jobs SET state = 'completed', finished_at = 1",
    "analyzed again": "VACUUM ANALYZE {schema}.jobs",
}


def texts(name: str, schema: str) -> list[str]:
    """A statement in all its forms."""
    if name == "claim":
        return [claim_statement(schema, one=one) for one in (True, False)]
    return [statement(name, schema)]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def plan_of(connection: Any, sql: str) -> dict[str, Any]:
    """The plan for any values."""
    count = max((int(number) for number in re.findall(r"\$([0-9]+)", sql)), default=0)
    given = f"({', '.join(['NULL'] * count)})" if count else ""
    await connection.execute(f"PREPARE hot AS {sql}")
    try:
        answer = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE hot {given}")
    finally:
        await connection.execute("DEALLOCATE hot")
    plan: dict[str, Any] = json.loads(answer)[0]["Plan"]
    return plan


def looks(plan: dict[str, Any], table: str) -> Iterator[dict[str, Any]]:
    """Where it looks for rows of a table."""
    for node in nodes(plan):
        if node.get("Relation Name") == table and node["Node Type"] not in ("ModifyTable", "LockRows"):
            yield node


async def jobs_found(connection: Any, sql: str) -> set[str]:
    """How each look at the jobs is done."""
    plan = await plan_of(connection, sql)
    return {node.get("Index Name") or node["Node Type"] for node in looks(plan, "jobs")}


async def rows_found(connection: Any, sql: str, table: str) -> set[str]:
    """How each look at a table is done, and by which column."""
    found = set()
    for node in looks(await plan_of(connection, sql), table):
        column = re.match(r'\(*"?(\w+)"? ', node.get("Index Cond", ""))
        by = f" by {column[1]}" if column else ""
        found.add(f"{node.get('Index Name') or node['Node Type']}{by}")
    return found


@pytest.mark.timeout(300)
async def test_every_hot_statement_finds_its_rows_by_index(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    options = PostgresOptions.parse(f"{postgres.url}?schema={new_schema()}")
    await PostgresStore(options).migrate()
    connection = await connect(options)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    wrong = {}
    try:
        for stage, prepare in _STAGES.items():
            if prepare:
                amount = [FINISHED] if "$1" in prepare else []
                await connection.execute(with_schema(prepare, options.schema), *amount, timeout=250)
            for name, indexes in HOT.items():
                for text in texts(name, options.schema):
                    found = await jobs_found(connection, text)
                    if found - indexes:
                        wrong[name, stage] = found
    finally:
        await connection.close()
    assert wrong == {}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("table", "fill", "hot"),
    [("gates", _GATES, GATES), ("keys", _KEYS, KEYS), ("edges", _EDGES, EDGES)],
    ids=["gates", "keys", "edges"],
)
async def test_gates_keys_and_edges_are_found_by_their_names(
    postgres: Postgres, new_schema: Callable[[], str], table: str, fill: str, hot: dict[str, set[str]]
) -> None:
    """Also by a plan that was made when there were five: going through all of them was as good then."""
    options = PostgresOptions.parse(f"{postgres.url}?schema={new_schema()}")
    await PostgresStore(options).migrate()
    connection = await connect(options)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    wrong = {}
    try:
        for stage, count in {"empty": 0, "few": 5, "many": 20_000}.items():
            if count:
                await connection.execute(with_schema(fill, options.schema), count)
                await connection.execute(with_schema(f"VACUUM ANALYZE {{schema}}.{table}", options.schema))
            for name, ways in hot.items():
                found = await rows_found(connection, statement(name, options.schema), table)
                if found - ways:
                    wrong[name, stage] = found
    finally:
        await connection.close()
    assert wrong == {}
