"""What operations and batches of them came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationResult(Generic[T]):
    """What became of one operation."""

    success: bool
    data: T | None = None
    """What it returned; None when it failed."""
    error: str | None = None
    """Why it failed, as `Class: message`; None when it succeeded."""
    exception: Exception | None = field(default=None, repr=False)
    """The exception of the last try."""
    duration: float
    """Seconds from the first try to the end, with the waits between the tries."""
    retries: int
    """Tries after the first one."""
    timestamp: datetime
    """When it ended, in UTC."""

    def unwrap(self) -> T:
        """The data; raises the exception when the operation failed."""
        if self.exception is not None:
            raise self.exception
        return cast("T", self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult(Generic[T]):
    """What became of a batch: some of its items may have failed."""

    results: tuple[OperationResult[T], ...]
    """One for each item, in the order of the items."""
    duration: float
    """Seconds from the start of the first item to the end of the last one."""
    timestamp: datetime
    """When it ended, in UTC."""

    @property
    def success(self) -> bool:
        """True when no item failed."""
        return all(result.success for result in self.results)

    @property
    def data(self) -> list[T]:
        """What the items that succeeded returned, in their order."""
        return [cast("T", result.data) for result in self.results if result.success]

    @property
    def failed(self) -> dict[int, OperationResult[T]]:
        """The items that failed, by their position."""
        return {place: result for place, result in enumerate(self.results) if not result.success}

    @property
    def error(self) -> str | None:
        """How many failed, and why the first one did; None when none did."""
        failed = list(self.failed.values())
        return f"{len(failed)} of {len(self.results)} failed; the first: {failed[0].error}" if failed else None

    @property
    def retries(self) -> int:
        """The retries of all items together."""
        return sum(result.retries for result in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationMetrics:
    """What a runner did since it was made or its metrics were reset."""

    operations: int = 0
    """Operations that came to an end. Cancelled ones do not count."""
    errors: int = 0
    """Those that failed for good."""
    retries: int = 0
    average_duration: float = 0.0
    """Seconds, with the waits between tries."""
    cache_size: int = 0
    """Values in the cache that are still good."""

    @property
    def error_rate(self) -> float:
        """Errors per operation, 0 to 1."""
        return self.errors / self.operations if self.operations else 0.0
