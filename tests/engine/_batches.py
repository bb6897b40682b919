"""What the tests of batch handlers share."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec


class Row(msgspec.Struct):
    tenant: str
    number: int = 0


class Book:
    """A batch handler that writes down its calls, and waits to be let out when it is told to."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self.leave = asyncio.Event()
        self.leave.set()

    @property
    def sizes(self) -> list[int]:
        return [len(call) for call in self.calls]

    async def numbers(self, numbers: list[int]) -> None:
        self.calls.append(numbers)
        await self.leave.wait()

    async def rows(self, rows: list[Row]) -> None:
        self.calls.append(rows)
        await self.leave.wait()
