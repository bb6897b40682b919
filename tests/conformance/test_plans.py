"""The plans of SQLite's hot statements: no scan of the table, no sort of more than ties."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from tidewheel._model.query import JobFilter
from tidewheel._model.state import JobState
from tidewheel._store.sqlite import admin, schema
from tidewheel._store.sqlite.connect import connect
from tidewheel._store.sqlite.options import SqliteOptions
from tidewheel._store.sqlite.sql import statement

HOT = {
    "claim_pick": "tidewheel_jobs_ready (queue=? AND last_life=?)",
    "claim_mark": "INTEGER PRIMARY KEY (rowid=?)",
    "claim_read": "INTEGER PRIMARY KEY (rowid=?)",
    "settle_complete": "tidewheel_jobs_id (id=?)",
    "settle_all": "tidewheel_jobs_id (id=?)",
    "settle_row": "tidewheel_jobs_id (id=?)",
    "beat_extend": "tidewheel_jobs_id (id=?)",
    "beat_held": "tidewheel_jobs_id (id=?)",
    "enqueue_holder": "tidewheel_jobs_unique (unique_key=?)",
    "sweep_promote": "tidewheel_jobs_due (run_at<?)",
    "sweep_expired": "tidewheel_jobs_leased (lease_until<?)",
    "sweep_next_due": "tidewheel_jobs_due",
    "prune_own": "tidewheel_jobs_prune (prune_at<?)",
    "prune_group": "tidewheel_jobs_final (queue=? AND kind>?)",
    "prune_beyond": "tidewheel_jobs_final (queue=? AND kind=? AND <expr>=?",
    "prune_older": "tidewheel_jobs_final (queue=? AND kind=? AND <expr>=? AND finished_at<?)",
    "gates_pick": "tidewheel_jobs_ready (queue=? AND last_life=?)",
    "gates_picked": "INTEGER PRIMARY KEY (rowid=?)",
    "gates_mark": "INTEGER PRIMARY KEY (rowid=?)",
    "gates_park": "INTEGER PRIMARY KEY (rowid=?)",
    "gates_release": "INTEGER PRIMARY KEY (rowid=?)",
    "gates_held": "tidewheel_jobs_id (id=?)",
    "gates_read": "gates USING PRIMARY KEY (key=?)",
    "gates_free": "tidewheel_gates USING PRIMARY KEY (key=?)",
    "gates_busy": "tidewheel_gates USING PRIMARY KEY (key=?)",
    "gates_lines": "tidewheel_jobs_parked (parked_by=? AND queue=? AND kind>?)",
    "gates_line": "tidewheel_jobs_parked (parked_by=? AND queue=? AND kind=? AND state=?)",
    "gates_parked": "tidewheel_jobs_parked (parked_by=?)",
    "gates_due": "tidewheel_gates_open (opens_at<?)",
    "gates_wake": "tidewheel_gates USING PRIMARY KEY (key=?)",
    "gates_list": "tidewheel_gates USING PRIMARY KEY (key>? AND key<?)",
    "limits_under": "limits USING PRIMARY KEY (name=?)",
    "limits_wake": "tidewheel_gates_waiting (limit=?)",
    "desk_clash": "tidewheel_jobs_unique (unique_key=?)",
    "desk_key": "tidewheel_jobs_id (id=?)",
    "desk_waiting": "tidewheel_jobs_backlog (backlog=?)",
    "desk_oldest": "tidewheel_jobs_backlog (backlog=?)",
    "sweep_expire": "tidewheel_jobs_expiring (expires_at<?)",
    "keys_due": "tidewheel_keys_look (look_at<?)",
    "keys_forget": "tidewheel_jobs_id (id=?)",
    "settle_awaited": "tidewheel_jobs_id (id=?)",
    "graph_children": "tidewheel_jobs_id (id=?)",
    "graph_add": "tidewheel_jobs_id (id=?)",
    "graph_await": "tidewheel_jobs_id (id=?)",
    "graph_park": "tidewheel_jobs_id (id=?)",
    "graph_ends": "tidewheel_edges_child (child=?)",
    "graph_end": "tidewheel_edges_child (child=?)",
    "graph_remove": "tidewheel_edges_child (child=?)",
    "graph_parents": "tidewheel_jobs_id (id=?)",
    "graph_reopen": "tidewheel_edges_child (child=?)",
    "graph_waits": "tidewheel_edges_open (parent=?)",
    "graph_untold": "tidewheel_jobs_id (id=?)",
    "graph_list": "tidewheel_edges_child (child=?)",
    "delete_edges": "tidewheel_edges USING PRIMARY KEY (parent=?)",
}


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    options = SqliteOptions.parse(str(tmp_path / "plans.db"))
    made = connect(options)
    made.execute("BEGIN")
    schema.upgrade(made, options, 0)
    made.execute("COMMIT")
    return made


def plan(connection: sqlite3.Connection, name: str) -> list[str]:
    text = statement(name)
    numbers = [int(found) for found in re.findall(r"\?(\d+)", text)]
    parameters = [None] * (max(numbers) if numbers else text.count("?"))
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_searches_its_index(connection: sqlite3.Connection, name: str) -> None:
    steps = plan(connection, name)
    assert any(HOT[name] in step for step in steps), steps
    assert not [step for step in steps if re.fullmatch(r"SCAN (tidewheel_)?jobs", step)], steps


@pytest.mark.parametrize("name", ["claim_pick", "gates_pick", "gates_lines", "gates_line"])
def test_a_claim_and_a_gate_do_not_sort(connection: sqlite3.Connection, name: str) -> None:
    assert not [step for step in plan(connection, name) if "TEMP B-TREE" in step]


@pytest.mark.parametrize("name", ["graph_parents", "graph_waits"])
def test_ended_edges_are_not_read_to_see_that_one_is_open(connection: sqlite3.Connection, name: str) -> None:
    """Else a parent with many children would be told of them in square time."""
    assert any("tidewheel_edges_open (parent=?)" in step for step in plan(connection, name))


def test_the_test_sees_a_bad_plan(connection: sqlite3.Connection) -> None:
    connection.execute("DROP INDEX tidewheel_jobs_ready")
    assert not any(HOT["claim_pick"] in step for step in plan(connection, "claim_pick"))


@pytest.mark.parametrize(
    ("state", "index"),
    [(JobState.RUNNING, "jobs_leased"), (JobState.DISCARDED, "jobs_dead"), (JobState.PARKED, "jobs_parked")],
)
def test_the_few_that_run_wait_or_were_given_up_are_found_without_a_look_at_the_others(
    connection: sqlite3.Connection, state: JobState, index: str
) -> None:
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    admin.list_jobs(connection, JobFilter(states=(state,)), 50, None)
    connection.set_trace_callback(None)
    (row, *_) = connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall()
    assert f"USING INDEX tidewheel_{index}" in row[3]
