"""The PostgreSQL store keeps every promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.conformance._schemas import Schemas
from tests.servers.postgres import Postgres

from tidewheel._store.postgres import PostgresStore
from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme
from tidewheel.testing.conformance.kit import StoreMaker


@pytest.fixture
def make_store(
    postgres: Postgres, schemas: Callable[[Postgres], Schemas], record_property: Callable[[str, object], None]
) -> Iterator[StoreMaker]:
    record_property("store", postgres.name)
    with schemas(postgres).some() as schema:
        yield lambda env: PostgresStore(f"{postgres.url}?schema={schema()}", env)
