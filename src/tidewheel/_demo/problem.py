"""What only the person at the terminal can mend."""

from __future__ import annotations


class DemoProblem(Exception):
    """The demo cannot go on: what is wrong (with the value it is about) and what to do about it.

    `code` is the exit code: 2 when the demo was asked for something impossible, 1 when something failed on the way.
    """

    def __init__(self, what: str, remedy: str, *, code: int = 2) -> None:
        super().__init__(f"{what}\n{remedy}")
        self.what = what
        self.remedy = remedy
        self.code = code


NO_ROOM = "No space left"
"""How the operating system words a full disk: the text is all that is left of the error in a job's row."""
