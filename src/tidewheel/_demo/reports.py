"""The reports: every job as a line of a CSV file, and a workbook with sums, a chart and the details."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidewheel._demo import rows

if TYPE_CHECKING:
    from tidewheel import Job

COLUMNS = ("job", "task", "subject", "state", "attempts", "rescues", "enqueued", "finished", "seconds", "error")


def write_csv(target: Path, jobs: Iterable[Job]) -> int:
    """Write the jobs to `target`, which appears when it is whole; gives the number of lines."""
    lines = [_line(job) for job in jobs if job.queue != rows.REPORTS]

    def fill(part: Path) -> None:
        with part.open("w", encoding="utf-8-sig", newline="") as file:  # the signature is for Excel
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([_harmless(cell) for cell in line] for line in lines)

    _whole(target, fill)
    return len(lines)


def write_xlsx(target: Path, jobs: Iterable[Job]) -> int:
    """Write a workbook (sheets Summary, Pictures, Mails, Jobs) to `target`; gives the number of lines of Jobs."""
    import xlsxwriter  # type: ignore[import-untyped]  # it has no hints

    lines = [job for job in jobs if job.queue != rows.REPORTS]
    pictures = [_picture(job) for job in lines if job.queue == rows.PICTURES and job.result]
    mails = [_mail(job) for job in lines if job.queue == rows.MAILS and job.result]

    def fill(part: Path) -> None:
        # Names of files and people are text, whatever they begin with.
        options = {"strings_to_formulas": False, "strings_to_urls": False, "in_memory": True, "remove_timezone": True}
        with xlsxwriter.Workbook(str(part), options) as book:
            _summary(book, lines, pictures)
            picture_columns = ("picture", "width", "height", "original", *_FORMATS, "files")
            _sheet(book, "Pictures", picture_columns, pictures, (36, 8, 8, 12, 12, 12, 12, 8))
            _sheet(book, "Mails", ("to", "name", "Message-ID", "attempts", "sent"), mails, (36, 22, 62, 9, 20))
            _sheet(book, "Jobs", COLUMNS, [_line(job) for job in lines], (44, 18, 36, 11, 9, 8, 20, 20, 9, 60))

    _whole(target, fill)
    return len(lines)


_FORMATS = ("webp", "avif", "jpg")


def _line(job: Job) -> list[Any]:
    seconds = (job.finished_at - job.started_at) / 1e6 if job.finished_at and job.started_at else None
    error = f"{job.error.type}: {job.error.message}" if job.error else ""
    return [
        job.id, job.kind, rows.subject(job), job.state.value, job.attempt, job.crashes,
        _time(job.enqueued_at), _time(job.finished_at), None if seconds is None else round(seconds, 3), error,
    ]  # fmt: skip


def _picture(job: Job) -> list[Any]:
    made = rows.result(job)
    sums: Counter[str] = Counter()
    for file in made["files"]:
        sums[file["name"].rpartition(".")[2]] += file["bytes"]
    return [
        rows.subject(job), made["width"], made["height"], made["bytes"], *(sums[name] for name in _FORMATS),
        len(made["files"]),
    ]  # fmt: skip


def _mail(job: Job) -> list[Any]:
    sent, customer = rows.result(job), rows.arguments(job)["customer"]
    return [sent["to"], customer["name"], sent["message_id"], job.attempt, _time(job.finished_at)]


def _summary(book: Any, jobs: Sequence[Job], pictures: Sequence[Sequence[Any]]) -> None:
    sheet = book.add_worksheet("Summary")
    title, head = book.add_format({"bold": True, "font_size": 16}), book.add_format({"bold": True, "bottom": 1})
    number = book.add_format({"num_format": "#,##0"})
    sheet.hide_gridlines(2)
    sheet.set_column(0, 0, 22)
    sheet.set_column(1, 3, 14)
    sheet.write(0, 0, "Tidewheel demo", title)
    sheet.write_row(2, 0, ("jobs", "all", "completed", "failed"), head)
    line = 3
    for group in rows.GROUPS[:-1]:
        states = Counter(job.state.value for job in jobs if job.queue == group)
        done, dead = states["completed"], states["discarded"]
        sheet.write_row(line, 0, (group, states.total(), done, dead), number)
        line += 1
    line += 1
    first = line
    sheet.write_row(line, 0, ("thumbnails", "bytes", "files"), head)
    for offset, name in enumerate(_FORMATS):
        line += 1
        files = sum(int(picture[-1]) for picture in pictures) // len(_FORMATS)
        sheet.write_row(line, 0, (name, sum(int(picture[4 + offset]) for picture in pictures), files), number)
    chart = book.add_chart({"type": "column"})
    chart.add_series(
        {
            "name": "Bytes of all thumbnails",
            "categories": ["Summary", first + 1, 0, line, 0],
            "values": ["Summary", first + 1, 1, line, 1],
            "data_labels": {"value": True, "num_format": "#,##0"},
            "points": [{"fill": {"color": colour}} for colour in ("#2a9d8f", "#264653", "#e9c46a")],
            "gap": 60,
        }
    )
    chart.set_title({"name": "Thumbnails by format", "name_font": {"size": 13}})
    chart.set_y_axis({"name": "bytes", "num_format": "#,##0", "major_gridlines": {"visible": True}})
    chart.set_legend({"none": True})
    sheet.insert_chart(2, 5, chart, {"x_scale": 1.1, "y_scale": 1.1, "description": "Bytes of thumbnails by format"})


def _sheet(book: Any, name: str, columns: Sequence[str], lines: Sequence[Sequence[Any]], widths: Sequence[int]) -> None:
    sheet = book.add_worksheet(name)
    head = book.add_format({"bold": True, "bottom": 1})
    moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    for column, width in enumerate(widths):
        sheet.set_column(column, column, width)
    sheet.write_row(0, 0, columns, head)
    for row, line in enumerate(lines, start=1):
        for column, cell in enumerate(line):
            if isinstance(cell, datetime):
                sheet.write_datetime(row, column, cell, moment)
            else:
                sheet.write(row, column, cell)
    sheet.freeze_panes(1, 0)
    if lines:
        sheet.autofilter(0, 0, len(lines), len(columns) - 1)


def _time(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at // 1_000_000, UTC)


def _harmless(cell: Any) -> Any:
    """A cell that a spreadsheet will not take for a formula (file names may begin with anything)."""
    if isinstance(cell, datetime):
        return cell.isoformat()
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _whole(target: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write a file beside `target`, then put it in its place; nothing is left of one that failed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        fill(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
