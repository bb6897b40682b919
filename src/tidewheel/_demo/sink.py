"""A mail server that keeps what it gets: every mail becomes an .eml file, once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tidewheel._demo.mail import job_of

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope

ANSWER_AFTER = 0.25
"""Seconds between keeping a mail and saying so. Real servers take their time; here it makes sure that a killed
worker leaves mails behind that arrived without its knowing."""

_HOLD_STEP, _HOLD_STEPS = 0.02, 250


@dataclass(frozen=True, slots=True)
class Delivery:
    """One mail accepted over SMTP."""

    job: str
    """The job that sent it, from the Message-ID."""
    to: str
    at: int
    """Microseconds since 1970."""
    again: bool
    """The mail was here already: it was counted and not kept twice."""


class MailSink:
    """An SMTP server on 127.0.0.1 that writes mails into a folder and deliveries into a ledger.

    It knows the mails of earlier runs from both, so it counts right when the demo goes on after a kill.
    Use it as `async with MailSink(...) as sink: sink.port`.
    """

    def __init__(
        self, folder: Path, ledger: Path, *, answer_after: float = ANSWER_AFTER, now: Callable[[], int] | None = None
    ) -> None:
        self.folder = folder
        self.ledger = ledger
        self.deliveries: list[Delivery] = read_ledger(ledger)
        self.in_flight = 0
        """Mails kept whose sender has not been told yet."""
        self.holding = False
        """Senders are kept waiting, for a while: whoever sends a mail now is still at it when the worker is killed."""
        self.failure: OSError | None = None
        """Why a mail could not be written; the sender is asked to come back later."""
        self.port = 0
        self._answer_after = answer_after
        self._now = now or (lambda: time.time_ns() // 1000)
        self._known = {delivery.job for delivery in self.deliveries}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        from aiosmtpd.smtp import SMTP

        for part in self.folder.glob(".*.part"):
            part.unlink(missing_ok=True)
        self._mend_ledger()
        loop = asyncio.get_running_loop()
        # aiosmtpd's own Controller needs a port number and a thread; the system picks a free port only here.
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="localhost", ident="tidewheel demo", loop=loop), "127.0.0.1", 0
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: ARG002, N802 - aiosmtpd's
        """Keep a mail (called by aiosmtpd; the answer is SMTP's)."""
        content = envelope.content
        data = content.encode() if isinstance(content, str) else content or b""
        mail = message_from_bytes(data, policy=policy.default)
        if not mail["Message-ID"]:
            return "550 5.6.0 A mail without Message-ID is not taken: its repetition could not be told from a new one"
        self.in_flight += 1
        try:
            self._keep(job_of(str(mail["Message-ID"])), ", ".join(envelope.rcpt_tos), data)
            await asyncio.sleep(self._answer_after)
            for _ in range(_HOLD_STEPS):
                if not self.holding:
                    break
                await asyncio.sleep(_HOLD_STEP)
        except OSError as error:
            self.failure = error
            return "452 4.3.1 The mail cannot be written now"
        finally:
            self.in_flight -= 1
        return "250 2.0.0 Kept"

    def _mend_ledger(self) -> None:
        """After a kill: end a line that was cut off, and add the mail that was written and not yet noted."""
        if self.ledger.exists() and not self.ledger.read_bytes().endswith(b"\n"):
            with self.ledger.open("a", encoding="utf-8") as file:
                file.write("\n")
        names = {file_name(job) for job in self._known}
        for path in sorted(self.folder.glob("*.eml")):
            if path.stem not in names:
                mail = message_from_bytes(path.read_bytes(), policy=policy.default)
                self._record(job_of(str(mail["Message-ID"])), str(mail["To"]), path.stat().st_mtime_ns // 1000)

    def _keep(self, job: str, to: str, data: bytes) -> None:
        path = self.folder / f"{file_name(job)}.eml"
        if not path.exists():
            part = path.with_name(f".{path.name}.part")
            part.write_bytes(data)
            part.replace(path)
        self._record(job, to, self._now())

    def _record(self, job: str, to: str, at: int) -> None:
        delivery = Delivery(job, to, at, again=job in self._known)
        with self.ledger.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"job": job, "to": to, "at": at}) + "\n")
        self.deliveries.append(delivery)
        self._known.add(job)


def read_ledger(ledger: Path) -> list[Delivery]:
    """What earlier runs delivered. A last line cut off by a kill is no delivery: its mail is found by its file."""
    deliveries: list[Delivery] = []
    seen: set[str] = set()
    lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []
    for line in lines:
        try:
            entry = json.loads(line)
            delivery = Delivery(str(entry["job"]), str(entry["to"]), int(entry["at"]), entry["job"] in seen)
        except (ValueError, KeyError, TypeError):
            continue
        seen.add(delivery.job)
        deliveries.append(delivery)
    return deliveries


def file_name(job: str) -> str:
    """A file name for a job id, whatever a sender made of it."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}", job):
        return job
    return "mail-" + hashlib.sha256(job.encode()).hexdigest()[:24]
