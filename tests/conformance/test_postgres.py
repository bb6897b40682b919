"""The PostgreSQL store keeps every promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.servers.postgres import Postgres

from tidewheel._store.postgres import PostgresStore
from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme
from tidewheel.testing.conformance.kit import StoreMaker


@pytest.fixture
def make_store(
    postgres: Postgres, new_schema: Callable[[], str], record_property: Callable[[str, object], None]
) -> StoreMaker:
    record_property("store", postgres.name)
    return lambda env: PostgresStore(f"{postgres.url}?schema={new_schema()}", env)
