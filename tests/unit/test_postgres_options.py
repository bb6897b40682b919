"""What a PostgreSQL URL may say, and that no message says the password."""

from __future__ import annotations

import pytest

from tidewheel import ConfigError
from tidewheel._store.postgres.options import PostgresOptions, without_password


def test_our_options_are_taken_out_and_the_drivers_are_passed_on() -> None:
    options = PostgresOptions.parse(
        "postgres://ada:s3cret@db.example.org:5433/jobs?schema=night&pool_size=3&listen=off&migrate=manual"
        "&statement_cache_size=0&sslmode=require"
    )
    assert (options.schema, options.pool_size, options.listen, options.migrate) == ("night", 3, "off", "manual")
    assert options.statement_cache_size == 0
    assert options.dsn == "postgresql://ada:s3cret@db.example.org:5433/jobs?sslmode=require"
    assert (options.user, options.database) == ("ada", "jobs")


def test_defaults() -> None:
    options = PostgresOptions.parse("postgresql://localhost/jobs")
    assert (options.schema, options.listen, options.migrate) == ("tidewheel", "auto", "auto")


def test_all_problems_are_reported_at_once_and_without_the_password() -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresOptions.parse(
            "postgresql://ada:s3cret@db/jobs?shema=x&pool_size=0&listen=maybe&schema=Night&sslmode=often&password=s3cret"
        )
    assert len(caught.value.problems) == 5
    text = str(caught.value)
    assert "Did you mean schema?" in text
    assert "whole number from 1 to 1000" in text
    assert "auto, off" in text
    assert "small letters" in text
    assert "sslmode=often" in text
    assert "s3cret" not in text


@pytest.mark.parametrize("url", ["postgresql:jobs", "postgresql:///jobs?schema=pg_x", "postgresql://h:port:x/jobs"])
def test_what_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        PostgresOptions.parse(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:s3cret@db/jobs", "postgresql://ada@db/jobs"),
        ("postgresql://ada:s3:cr@t@db/jobs?password=s3", "postgresql://ada@db/jobs?password=***"),
        ("postgresql://one,two/jobs?host=/run/pg", "postgresql://one,two/jobs?host=/run/pg"),
    ],
)
def test_shown_without_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
