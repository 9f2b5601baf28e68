# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers: the API, and the socket on which the lab says what it wants."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

from lab import web
from lab.ucloudstack.dataplane import DataPlane, MemoryPlane
from lab.ucloudstack.emulator import PATH, Emulator
from lab.ucloudstack.errors import HttpError
from lab.ucloudstack.world import World


class _Api(web.Handler):
    emulator: Emulator

    def _any(self) -> None:
        text = self.text()
        try:
            kind = self.headers.get("Content-Type") or ""
            answer = self.emulator.handle(self.command, self.path, kind if text else "", text)
        except web.Dropped:
            self.drop()
        except HttpError as error:
            headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
            self.send(error.status, b"<html><body>The console is not there.</body></html>", "text/html", headers)
        else:
            self.send_json(200, answer)

    do_GET = do_POST = _any


def serve(world: World, plane: DataPlane, *, api: tuple[str, int], admin: Path) -> None:
    """Serve for ever. When the admin socket answers, the network is as the world says."""
    emulator = Emulator(world, plane)
    web.start(web.Server(api, web.bound(_Api, emulator=emulator)))
    admin.unlink(missing_ok=True)
    web.admin(admin, functools.partial(Emulator.admin, emulator)).serve_forever()


class Local(Emulator):
    """An emulator on loopback, for tests. ``endpoint``: the API's URL."""

    def __init__(self, world: World, plane: DataPlane) -> None:
        super().__init__(world, plane)
        self._server = web.start(web.Server(("127.0.0.1", 0), web.bound(_Api, emulator=self)), 0.05)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def close(self) -> None:
        """Stop serving."""
        web.stop([self._server])
        super().close()


@contextlib.contextmanager
def local(world: World, plane: DataPlane | None = None) -> Iterator[Local]:
    """An emulator on loopback as long as the block lasts. Nothing takes time unless it is told otherwise."""
    emulator = Local(world, plane or MemoryPlane())
    emulator.cloud.behaviour.change({"latency_s": 0})
    try:
        yield emulator
    finally:
        emulator.close()
