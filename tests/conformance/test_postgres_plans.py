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
from tidewheel._store.postgres.sql import statement, with_schema

FINISHED: Final = 1_000_000 if os.environ.get("TIDEWHEEL_PLANS") == "full" else 20_000
HOT: Final[dict[str, set[str]]] = {
    "claim": {"jobs_ready", "jobs_pkey"},
    "beat": {"jobs_id", "jobs_pkey"},
    "settle_complete": {"jobs_id"},
    "settle_known": {"jobs_id"},
    "settle_rows": {"jobs_id"},
    "end_rows": {"jobs_pkey"},
    "enqueue_holders": {"jobs_id", "jobs_unique"},
    "sweep_look": {"jobs_due", "jobs_leased", "jobs_prune"},
    "sweep_promote": {"jobs_due", "jobs_pkey"},
    "sweep_expired": {"jobs_leased"},
    "sweep_workers": {"jobs_leased"},
    "prune_own": {"jobs_prune"},
    "prune_groups": {"jobs_final"},
    "prune_groups_over": {"jobs_final"},
}
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
_STAGES: Final = {
    "empty": "",
    "filled": _FILL,
    "analyzed": "ANALYZE {schema}.jobs",
    "all done": "UPDATE {schema}.jobs SET state = 'completed', finished_at = 1",
    "analyzed again": "VACUUM ANALYZE {schema}.jobs",
}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def looked_at(connection: Any, sql: str) -> list[str]:
    """How each look at the jobs is done, under the plan for any values."""
    count = max((int(number) for number in re.findall(r"\$([0-9]+)", sql)), default=0)
    given = f"({', '.join(['NULL'] * count)})" if count else ""
    await connection.execute(f"PREPARE hot AS {sql}")
    try:
        answer = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE hot {given}")
    finally:
        await connection.execute("DEALLOCATE hot")
    return [
        node.get("Index Name") or node["Node Type"]
        for node in nodes(json.loads(answer)[0]["Plan"])
        if node.get("Relation Name") == "jobs" and node["Node Type"] not in ("ModifyTable", "LockRows")
    ]


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
                found = await looked_at(connection, statement(name, options.schema))
                if set(found) - indexes:
                    wrong[name, stage] = found
    finally:
        await connection.close()
    assert wrong == {}
