"""Runs jobs on their last life one at a time in a worker.

A job that ends its process takes the jobs beside it along, and each of them loses a life. Where their next loss would
be their last, the guilty one must be alone among them: then it is the only one that is given up.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidewheel._model.job import Claimed


class Isolation:
    """The one place for a job on its last life, shared by the claimers of a worker."""

    def __init__(self) -> None:
        self._taken = False

    def ask(self) -> bool:
        """May this claim bring such a job? Whoever is told so must say `heard`, whatever the claim brought."""
        if self._taken:
            return False
        self._taken = True
        return True

    def heard(self, claimed: Iterable[Claimed]) -> None:
        """This is what the claim brought."""
        self._taken = any(job.last_life for job in claimed)

    def ended(self, job: Claimed) -> None:
        """The attempt at a job is over."""
        if job.last_life:
            self._taken = False
