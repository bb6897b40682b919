"""The demonstration as a person runs it: `tidewheel demo` in a process of its own, with real files and real kills."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from email import message_from_bytes, policy
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

COMMAND = (sys.executable, "-m", "tidewheel", "demo")
CUSTOMERS = 4
PICTURES = {
    "wide.jpg": (1500, 900),
    "sub dir/clear [x].png": (700, 500),
    "tiny.gif": (40, 30),
    "upright.jpg": (300, 800),
}
BROKEN = {
    "cut.jpg": "is damaged",
    "empty.png": "is an empty file",
    "prose.webp": "is not a picture of a known format",
}


def demo(*options: str | Path | int, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, options)], capture_output=True, text=True, timeout=80, check=False, **more
    )


def start(*options: str | Path) -> subprocess.Popen[str]:
    """Start it, as the leader of a process group as a shell does."""
    return subprocess.Popen(
        [*COMMAND, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def fill(folder: Path) -> None:
    """A person's folder of pictures: good ones, broken ones, and what is none at all."""
    (folder / "sub dir").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    Image.effect_mandelbrot((1500, 900), (-2.0, -1.0, 1.0, 1.0), 40).convert("RGB").save(folder / "wide.jpg")
    Image.new("RGBA", (700, 500), (200, 30, 90, 80)).save(folder / "sub dir/clear [x].png")
    Image.linear_gradient("L").resize((40, 30)).convert("P").save(folder / "tiny.gif")
    lying = Image.Exif()
    lying[0x0112] = 6  # "turn me by 90 degrees": stored 800 x 300, seen 300 x 800
    Image.new("L", (800, 300), 120).save(folder / "upright.jpg", exif=lying)
    (folder / "cut.jpg").write_bytes((folder / "wide.jpg").read_bytes()[:9000])
    (folder / "empty.png").touch()
    (folder / "prose.webp").write_text("no picture")
    (folder / "notes.txt").write_text("not meant as one")
    (folder / ".hidden" / "trash.jpg").write_bytes(b"not looked at")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """One whole run over a folder of pictures, with the kill: its output folder, facts, and lines."""
    base = tmp_path_factory.mktemp("a person's files")
    fill(base / "pictures")
    output = base / "out put #1"
    done = demo("--input", base / "pictures", "--output", output, "--customers", CUSTOMERS, "--json")
    assert done.returncode == 0, done.stderr
    return output, json.loads(done.stdout), done.stderr


Finished = tuple[Path, dict[str, Any], str]


def test_everything_ends_and_nothing_is_lost_or_done_twice(finished: Finished) -> None:
    _, facts, lines = finished
    # pictures, welcome mails, a reminder, a flaky job, a bad one, two reports
    assert facts["jobs"] == len(PICTURES) + len(BROKEN) + CUSTOMERS + 1 + 2 + 2
    assert facts["ok"]
    assert facts["wrong"] == []
    assert len(facts["dead_letters"]) == len(BROKEN) + 1
    assert facts["completed"] == facts["jobs"] - len(facts["dead_letters"])
    assert facts["retried"] >= 2, "the flaky job and the bad one"
    assert facts["delayed"]["jobs"] == 1
    assert "answered '42'" in lines
    assert "has come due" in lines


def test_the_worker_is_killed_and_the_next_one_rescues_its_jobs(finished: Finished) -> None:
    _, facts, lines = finished
    assert facts["kill"]["running"] >= 1
    assert facts["kill"]["completed"] >= 1
    assert facts["kill"]["redone"] == 0
    assert facts["rescued"] >= facts["kill"]["running"]
    assert 1 <= facts["mails"]["sent_again"] <= facts["rescued"], "a mail was on its way at the kill"
    assert len(set(re.findall(r"worker \d started \(process (\d+)", lines))) == 2
    assert "kill -9" in lines


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_becomes_thumbnails_of_every_format_and_size(finished: Finished, name: str) -> None:
    output, _, _ = finished
    width, height = PICTURES[name]
    files = {path.name: path for path in (output / "thumbnails" / name).iterdir()}
    widths = [one for one in (1280, 640, 320) if one <= width] or [width]
    assert set(files) == {f"{one}.{ending}" for one in widths for ending in ("webp", "avif", "jpg")}
    for file, path in files.items():
        wanted = int(file.split(".")[0])
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == {".webp": "WEBP", ".avif": "AVIF", ".jpg": "JPEG"}[path.suffix]
            assert picture.size == (wanted, round(height * wanted / width))


def test_a_broken_picture_is_a_dead_letter_that_says_why(finished: Finished) -> None:
    output, facts, _ = finished
    dead = {letter["subject"]: letter for letter in facts["dead_letters"]}
    for name, reason in BROKEN.items():
        assert reason in dead[name]["message"]
        assert dead[name]["attempts"] - facts["rescued"] <= 1, "trying again would not help"
        assert not (output / "thumbnails" / name).exists()
    letter = dead["read invoice (INV-0007)"]
    assert "_amount" in letter["traceback"], "the stack shows the place"
    written = (output / "dead-letters" / f"{letter['id']}.txt").read_text()
    assert letter["message"] in written
    assert "_amount" in written
    assert not list(output.rglob("*.part")), "no halves lie about"


def test_each_customer_has_one_mail(finished: Finished) -> None:
    output, facts, _ = finished
    files = sorted((output / "mails").glob("*.eml"))
    assert len(files) == facts["mails"]["delivered"] == CUSTOMERS + 1
    mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in files]
    welcomes = [parseaddr(mail["To"])[1] for mail in mails if mail["Subject"].startswith("Welcome")]
    assert len(welcomes) == len(set(welcomes)) == CUSTOMERS
    assert "ada.okafor@example.com" in welcomes
    assert len({str(mail["Message-ID"]) for mail in mails}) == len(mails)
    for path, mail in zip(files, mails, strict=True):
        assert path.stem in str(mail["Message-ID"])
        text, html = mail.get_body(("plain",)), mail.get_body(("html",))
        assert text is not None
        assert html is not None
        assert "Hello" in text.get_content()
        (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
        assert picture.get_content().startswith(b"\x89PNG")
        assert f"cid:{picture['Content-ID'].strip(' <>')}" in html.get_content()


def test_the_reports_hold_what_the_store_holds(finished: Finished) -> None:
    output, facts, _ = finished
    with (output / "reports" / "jobs.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == facts["jobs"] - 2, "all but the reports themselves"
    states = [line["state"] for line in lines]
    assert states.count("discarded") == len(facts["dead_letters"])
    assert states.count("completed") == facts["completed"] - 2
    with zipfile.ZipFile(output / "reports" / "jobs.xlsx") as book:
        assert book.testzip() is None
        sheets = re.findall(r'<sheet name="(\w+)"', book.read("xl/workbook.xml").decode())
        assert sheets == ["Summary", "Pictures", "Mails", "Jobs"]
        assert "xl/charts/chart1.xml" in book.namelist()
        for sheet, count in ((2, len(PICTURES)), (3, CUSTOMERS + 1), (4, len(lines))):
            rows = re.findall(r"<row ", book.read(f"xl/worksheets/sheet{sheet}.xml").decode())
            assert len(rows) == 1 + count


def test_the_command_it_recommends_shows_its_jobs(finished: Finished) -> None:
    _, facts, _ = finished
    listed = [sys.executable, "-m", "tidewheel", "deadletters", "list", "--store", facts["store"]]
    shown = subprocess.run(listed, capture_output=True, text=True, timeout=20, check=True)
    assert facts["dead_letters"][0]["id"] in shown.stdout


def test_a_second_run_finds_all_done_and_a_changed_folder_is_noticed(finished: Finished) -> None:
    output, facts, _ = finished
    where = ("--input", output.parent / "pictures", "--output", output, "--customers", CUSTOMERS)
    again = demo(*where, "--plain")
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{facts['jobs']} of them known from an earlier run" in again.stdout
    assert str(output) in again.stdout
    assert "jobs list --store" in again.stdout
    (output / "thumbnails" / "tiny.gif" / "40.jpg").unlink()
    damaged = demo(*where, "--plain")
    assert damaged.returncode == 1
    assert "is gone: run the demo with --fresh" in " ".join(damaged.stdout.replace("│", " ").split())


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_run_that_was_killed_or_interrupted_goes_on(tmp_path: Path) -> None:
    output = tmp_path / "output"
    where = ("--output", output, "--pictures", "4", "--customers", "3", "--plain")

    killed = start(*where)
    wait_for(lambda: len(list(output.glob("mails/*.eml"))) >= 1, killed)
    before = len(list(output.glob("mails/*.eml")))
    killed.kill()  # the demo alone: its worker has to see by itself that it is gone
    text, _ = killed.communicate()
    workers = [int(pid) for pid in re.findall(r"worker \d started \(process (\d+)", text)]
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "the worker outlived the demo"
        time.sleep(0.05)

    interrupted = start(*where)
    wait_for(lambda: len(list(output.glob("mails/*.eml"))) > before, interrupted)
    interrupted.send_signal(signal.SIGINT)
    text, _ = interrupted.communicate(timeout=20)
    assert interrupted.returncode == 130, text
    assert "goes on where it stopped" in text

    done = demo(*where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "known from an earlier run" in done.stdout
    assert "no job lost, no finished job run again" in done.stdout
    assert len(list(output.glob("mails/*.eml"))) == 4
    assert len([path for path in output.glob("thumbnails/*") if path.is_dir()]) == 4
    assert (output / "reports" / "jobs.xlsx").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the lock is tried with Unix signals")
def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    where = ("--output", tmp_path / "output", "--pictures", "1", "--customers", "0", "--plain")
    first = start(*where)
    try:
        wait_for((tmp_path / "output" / "worker.log").exists, first)
        second = demo(*where)
        assert second.returncode == 1
        assert "in use by another demo" in second.stderr
        assert str(first.pid) in second.stderr
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=20)
    assert first.returncode == 130


BAD: Mapping[str, tuple[tuple[str, ...], int, str]] = {
    "no such folder": (("--input", "nowhere"), 2, "no such folder"),
    "a file": (("--input", "file.txt"), 2, "is a file, not a folder"),
    "an empty folder": (("--input", "empty"), 2, "is empty"),
    "no picture": (("--input", "texts"), 2, "has 1 file and no picture"),
    "output is a file": (("--output", "file.txt"), 2, "is a file, not a folder"),
    "output of somebody else": (("--output", "texts"), 2, "not the demo's"),
    "a store in memory": (("--store", "memory://"), 2, "lives in one process"),
    "an unknown store": (("--store", "oracle://x"), 2, "oracle"),
    "an unreadable store": (("--store", "sqlite:///file.txt"), 3, "file.txt"),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = tmp_path_factory.mktemp("places")
    (base / "empty").mkdir()
    (base / "texts").mkdir()
    (base / "texts" / "a.txt").write_text("x")
    (base / "file.txt").write_text("this is no database, and no folder either\n" * 200)
    yield base
    assert (base / "file.txt").read_text().startswith("this is")
    assert [path.name for path in (base / "texts").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_work_is_said_at_once(places: Path, case: str) -> None:
    options, code, said = BAD[case]
    if "--output" not in options:
        options = (*options, "--output", "out")
    done = demo(*options, "--pictures", "1", "--json", cwd=places)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert len(re.split(r"[.:] |\n", done.stderr.strip())) > 2, "what is wrong, and what to do"
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == code


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may all")
def test_folders_without_rights(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o000)
    for option in ("--input", "--output"):
        done = demo(option, tmp_path / "mine", "--output", tmp_path / "mine" / "out")
        assert done.returncode == 2
        assert "chmod" in done.stderr or "right" in done.stderr


def wait_for(reached: Any, process: subprocess.Popen[str], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    # A process that nobody has waited for is dead, too.
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
