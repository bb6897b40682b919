"""`tidewheel why JOB`: one answer for a job that does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidewheel._cli.output import emit, json_option, say
from tidewheel._cli.params import examples, store_options
from tidewheel._cli.root import not_found
from tidewheel._cli.show import iso, safe
from tidewheel._cli.target import ask

if TYPE_CHECKING:
    from tidewheel import App, Why


@click.command(epilog=examples("tidewheel why 0199a3f0-7c1e-7d52-9c0a-3f1d2b4c5e6f --app shop.jobs:app"))
@click.argument("job_id", metavar="JOB")
@store_options
@json_option
def why(app: str | None, store: str | None, job_id: str, as_json: bool) -> int:
    """Say why a job does not run, or where it does: one answer, the first that applies."""

    async def question(found: App) -> Why:
        answer = await found.jobs.why(job_id)
        if answer is None:
            not_found(
                f"There is no job {job_id!r} in this store.",
                remedy="Check the id. Finished jobs go when their retention is over.",
            )
        return answer

    answer = ask(app, store, question)
    if as_json:
        until = None if answer.until is None else iso(answer.until)
        emit({"id": job_id, "code": answer.code, "text": answer.text, "until": until, "holders": list(answer.holders)})
        return 0
    from rich.text import Text

    say(Text.assemble((f"{answer.code}: ", "bold"), safe(answer.text)))
    return 0
