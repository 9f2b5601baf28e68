# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers: identity, compute, and the socket on which the lab says what it wants."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.cloudpods.admin import VERBS
from lab.cloudpods.dataplane import DataPlane, MemoryPlane
from lab.cloudpods.emulator import Emulator
from lab.cloudpods.errors import not_found
from lab.cloudpods.world import World
from lab.emulation.emulator import Dropped
from lab.emulation.server import Admin, Handler, Server, UnixServer, bound, call, on_loopback, start, stop


class _Service(Handler):
    emulator: Emulator
    identity: bool

    def version_string(self) -> str:
        return "Yunion AppServer/Go/2018.4"

    def _any(self) -> None:
        text = self.text()
        if self.path.startswith("/v3") != self.identity:
            error = not_found("path", self.path)
            self.send_json(error.status, error.body)
            return
        try:
            token = self.headers.get("X-Auth-Token")
            status, answer, headers = self.emulator.handle(self.command, self.path, token, text)
        except Dropped:
            self.drop()
            return
        kind = {"Content-Type": "application/json;charset=utf-8"} if status == 200 else {}
        self.send_json(status, answer, {**kind, **headers})

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any


def serve(world: World, plane: DataPlane, *, identity: tuple[str, int], compute: tuple[str, int], admin: Path) -> None:
    """Serve for ever. When the admin socket answers, the network is as the world says."""
    emulator = Emulator(world, plane)
    emulator.urls = {"identity": "http://{}:{}/v3".format(*identity), "compute_v2": "http://{}:{}".format(*compute)}
    start(Server(identity, bound(_Service, emulator, identity=True)))
    start(Server(compute, bound(_Service, emulator, identity=False)))
    admin.unlink(missing_ok=True)
    UnixServer(admin, bound(Admin, emulator, verbs=VERBS)).serve_forever()


class Local(Emulator):
    """An emulator on loopback, for tests.

    ``auth_url``: the identity service's, ending with /v3; ``endpoint``: the compute service's, as the catalog has it.
    """

    def __init__(self, world: World, plane: DataPlane, admin: Path | None = None) -> None:
        super().__init__(world, plane)
        self.plane = plane
        identity, compute = (on_loopback(bound(_Service, self, identity=each)) for each in (True, False))
        self._servers = [identity, compute]
        self.auth_url = f"http://127.0.0.1:{identity.server_port}/v3"
        self.endpoint = f"http://127.0.0.1:{compute.server_port}"
        self.urls = {"identity": self.auth_url, "compute_v2": self.endpoint}
        if admin is not None:
            self._servers.append(start(UnixServer(admin, bound(Admin, self, verbs=VERBS)), 0.05))

    def admin(self, verb: str, path: str, body: Any = None) -> Any:
        """What the admin socket would answer; ValueError says what is wrong."""
        return call(VERBS, self, verb, path, body)

    def close(self) -> None:
        """Stop serving."""
        stop(self._servers)
        super().close()


@contextlib.contextmanager
def local(world: World, plane: DataPlane | None = None, admin: Path | None = None) -> Iterator[Local]:
    """An emulator on loopback as long as the block lasts. Nothing takes time unless it is told otherwise."""
    emulator = Local(world, plane or MemoryPlane(), admin)
    emulator.cloud.behaviour.change({"latency_s": 0, "propagation_s": 0})
    try:
        yield emulator
    finally:
        emulator.close()
