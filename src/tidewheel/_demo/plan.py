"""Which jobs a run has. Their ids follow from what they are about, so planning again finds the same jobs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidewheel._demo.customers import Customer
from tidewheel._demo.folder import OutputFolder
from tidewheel._demo.inputs import Inputs

if TYPE_CHECKING:
    from tidewheel import PreparedJob

SPREAD = 8.0
"""Seconds over which the mails are spread, as a sender does who does not want to be taken for a spammer."""
MOST_APART = 1.0
"""Seconds between two mails at most."""
REMINDER_AFTER = 4.5
"""Seconds until the delayed job is due, at least; it comes after the last of the other mails."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The jobs of one output folder and one folder of pictures."""

    output: OutputFolder
    inputs: Inputs
    customers: Sequence[Customer]

    @property
    def tag(self) -> str:
        """What the jobs are found by."""
        return f"demo-{_digest(str(self.output.root), str(self.inputs.folder))}"

    def work(self) -> list[PreparedJob[Any]]:
        """Everything but the reports, in the order in which it should start."""
        from tidewheel._demo import tasks

        tags = (self.tag,)
        jobs: list[PreparedJob[Any]] = [
            tasks.ask_flaky_service.options(id=self._id("flaky"), tags=tags).job("the answer"),
            tasks.read_invoice.options(id=self._id("invoice"), tags=tags).job("INV-0007", ["12.50", "7.00", "3O.20"]),
        ]
        for picture in self.inputs.pictures:
            target = self.output.thumbnails / picture.relative_to(self.inputs.folder)
            job_id = self._id("picture", picture.stem, str(picture), *_version(picture))
            jobs.append(tasks.thumbnails.options(id=job_id, tags=tags).job(str(picture), str(target)))
        apart = min(MOST_APART, SPREAD / max(1, len(self.customers)))
        for customer in self.customers:
            job_id = self._id("welcome", customer.email)
            delay = (customer.number - 1) * apart
            jobs.append(tasks.send_welcome.options(id=job_id, tags=tags, delay=delay).job(customer))
        if self.customers:
            job_id = self._id("reminder", self.customers[0].email)
            due = max(REMINDER_AFTER, len(self.customers) * apart + 1)
            jobs.append(tasks.send_reminder.options(id=job_id, tags=tags, delay=due).job(self.customers[0]))
        return jobs

    def reports(self, done: Iterable[str]) -> list[PreparedJob[Any]]:
        """The reports on the jobs with these ids: other jobs, other reports."""
        from tidewheel._demo import tasks

        key = _digest(*sorted(done))
        folder, tags = self.output.reports, (self.tag,)
        return [
            tasks.write_csv.options(id=self._id("csv", key), tags=tags).job(str(folder / "jobs.csv"), self.tag),
            tasks.write_xlsx.options(id=self._id("xlsx", key), tags=tags).job(str(folder / "jobs.xlsx"), self.tag),
        ]

    def _id(self, *words: str) -> str:
        name = re.sub(r"[^a-z0-9]+", "-", "-".join(words[:2]).lower()).strip("-")[:48].strip("-")
        return f"{name}-{_digest(self.tag, *words)}"


def _digest(*words: str) -> str:
    """Twelve letters that stand for these words."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _version(picture: Path) -> tuple[str, str]:
    """Changes when the file does: a picture that was mended gets a new job."""
    try:
        stat = picture.stat()
    except OSError:  # gone, or not ours to look at: its job will say so
        return "", ""
    return str(stat.st_size), str(stat.st_mtime_ns)
