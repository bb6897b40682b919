"""The parts of the demonstration that need no worker: the evidence it gives must be able to fail."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import smtplib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from tidewheel import ErrorInfo, Job, JobState
from tidewheel._demo import board, rows
from tidewheel._demo.customers import make_customers
from tidewheel._demo.folder import OutputFolder
from tidewheel._demo.inputs import find_pictures
from tidewheel._demo.kill import KillNote
from tidewheel._demo.pictures import draw_pictures
from tidewheel._demo.problem import DemoProblem
from tidewheel._demo.sink import Delivery, MailSink, file_name, read_ledger
from tidewheel._demo.summary import broken_promises
from tidewheel._demo.thumbnails import BadPicture, make_thumbnails


def a_job(**more: Any) -> Job:
    values: dict[str, Any] = {
        "id": "welcome-1", "kind": "send_welcome", "queue": rows.MAILS, "state": JobState.COMPLETED,
        "args": '{"customer": {"number": 1, "name": "Ada", "email": "ada@example.org"}}', "priority": 100, "run_at": 0,
        "lifo": False, "attempt": 1, "max_attempts": 50, "epoch": 1, "crashes": 0, "max_crashes": 20, "enqueued_at": 0,
        "started_at": 10, "finished_at": 100, "result": "{}",
    }  # fmt: skip
    return Job(**(values | more))


def sent(at: int, *, again: bool = False) -> Delivery:
    return Delivery("welcome-1", "ada@example.org", at, again)


def promises(*jobs: Job, deliveries: tuple[Delivery, ...] = (), kill: KillNote | None = None) -> list[str]:
    planned = ["welcome-1"]
    return broken_promises(jobs, planned, deliveries, kill, {file_name(job.id) for job in jobs})


class TestPromises:
    def test_all_is_well(self) -> None:
        assert promises(a_job(), deliveries=(sent(50),)) == []

    def test_a_rescued_job_may_send_again_before_it_is_done(self) -> None:
        rescued = a_job(attempt=2, epoch=3, crashes=1)
        assert promises(rescued, deliveries=(sent(20), sent(90, again=True))) == []

    def test_a_lost_job_is_noticed(self) -> None:
        assert "is lost" in promises()[0]

    def test_a_job_that_did_not_end_is_noticed(self) -> None:
        assert "has not ended" in promises(a_job(state=JobState.RUNNING, finished_at=None))[0]

    def test_a_mail_after_the_end_of_its_job_is_noticed(self) -> None:
        twice = (sent(50), sent(101, again=True))
        assert "after its job was recorded as completed" in promises(a_job(attempt=2, crashes=1), deliveries=twice)[0]

    def test_a_mail_sent_twice_in_one_attempt_is_noticed(self) -> None:
        assert "twice in one attempt" in promises(a_job(), deliveries=(sent(50), sent(60, again=True)))[0]

    def test_a_job_that_was_done_before_the_kill_and_ran_again_is_noticed(self) -> None:
        kill = KillNote(at=60, after=3.0, completed={"welcome-1": 1}, running=())
        assert promises(a_job(epoch=1), kill=kill) == []
        assert "has been run again" in promises(a_job(epoch=2), kill=kill)[0]

    def test_a_result_without_its_file_is_noticed(self, tmp_path: Path) -> None:
        made = {"folder": str(tmp_path), "files": [{"name": "320.jpg", "bytes": 1}]}
        job = a_job(id="welcome-1", queue=rows.PICTURES, result=json.dumps(made))
        assert "is gone" in promises(job)[0]
        (tmp_path / "320.jpg").touch()
        assert promises(job) == []


class TestKillNote:
    def test_it_comes_back_as_it_was(self, tmp_path: Path) -> None:
        path = tmp_path / "kill.json"
        assert KillNote.read(path) is None
        jobs = [a_job(epoch=4), a_job(id="two", state=JobState.RUNNING, finished_at=None)]
        note = KillNote.of(jobs, at=5, after=1.5)
        note.write(path)
        assert KillNote.read(path) == note == KillNote(5, 1.5, {"welcome-1": 4}, ("two",))


MAIL = "Message-ID: <{id}@demo.invalid>\r\nTo: ada@example.org\r\n\r\nHello\r\n"


class TestSink:
    def a_sink(self, folder: Path) -> MailSink:
        (folder / "mails").mkdir(exist_ok=True)
        return MailSink(folder / "mails", folder / "ledger", answer_after=0, now=lambda: 7)

    async def send(self, sink: MailSink, *mails: str) -> None:
        def talk() -> None:
            with smtplib.SMTP("127.0.0.1", sink.port, timeout=5) as client:
                for mail in mails:
                    client.sendmail("a@example.org", ["ada@example.org"], mail)

        await asyncio.to_thread(talk)

    async def test_a_mail_is_kept_once_and_counted_each_time(self, tmp_path: Path) -> None:
        async with self.a_sink(tmp_path) as sink:
            await self.send(sink, MAIL.format(id="one"), MAIL.format(id="two"), MAIL.format(id="one"))
        assert sorted(path.name for path in (tmp_path / "mails").iterdir()) == ["one.eml", "two.eml"]
        assert [(one.job, one.at, one.again) for one in sink.deliveries] == [
            ("one", 7, False), ("two", 7, False), ("one", 7, True)
        ]  # fmt: skip
        assert read_ledger(tmp_path / "ledger") == sink.deliveries

    async def test_it_knows_the_mails_of_a_run_that_was_killed(self, tmp_path: Path) -> None:
        async with self.a_sink(tmp_path) as sink:
            await self.send(sink, MAIL.format(id="one"))
        ledger = tmp_path / "ledger"
        ledger.write_text(ledger.read_text() + '{"job": "tw')  # cut off by the kill ...
        (tmp_path / "mails" / "two.eml").write_text(MAIL.format(id="two"))  # ... while its mail was written
        (tmp_path / "mails" / ".three.eml.part").touch()
        async with self.a_sink(tmp_path) as sink:
            await self.send(sink, MAIL.format(id="two"), MAIL.format(id="three"))
        assert [(one.job, one.again) for one in read_ledger(ledger)] == [
            ("one", False), ("two", False), ("two", True), ("three", False)
        ]  # fmt: skip
        assert not list((tmp_path / "mails").glob(".*"))

    async def test_a_mail_that_cannot_be_told_from_others_is_refused(self, tmp_path: Path) -> None:
        async with self.a_sink(tmp_path) as sink:
            with pytest.raises(smtplib.SMTPDataError, match="Message-ID"):
                await self.send(sink, "To: ada@example.org\r\n\r\nHello\r\n")

    async def test_a_full_disk_is_said_and_remembered(self, tmp_path: Path) -> None:
        async with self.a_sink(tmp_path) as sink:
            (tmp_path / "mails").rmdir()
            with pytest.raises(smtplib.SMTPDataError) as refused:
                await self.send(sink, MAIL.format(id="one"))
        assert refused.value.smtp_code == 452, "come back later"
        assert sink.failure is not None

    @pytest.mark.parametrize("job", ["../../etc/passwd", "", ".hidden", "a" * 200, "a/b", "a\0b"])
    def test_no_sender_chooses_the_place_of_a_file(self, job: str) -> None:
        assert file_name(job).startswith("mail-")


class TestThumbnails:
    def test_nothing_is_left_when_a_picture_is_broken(self, tmp_path: Path) -> None:
        source = tmp_path / "a.jpg"
        source.write_bytes(b"\xff\xd8\xff\xe0 is how they begin")
        with pytest.raises(BadPicture, match=r"a\.jpg"):
            make_thumbnails(source, tmp_path / "out" / "a.jpg")
        assert not (tmp_path / "out").exists()

    def test_nothing_is_left_when_it_is_stopped_half_way(self, tmp_path: Path) -> None:
        Image.new("RGB", (700, 700)).save(tmp_path / "a.png")

        def stop_at_three(done: int, of: int, name: str) -> None:
            assert (of, name) != (0, "")
            if done == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make_thumbnails(tmp_path / "a.png", tmp_path / "out" / "a.png", step=stop_at_three)
        assert list((tmp_path / "out").iterdir()) == []

    def test_what_a_killed_attempt_left_is_cleared_and_its_result_replaced(self, tmp_path: Path) -> None:
        Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
        target = tmp_path / "out" / "a.png"
        first = make_thumbnails(tmp_path / "a.png", target, owner="1")
        (target / "old.jpg").touch()
        left = target.parent / f".{hashlib.sha256(b'a.png').hexdigest()[:12]}.1.part"
        left.mkdir()
        again = make_thumbnails(tmp_path / "a.png", target, owner="2")
        assert again == first
        assert sorted(path.name for path in target.iterdir()) == ["30.avif", "30.jpg", "30.webp"]
        assert list(target.parent.iterdir()) == [target]

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "YCbCr"])
    def test_every_sort_of_picture(self, tmp_path: Path, mode: str) -> None:
        source = tmp_path / f"a.{'tif' if mode in ('CMYK', 'F', 'YCbCr') else 'png'}"
        Image.new(mode, (8, 6)).save(source)
        made = make_thumbnails(source, tmp_path / "out")
        assert [(one.width, one.height) for one in made.files] == [(8, 6)] * 3


class TestInputs:
    def test_hidden_files_and_the_output_are_not_looked_at(self, tmp_path: Path) -> None:
        for name in ("b.JPG", "a.png", ".c.png", "out/d.png", "sub/e.webp", "notes.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        found = find_pictures(tmp_path, leave_out=tmp_path.resolve() / "out")
        assert [path.name for path in found.pictures] == ["a.png", "b.JPG", "e.webp"]
        assert found.others == 1

    def test_fresh_does_not_remove_what_was_handed_in(self, tmp_path: Path) -> None:
        folder = OutputFolder(tmp_path / "out")
        folder.prepare()
        folder.pictures.mkdir()
        with pytest.raises(DemoProblem, match="which is --input"):
            folder.clear(keep=folder.pictures)
        (folder.root / "mine.txt").touch()
        folder.clear(keep=None)
        assert (folder.root / "mine.txt").exists()
        assert not folder.pictures.exists()


def test_the_same_pictures_and_customers_every_time(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in draw_pictures(tmp_path / "a", 2)]
    random.seed(1)
    assert [path.read_bytes() for path in draw_pictures(tmp_path / "b", 2)] == first
    customers = make_customers(600)
    assert len({one.email for one in customers}) == 600
    assert all(one.email.isascii() for one in customers)
    assert make_customers(600) == customers


class TestBoard:
    def lines(self, *steps: Job) -> list[str]:
        made = board.Board()
        for at, job in enumerate(steps):
            made.take([job], at)
        return [line.text for line in made.lines]

    @pytest.fixture
    def step(self) -> Callable[..., Job]:
        start = a_job(state=JobState.AVAILABLE, attempt=0, epoch=0, finished_at=None, result=None)
        return lambda **more: msgspec.structs.replace(start, **more)

    def test_it_tells_of_failures_rescues_and_ends(self, step: Callable[..., Job]) -> None:
        error = ErrorInfo("builtins.ConnectionError", "nobody\x1b[2J there")
        told = self.lines(
            step(),
            step(state=JobState.RUNNING, attempt=1, epoch=1),
            step(state=JobState.RETRYABLE, attempt=1, epoch=1, error=error),
            step(state=JobState.RUNNING, attempt=2, epoch=2, error=error),
            step(state=JobState.AVAILABLE, attempt=2, epoch=3, crashes=1, error=error),
            step(state=JobState.COMPLETED, attempt=3, epoch=4, crashes=1, error=error, result="{}"),
        )
        assert told == [
            "ada@example.org: attempt 1 failed (nobody\N{REPLACEMENT CHARACTER}[2J there); it will be tried again",
            "ada@example.org: its worker is dead, its lease is over: it runs again",
            "ada@example.org: mail delivered in attempt 3",
        ]

    def test_it_counts_parts_of_what_is_under_way(self, step: Callable[..., Job]) -> None:
        made = board.Board()
        made.take([step(state=JobState.RUNNING, progress='{"done": 1, "of": 4}'), a_job(id="two")], 0)
        assert made.groups[rows.MAILS].done == 1.25
        assert made.groups[rows.MAILS].planned == 2
