"""What a new job cannot wait for: the same errors in every store."""

from __future__ import annotations

from tidewheel._model.job import NewJob
from tidewheel._store.base import MAX_BATCH


def check_after(new: NewJob) -> None:
    """Refuse what a new job cannot wait for, whatever the store has.

    Raises:
        ValueError: itself, or more jobs than `MAX_BATCH`.
    """
    if len(new.after) > MAX_BATCH:
        raise ValueError(
            f"The job {new.id} waits for {len(new.after):,} others; it may for {MAX_BATCH:,}. "
            "Let jobs in between wait for some of them each."
        )
    if any(child.id == new.id for child in new.after):
        raise ValueError(f"The job {new.id} would wait for itself.")


def no_child(parent: str, child: str) -> ValueError:
    """The error for a job that waits for one that does not exist."""
    return ValueError(
        f"The job {parent} would wait for {child}, which does not exist: it is not enqueued yet, was deleted or pruned, or its "
        "backlog is full. Nothing was enqueued. Enqueue what others wait for first, or before them in the same call."
    )
