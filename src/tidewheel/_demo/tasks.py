"""The app of the demo and its tasks: what an application would write.

The process that starts it says where things are, in the variables of `environment`, because a worker on another day
has another mail server.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from tidewheel import (
    FOREVER,
    App,
    DeadLetter,
    Retention,
    RetryPolicy,
    current_job,
    exponential,
    fixed,
)
from tidewheel._demo import mail, reports, rows
from tidewheel._demo.customers import Customer
from tidewheel._demo.environment import OUTPUT, SMTP, STORE
from tidewheel._demo.folder import OutputFolder
from tidewheel._demo.thumbnails import BadPicture, Thumbnails, make_thumbnails

# Rows are kept for ever: a finished job's id is what keeps a second run from doing its work again.
app = App(
    os.environ.get(STORE) or "sqlite:///demo-output/demo.db",
    retention=Retention(completed=FOREVER, failed=FOREVER),
)

# Many tries, soon after one another: the demo kills workers, and may be killed itself, as often as people like.
PATIENT = RetryPolicy(50, exponential("500ms", cap="5s"), never=(BadPicture,))


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail the server has taken."""

    to: str
    message_id: str
    answer: str


@app.task(name="make_thumbnails", queue="pictures", run_in="process", retry=PATIENT, timeout="2m", max_crashes=20)
def thumbnails(source: str, target: str) -> Thumbnails:
    """CPU-bound: runs in a process of its own."""
    job = current_job()

    def step(done: int, of: int, name: str) -> None:
        job.check()  # a worker that lost the job stops here
        job.progress({"done": done, "of": of, "now": name})

    made = make_thumbnails(Path(source), Path(target), owner=str(job.epoch), step=step)
    job.log.info("%d files of %s", len(made.files), Path(source).name)
    return made


@app.task(name="send_welcome", queue="mails", retry=PATIENT, timeout="20s", max_crashes=20)
async def send_welcome(customer: Customer) -> Sent:
    """Waits for the network: runs on the event loop."""
    return await _send(mail.welcome(customer))


@app.task(name="send_reminder", queue="mails", retry=PATIENT, timeout="20s", max_crashes=20)
async def send_reminder(customer: Customer) -> Sent:
    """The same, ordered now and due later."""
    return await _send(mail.reminder(customer))


async def _send(letter: mail.Letter) -> Sent:
    job = current_job()
    written_at = datetime.fromtimestamp(job.enqueued_at / 1_000_000, UTC)
    message = mail.compose(letter, job_id=job.id, attempt=job.attempt, written_at=written_at)
    host, _, port = os.environ[SMTP].rpartition(":")
    answer = await mail.deliver(message, host=host, port=int(port))
    return Sent(letter.customer.email, mail.message_id(job.id), answer)


@app.task(name="ask_flaky_service", queue="chores", retry=RetryPolicy(20, fixed("1s")), max_crashes=20)
def ask_flaky_service(question: str) -> str:
    """Fails twice, then answers. A plain function: runs in a thread."""
    job = current_job()
    job.wait_stopped(0.2)
    if job.attempt <= 2:
        raise ConnectionError(f"no answer to {question!r}: the service is down")
    job.log.info("answered in attempt %d", job.attempt)
    return "42"


@app.task(name="read_invoice", queue="chores", retry=RetryPolicy(2, fixed("500ms")), max_crashes=20)
def read_invoice(number: str, amounts: list[str]) -> str:
    """Cannot work with what it gets: ends as a dead letter that shows where and why."""
    return f"{number}: {_total(amounts)}"


def _total(amounts: list[str]) -> Decimal:
    return sum((_amount(text) for text in amounts), Decimal(0))


def _amount(text: str) -> Decimal:
    if not text.replace(".", "", 1).isdigit():
        raise ValueError(f"{text!r} is no amount: write digits, as in 12.50")
    return Decimal(text)


@app.task(name="write_csv", queue="reports", retry=PATIENT, max_crashes=20)
def write_csv(target: str, tag: str) -> int:
    """A plain function that asks the store through the bridge for sync code. Gives the number of rows."""
    return reports.write_csv(Path(target), app.run_sync(rows.read(app, tag)))


@app.task(name="write_xlsx", queue="reports", retry=PATIENT, max_crashes=20)
def write_xlsx(target: str, tag: str) -> int:
    """The same as a workbook with a chart."""
    return reports.write_xlsx(Path(target), app.run_sync(rows.read(app, tag)))


@app.on_dead_letter
async def write_down(dead: DeadLetter) -> None:
    """Somebody should hear of a dead letter. Here it is a file; elsewhere it may be a message to a team."""
    folder = OutputFolder(Path(os.environ[OUTPUT])).dead_letters
    text = (
        f"job       {dead.id}\ntask      {dead.kind} (queue {dead.queue})\nattempts  {dead.attempts}\n"
        f"arguments {dead.args}\n\n{dead.error.type}: {dead.error.message}\n\n{dead.error.traceback}"
    )
    path = folder / f"{dead.id}.txt"
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
