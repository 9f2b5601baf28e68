# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real servers of a director, and what a test does beside it, step by step.

director.py DIRECTORY COMMAND...: run the command, which becomes keepalived, and take the steps in DIRECTORY/steps.
What was there at the end of each is written to DIRECTORY/seen. The servers listen on all addresses of this network
namespace; keepalived's is another one.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HTTP, HTTPS = 8080, 8443
# Where commands that keepalived runs leave what they were run for.
RAN = Path("/run/ran")
FIRST = Path("/run/first")
PATIENCE_S = 60

# By the path, as each check has its own, with the status; and by the server's address.
requests: Counter[str] = Counter()
asked: dict[str, dict[str, str | None]] = {}
connections: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    """Answers as the path says: /204 with this status, /200/500 with the second one while FIRST is not there."""

    # keepalived reads until the end of the connection.
    protocol_version = "HTTP/1.0"

    def setup(self) -> None:
        super().setup()
        host, port = self.connection.getsockname()[:2]
        self.place = f"{host.removeprefix('::ffff:')}:{port}"
        connections[self.place] += 1

    def do_GET(self) -> None:
        asked[self.path] = {"place": self.place, "host": self.headers["Host"]}
        statuses = re.findall(r"/(\d{3})", self.path)
        if not statuses:
            requests[self.path] += 1
            threading.Event().wait()
        status = statuses[0] if FIRST.exists() else statuses[-1]
        requests[f"{self.path} {status}"] += 1
        self.send_response(int(status))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A check that gave up is no error."""


def serve(port: int, wrap: Callable[[socket.socket], socket.socket] = lambda it: it) -> None:
    server = Server(("::", port), Handler)
    server.socket = wrap(server.socket)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def place(text: str) -> str:
    """An address with its port, or a mark, as the kernel writes them."""
    address, _colon, port = text.rpartition(":")
    if not address:
        return str(int(text, 16))
    if "[" in address:
        return f"{address}:{int(port, 16)}"
    return f"{socket.inet_ntoa(bytes.fromhex(address))}:{int(port, 16)}"


def table(text: str) -> dict[str, dict[str, Any]]:
    """Of virtual servers: how each spreads, and how it reaches which servers with which weight."""
    found: dict[str, dict[str, Any]] = {}
    servers: dict[str, str] = {}
    for kind, where, *rest in (line.split() for line in text.splitlines()[3:]):
        if kind == "->":
            servers[place(where)] = " ".join(rest[:2])
        else:
            servers = {}
            found[f"{kind} {place(where)}"] = {"spread": " ".join(rest), "servers": servers}
    return found


def state(pid: int) -> dict[str, Any]:
    return {
        "table": table(Path(f"/proc/{pid}/net/ip_vs").read_text()),
        "ran": {file.name: file.read_text() for file in RAN.iterdir()},
        "requests": dict(requests),
        "asked": dict(asked),
        "connections": dict(connections),
    }


def reached(until: dict[str, Any], now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether these virtual servers have these servers, these commands ran, and so many more requests came."""
    servers = {where: virtual["servers"] for where, virtual in now["table"].items()}
    more = until.get("requests", {})
    return (
        until.get("servers", {}).items() <= servers.items()
        and until.get("ran", {}).items() <= now["ran"].items()
        and all(now["requests"].get(path, 0) - before["requests"].get(path, 0) >= more[path] for path in more)
    )


def take(step: dict[str, Any], pid: int) -> tuple[dict[str, Any], bool]:
    """What was there at its end, and whether it came to it."""
    before = state(pid)
    for path, text in step.get("files", {}).items():
        if text is None:
            Path(path).unlink()
        else:
            Path(path).write_text(text)
    until = time.monotonic() + PATIENCE_S
    while not (done := reached(step["until"], now := state(pid), before)) and time.monotonic() < until:
        time.sleep(0.05)
    return now, done


def main(directory: Path, command: list[str]) -> None:
    serve(HTTP)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/run/certificate", "/run/key")
    # In the thread of a connection: a check that does not speak TLS holds up no other one.
    serve(HTTPS, lambda it: context.wrap_socket(it, server_side=True, do_handshake_on_connect=False))
    with (directory / "log").open("w") as log:
        keepalived = subprocess.Popen(command, stdout=log, stderr=log)
    seen = {}
    for step in json.loads((directory / "steps").read_text()):
        seen[step["name"]], done = take(step, keepalived.pid)
        (directory / "seen").write_text(json.dumps(seen, indent=1))
        if not done:
            break


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
