"""Keeps every change of a job's state in PostgreSQL: triggers write it in the transaction that makes it."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from tests.e2e._history import Change

_TABLE = """
CREATE SCHEMA IF NOT EXISTS chaos;
CREATE TABLE IF NOT EXISTS chaos.audit (
    n bigserial PRIMARY KEY, job text, before text, after text, epoch bigint, attempt int, crashes int, result text,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE OR REPLACE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO chaos.audit (job, before, epoch, attempt, crashes)
        VALUES (OLD.id, OLD.state, OLD.epoch, OLD.attempt, OLD.crashes);
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO chaos.audit (job, after, epoch, attempt, crashes)
        VALUES (NEW.id, NEW.state, NEW.epoch, NEW.attempt, NEW.crashes);
    ELSE
        INSERT INTO chaos.audit (job, before, after, epoch, attempt, crashes, result)
        VALUES (NEW.id, OLD.state, NEW.state, NEW.epoch, NEW.attempt, NEW.crashes, NEW.result);
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER chaos_rows AFTER INSERT OR DELETE ON tidewheel.jobs
    FOR EACH ROW EXECUTE FUNCTION chaos.note();
CREATE OR REPLACE TRIGGER chaos_moves AFTER UPDATE ON tidewheel.jobs FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.epoch <> NEW.epoch) EXECUTE FUNCTION chaos.note();
"""


class PostgresRecorder:
    """Triggers on the jobs table of a database."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def install(self) -> None:
        """Add the triggers; the store must have its tables by now."""
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(_TABLE)
        finally:
            await connection.close()

    def changes(self) -> list[Change]:
        """Everything so far, in the order in which the rows were locked."""
        columns = "job, before, after, epoch, attempt, crashes, result"
        return [Change(*row) for row in self._ask(f"SELECT {columns} FROM chaos.audit ORDER BY n")]  # noqa: S608

    def moments(self) -> list[float]:
        """When each of the changes was made, in seconds since 1970, in the same order."""
        return [row[0] for row in self._ask("SELECT extract(epoch FROM at)::float8 FROM chaos.audit ORDER BY n")]

    def _ask(self, question: str) -> list[Any]:
        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self._url)
            try:
                found: list[Any] = await connection.fetch(question)
                return found
            finally:
                await connection.close()

        return asyncio.run(ask())
