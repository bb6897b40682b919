"""A migration only adds, and is never changed afterwards: the two rules that upgrades without a stop rest on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidewheel._store import postgres, sqlite
from tidewheel._store.ledger import Migration
from tidewheel._store.postgres.sql import migrations as postgres_migrations
from tidewheel._store.sqlite.sql import migrations as sqlite_migrations

STORES = {
    "sqlite": (Path(sqlite.__file__).parent, sqlite_migrations()),
    "postgres": (Path(postgres.__file__).parent, postgres_migrations()),
}
_TAKES = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN|SCHEMA|TYPE)|RENAME|ALTER\s+COLUMN|SET\s+NOT\s+NULL|DELETE\s+FROM|TRUNCATE|CREATE\s+TRIGGER)\b"
    r"|ADD\s+COLUMN(?!\s+IF\b)[^;]*\bNOT\s+NULL\b(?![^;]*\b(DEFAULT|GENERATED)\b)",
    re.IGNORECASE,
)


def takes_away(text: str) -> list[str]:
    """What in a migration the code before could miss. An index may go: it is speed, and another comes in its place."""
    bare = re.sub(r"--[^\n]*", "", text)
    return [" ".join(found[0].split()) for found in _TAKES.finditer(bare)]


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE jobs DROP COLUMN tags;",
        "DROP  TABLE logs;",
        "ALTER TABLE jobs RENAME COLUMN a TO b;",
        "ALTER TABLE jobs ALTER COLUMN kind TYPE varchar;",
        "ALTER TABLE jobs ADD COLUMN tenant text NOT NULL;",
        "DELETE FROM jobs;",
    ],
)
def test_what_takes_away_is_seen(text: str) -> None:
    assert takes_away(text)


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE jobs ADD COLUMN tenant text;",
        "ALTER TABLE jobs ADD COLUMN tenant text NOT NULL DEFAULT '';",
        "DROP INDEX jobs_ready; CREATE INDEX jobs_ready ON jobs (queue);",
        "-- DROP TABLE jobs would be bad\nCREATE TABLE more (a integer NOT NULL);",
    ],
)
def test_what_adds_may_be(text: str) -> None:
    assert takes_away(text) == []


@pytest.mark.parametrize("store", STORES)
def test_migrations_after_the_first_only_add(store: str) -> None:
    _, migrations = STORES[store]

    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert {migration.name: takes_away(migration.text) for migration in migrations[1:]} == {
        migration.name: [] for migration in migrations[1:]
    }


@pytest.mark.parametrize("store", STORES)
def test_the_code_before_is_one_migration_behind_at_most_and_its_texts_stand(store: str, before: Path) -> None:
    """Run `python -m tests.upgrade._freeze` before you add a migration, and never change one that is in the archive."""
    _, migrations = STORES[store]
    folder = before / "tidewheel" / "_store" / store / "migrations"
    frozen = [
        Migration(int(path.name[:3]), path.name, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.sql"))
    ]

    assert frozen == list(migrations[: len(frozen)])
    assert len(migrations) - len(frozen) <= 1
