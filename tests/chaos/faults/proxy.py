"""Connections are reset on the way, by a small proxy between some of the workers and the server."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct

from tests.chaos._scene import Scene
from tests.chaos.faults.base import Fault


class Proxy:
    """Passes bytes on between a loopback port of its own and the server's. `cut` resets connections, `hang` keeps them
    and passes nothing on.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: dict[int, tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._number = 0
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more; what is open is reset."""
        if self._server is not None:
            self._server.close()
        for number in list(self._open):
            self._reset(number)

    def cut(self, dice: random.Random, part: float) -> int:
        """Reset about this part of the open connections; gives how many."""
        chosen = [number for number in list(self._open) if dice.random() < part]
        for number in chosen:
            self._reset(number)
        return len(chosen)

    def hang(self) -> None:
        """Pass nothing on any more, until the end."""
        self._flows.clear()

    def _reset(self, number: int) -> None:
        for writer in self._open.pop(number, ()):
            found = writer.get_extra_info("socket")
            if found is not None:
                # Lingering for 0 seconds: what is unsent is thrown away, the other side gets a reset.
                with contextlib.suppress(OSError):
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._number += 1
        number = self._number
        self._open[number] = (writer, back)
        await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))
        self._reset(number)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


class Reset(Fault):
    """Resets half of the connections that go through the proxy."""

    name = "resets"

    def __init__(self, every: float, proxy: Proxy) -> None:
        super().__init__(every)
        self._proxy = proxy

    async def strike(self, scene: Scene, dice: random.Random) -> bool:
        return self._proxy.cut(dice, 0.5) > 0
