"""The mails: how they are written, and how they are handed to an SMTP server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from html import escape
from typing import TYPE_CHECKING

from tidewheel._demo.pictures import monogram

if TYPE_CHECKING:
    from tidewheel._demo.customers import Customer

_DOMAIN = "demo.invalid"  # reserved: no mail server has it
_SENDER = formataddr(("Tidewheel demo", "hello@example.org"))


@dataclass(frozen=True, slots=True)
class Letter:
    """What one mail says, before it is a mail."""

    customer: Customer
    subject: str
    text: str
    """Paragraphs, parted by an empty line."""


def welcome(customer: Customer) -> Letter:
    text = (
        f"Hello {customer.name},\n\n"
        f"welcome aboard: you are customer number {customer.number}.\n\n"
        "This mail went over real SMTP to a server on your own machine, and no further."
    )
    return Letter(customer, f"Welcome, {customer.name.split()[0]}", text)


def reminder(customer: Customer) -> Letter:
    text = (
        f"Hello {customer.name},\n\n"
        "you asked to be reminded. This mail waited in the database, not in a worker's memory: "
        "the worker that was there when it was ordered has been killed since."
    )
    return Letter(customer, "You asked to be reminded", text)


def message_id(job_id: str) -> str:
    """The Message-ID of the mail a job sends.

    It depends on the job alone, so a mail that is sent again, because the worker died before it could say that it
    had sent it, is recognised as the same mail.
    """
    return f"<{job_id}@{_DOMAIN}>"


def job_of(message: str) -> str:
    """The job whose mail has this Message-ID."""
    return message.strip().removeprefix("<").removesuffix(">").removesuffix(f"@{_DOMAIN}")


def compose(letter: Letter, *, job_id: str, attempt: int, written_at: datetime) -> EmailMessage:
    """The mail, as text and as HTML with a picture inside. Two attempts of one job say the same."""
    customer = letter.customer
    mail = EmailMessage()
    mail["Subject"] = letter.subject
    mail["From"] = _SENDER
    mail["To"] = formataddr((customer.name, customer.email))
    mail["Date"] = format_datetime(written_at)
    mail["Message-ID"] = message_id(job_id)
    mail["X-Tidewheel-Attempt"] = str(attempt)
    mail.set_content(letter.text + "\n")
    picture = f"<monogram.{job_id[-12:]}@{_DOMAIN}>"
    paragraphs = "".join(f"<p>{escape(part)}</p>" for part in letter.text.split("\n\n"))
    mail.add_alternative(
        f'<html><body style="font-family: sans-serif; max-width: 32em">'
        f'<img src="cid:{picture[1:-1]}" width="96" height="96" alt="{escape(customer.initials)}">{paragraphs}</body></html>\n',
        subtype="html",
    )
    html = mail.get_payload(1)
    assert isinstance(html, EmailMessage)  # noqa: S101 - the second part is the one added just now
    html.add_related(
        monogram(customer.initials, customer.number),
        "image",
        "png",
        cid=picture,
        disposition="inline",
        filename="monogram.png",
    )
    return mail


async def deliver(mail: EmailMessage, *, host: str, port: int) -> str:
    """Hand the mail to the SMTP server; gives its last word.

    Raises:
        aiosmtplib.SMTPException: the server is not there, or refused; it may take the mail later.
    """
    import aiosmtplib

    _, answer = await aiosmtplib.send(
        mail, hostname=host, port=port, start_tls=False, use_tls=False, timeout=10, local_hostname="localhost"
    )
    return answer
