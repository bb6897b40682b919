"""Files that are no store, cannot be used, or are damaged: a clear word, and nothing is touched."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e._harness import Site, all_ended, python
from tests.e2e.apps import jobs

from tidewheel import App, SchemaMismatch, StoreError, StoreUnavailable
from tidewheel._store.sqlite import filesystem

pytestmark = pytest.mark.e2e


async def make(path: Path, count: int = 1) -> None:
    """A store with waiting jobs, closed again."""
    async with jobs.build(f"sqlite:///{path}") as app:
        await app.enqueue_many([app.tasks["tell"].options(id=f"job{n}").job("x" * 200) for n in range(count)])


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def text(path: Path) -> None:
    path.write_text("Dear diary, this is not a database. " * 200)


def short(path: Path) -> None:
    path.write_text("hi")


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def foreign_tables(path: Path) -> None:
    execute(path, "CREATE TABLE tidewheel_jobs (a)")


def foreign_ledger(path: Path) -> None:
    execute(path, "CREATE TABLE tidewheel_migrations (a)")


def tables_without_a_record(path: Path) -> None:
    ledger = "version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL"
    execute(path, f"CREATE TABLE tidewheel_migrations ({ledger}) STRICT", "CREATE TABLE tidewheel_queues (a)")


FRESH: list[tuple[Callable[[Path], None], type[StoreError], str]] = [
    (text, StoreError, "is not a usable SQLite database"),
    (short, StoreError, "is not a usable SQLite database"),
    (folder, StoreError, "is a folder. Name a file in it"),
    (pipe, StoreError, "is no regular file"),
    (foreign_tables, SchemaMismatch, "tables named tidewheel_jobs that Tidewheel did not make"),
    (foreign_ledger, SchemaMismatch, "is not Tidewheel's (its columns are a)"),
    (tables_without_a_record, SchemaMismatch, "no record of Tidewheel making them"),
]


@pytest.mark.parametrize(("prepare", "error", "words"), FRESH, ids=lambda value: getattr(value, "__name__", None))
async def test_what_is_no_store_is_refused_and_not_touched(
    tmp_path: Path, prepare: Callable[[Path], None], error: type[StoreError], words: str
) -> None:
    path = tmp_path / "jobs.db"
    prepare(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(error) as caught:
        async with App(f"sqlite:///{path}"):
            pass
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert not caught.value.retriable
    if prepare in (text, short):
        assert path.read_bytes() == before


def newer_schema(path: Path) -> None:
    execute(path, "INSERT INTO tidewheel_migrations VALUES (99, '099_future.sql', 'x', 0)")


def changed_migration(path: Path) -> None:
    execute(path, "UPDATE tidewheel_migrations SET checksum = 'x' WHERE version = 1")


def damaged_schema(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * 300)


def cut_short(path: Path) -> None:
    os.truncate(path, 3 * 4096)


USED: list[tuple[Callable[[Path], None], type[StoreError], str]] = [
    (newer_schema, SchemaMismatch, "has schema version 99"),
    (changed_migration, SchemaMismatch, "was applied to"),
    (damaged_schema, StoreError, "recover it with `sqlite3 FILE .recover`"),
    (cut_short, StoreError, "recover it with `sqlite3 FILE .recover`"),
]


@pytest.mark.parametrize(("spoil", "error", "words"), USED, ids=lambda value: getattr(value, "__name__", None))
async def test_a_store_that_does_not_fit_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[StoreError], words: str
) -> None:
    path = tmp_path / "jobs.db"
    await make(path)
    spoil(path)
    with pytest.raises(error) as caught:
        async with App(f"sqlite:///{path}"):
            pass
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"The folder .*/not/here of the store jobs.db does not exist. Create it first"
    ):
        async with App(f"sqlite:///{tmp_path}/not/here/jobs.db"):
            pass
    text(tmp_path / "file")
    with pytest.raises(StoreError, match=r"/file, the folder of the store jobs.db, is a file"):
        async with App(f"sqlite:///{tmp_path}/file/jobs.db"):
            pass


async def test_an_empty_file_and_a_foreign_log_are_harmless(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    async with App(f"sqlite:///{tmp_path}/empty.db") as app:
        assert (await app.info()).schema >= 1
    await make(tmp_path / "used.db", 3)
    (tmp_path / "used.db-wal").write_bytes(os.urandom(50_000))  # what a crash of the machine may leave
    async with App(f"sqlite:///{tmp_path}/used.db") as app:
        assert len((await app.jobs.list()).jobs) == 3


AS_NOBODY = """
import asyncio, json, os, sys
from pathlib import Path
from tests.e2e.apps import jobs

async def attempt(path):
    try:
        async with jobs.build(f"sqlite:///{path}") as app:
            await app.tasks["tell"].enqueue("x")
    except Exception as error:
        return [type(error).__name__, str(error)]

async def main(warm, *paths):
    await attempt(warm)  # whatever is imported on the way must be loaded while we may read it
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    print(json.dumps([await attempt(path) for path in paths]))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_files_and_folders_without_the_right_to_write_are_named(open_folder: Path) -> None:
    names = ("warm", "read_only_file", "read_only_folder", "empty_read_only_folder")
    warm, file, folder, empty = (open_folder / name for name in names)
    for place in (warm, file, folder, empty):
        place.mkdir()
    await make(file / "jobs.db")
    await make(folder / "jobs.db")
    file.chmod(0o777)
    (file / "jobs.db").chmod(0o444)
    (folder / "jobs.db").chmod(0o666)
    folder.chmod(0o555)
    empty.chmod(0o555)
    try:
        said = json.loads(await python(AS_NOBODY, *(str(place / "jobs.db") for place in (warm, file, folder, empty))))
    finally:
        folder.chmod(0o755)
        empty.chmod(0o755)
    assert [kind for kind, _ in said] == ["StoreError"] * 3
    assert f"{file}/jobs.db cannot be read and written by this user. Change its owner or its rights" in said[0][1]
    assert f"The folder {folder} cannot be written by this user" in said[1][1]
    assert f"The folder {empty} cannot be written by this user" in said[2][1]


async def test_a_network_share_is_refused_unless_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = tmp_path / "share with spaces"
    share.mkdir()
    mounts = [("/", "ext4"), (str(share), "nfs4")]
    monkeypatch.setattr(filesystem, "_linux_mounts", lambda: mounts)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(StoreError, match=r"lies on a network file system \(nfs4\).*\?network_fs=allow"):
        async with App(f"sqlite:///{share}/jobs.db"):
            pass
    (tmp_path / "link").symlink_to(share)
    with pytest.raises(StoreError, match="network file system"):
        async with App(f"sqlite:///{tmp_path}/link/jobs.db"):
            pass
    async with App(f"sqlite:///{share}/jobs.db?network_fs=allow") as app:
        assert (await app.info()).name == "sqlite"
    async with App(f"sqlite:///{tmp_path}/jobs.db"):
        pass


async def read_all(app: App) -> None:
    for n in range(3000):
        await app.jobs.info(f"job{n}")


async def test_damage_in_the_middle_stops_the_worker_with_a_clear_word_and_loses_nothing(site: Site) -> None:
    await make(site.database, 3000)
    before = site.database.read_bytes()
    pages = len(before) // 4096
    # A page of the table, found by what is in it, as far from the ends as possible.
    page = min(
        (n for n in range(pages) if b"x" * 200 in before[n * 4096 : (n + 1) * 4096]), key=lambda n: abs(n - pages // 2)
    )
    with site.database.open("r+b") as file:
        file.seek(page * 4096)
        file.write(os.urandom(4096))
    worker = site.worker()
    assert await worker.ended() == 3
    assert f"{site.database} is not a usable SQLite database" in worker.log
    assert "restore a backup or recover it with `sqlite3 FILE .recover`" in worker.log
    assert "Traceback" not in worker.log
    async with jobs.build(site.url) as app:
        first, last = await app.jobs.info("job0"), await app.jobs.info("job2999")
        assert first is not None
        assert last is not None
        with pytest.raises(StoreError, match="is not a usable SQLite database"):
            await read_all(app)


async def test_a_file_that_stays_locked_is_said_to_be_after_the_time_given(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db?busy_timeout=0.3s"
    async with jobs.build(url) as app:
        tell = app.tasks["tell"]
        with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            answers = await asyncio.gather(*(tell.enqueue("x") for _ in range(100)), return_exceptions=True)
            # Those that waited together are told together; each for itself would be 30 s.
            assert time.monotonic() - begun < 5
            assert {type(answer) for answer in answers} == {StoreUnavailable}
            assert (
                "stayed locked by another process for 0.3 s. Look for a program that keeps a transaction open"
                in str(answers[0])
            )
            assert (await app.jobs.list()).jobs == ()  # reading goes on
            other.execute("ROLLBACK")
        await tell.enqueue("x")
        assert len((await app.jobs.list()).jobs) == 1
    with closing(sqlite3.connect(tmp_path / "plain.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE mine (a)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match=r"stayed locked by another process for 0.2 s"):
            async with App(f"sqlite:///{tmp_path}/plain.db?busy_timeout=0.2s"):
                pass


async def test_a_worker_waits_for_a_file_that_is_locked_for_long(site: Site) -> None:
    async with site.app() as app:
        worker = site.worker(url=f"{site.url}?busy_timeout=0.1s", lease="30s")
        await worker.ready()
        handles = await site.add(app, "hop", (0.3,), (0.3,))
        await worker.said("started")
        with closing(sqlite3.connect(site.database, isolation_level=None, timeout=5)) as other:
            other.execute("BEGIN IMMEDIATE")
            await worker.said("The store is away; trying again until it is back.")
            other.execute("ROLLBACK")
        await all_ended(handles, app)
        await worker.said("The store is back.")
        assert await worker.stop() == 0
        assert site.check(lease=30.0).executions == 2
