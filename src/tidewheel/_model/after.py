"""What a new job waits for: other jobs, its children. A graph grows from its leaves, so it has no circles."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

OnFailure: TypeAlias = Literal["fail", "continue", "ignore", "remove"]
"""What a child that was cancelled or given up means for its parent: it is given up, too; it starts at once and waits for
nobody; the child counts as ended; the child counts for nothing and is forgotten.
"""


class After(msgspec.Struct, frozen=True, gc=False):
    """A child of a new job."""

    id: str
    """A job that the store has, or that stands before in the same call."""
    on_failure: OnFailure = "fail"
