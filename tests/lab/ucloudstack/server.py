# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers: the API, and the socket on which the lab says what it wants."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.emulation.emulator import Dropped
from lab.emulation.server import Admin, Handler, Server, UnixServer, bound, call, on_loopback, start, stop
from lab.ucloudstack.dataplane import DataPlane, MemoryPlane
from lab.ucloudstack.emulator import PATH, VERBS, Emulator
from lab.ucloudstack.world import World

_NOT_THERE = b"<html><body>The console is not there.</body></html>"


class _Api(Handler):
    emulator: Emulator

    def _any(self) -> None:
        try:
            status, answer, headers = self.emulator.handle(self.command, self.path, None, self.text())
        except Dropped:
            self.drop()
            return
        if status == 200:
            self.send_json(status, answer, headers)
        else:
            self.send(status, _NOT_THERE, "text/html", headers)

    do_GET = do_POST = _any


def serve(world: World, plane: DataPlane, *, api: tuple[str, int], admin: Path) -> None:
    """Serve for ever. When the admin socket answers, the network is as the world says."""
    emulator = Emulator(world, plane)
    start(Server(api, bound(_Api, emulator)))
    admin.unlink(missing_ok=True)
    UnixServer(admin, bound(Admin, emulator, verbs=VERBS)).serve_forever()


class Local(Emulator):
    """An emulator on loopback, for tests. ``endpoint``: the API's URL."""

    def __init__(self, world: World, plane: DataPlane) -> None:
        super().__init__(world, plane)
        self._server = on_loopback(bound(_Api, self))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def admin(self, verb: str, path: str, body: Any = None) -> Any:
        """What the admin socket would answer; ValueError says what is wrong."""
        return call(VERBS, self, verb, path, body)

    def close(self) -> None:
        """Stop serving."""
        stop([self._server])
        super().close()


@contextlib.contextmanager
def local(world: World, plane: DataPlane | None = None) -> Iterator[Local]:
    """An emulator on loopback as long as the block lasts. Nothing takes time unless it is told otherwise."""
    emulator = Local(world, plane or MemoryPlane())
    emulator.cloud.behaviour.change({"latency_s": 0, "propagation_s": 0})
    try:
        yield emulator
    finally:
        emulator.close()
