# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A load balancer in front of nodes that are directories, and the mechanism for it: all fit nodes serve at once.

An operator takes a node out by a file in ``out``; a test breaks one by a file in ``broken``. The balancer notices that
late. It says in the file ``serving`` to whom it sends requests.
"""

from __future__ import annotations

import contextlib
import random
import socketserver
import threading
import time
from pathlib import Path

import yaml

MECHANISM = {
    "operations": 0,
    "unheld_operations": 0,
    "shared": True,
    "elected": False,
    "fails_over": True,
    "on_interface": False,
    "standby_asks": False,
    "waits_for_zone": False,
    "moves": True,
    "probes_from": ["192.0.2.0/24"],
}
HOLDER = [
    {
        "name": "Name the nodes that the balancer asks",
        "ansible.builtin.set_fact": {
            "holder_hosts": "{{ lookup('ansible.builtin.file', site ~ '/serving') | split }}",
            "holder_notes": [],
        },
    }
]
MOVE = [
    {
        "name": "Let the target serve",
        "ansible.builtin.file": {"path": "{{ site }}/out/{{ switchover_target }}", "state": "absent"},
        "delegate_to": "localhost",
        "when": "switchover_target != ''",
    },
    {
        "name": "Take the source out",
        "ansible.builtin.copy": {
            "dest": "{{ site }}/out/{{ switchover_source }}",
            "content": "{{ switchover_ends_s }}",
            "mode": "0644",
        },
        "delegate_to": "localhost",
        "when": "switchover_source != ''",
    },
]
ENTRY = {"short_description": "Of a test", "options": {}}


def add_mechanism(collection: Path) -> None:
    """Add the mechanism, which is called balanced, to a copy of the collection."""
    role = collection / "roles/balanced"
    entries = {"main": [], "check": [], "absent": [], "holder": HOLDER, "move": MOVE}
    files = {f"tasks/{name}.yml": tasks for name, tasks in entries.items()}
    files |= {
        "meta/mechanism.yml": MECHANISM,
        "meta/argument_specs.yml": {"argument_specs": dict.fromkeys(entries, ENTRY)},
    }
    for name, content in files.items():
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text(yaml.safe_dump(content))


class Balancer(socketserver.ThreadingTCPServer):
    """Sends each connection to one of its nodes; it notices after ``slow_s`` that one is broken, or works again."""

    daemon_threads = True
    request_queue_size = 200

    def __init__(self, site: Path, nodes: list[str], slow_s: float) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.site, self.nodes, self.slow_s = site, nodes, slow_s
        self.serving = list(nodes)
        self._seen = dict.fromkeys(nodes, (True, 0.0))  # whether it works, and since when it has been so
        self._chance = random.Random(1)
        self._over = threading.Event()
        for name in ("out", "broken"):
            (site / name).mkdir()
        self._look()
        for work in (self.serve_forever, self._watch):
            threading.Thread(target=work, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def choose(self) -> str | None:
        """The node that gets the next connection."""
        serving = self.serving
        return self._chance.choice(serving) if serving else None

    def works(self, node: str | None) -> bool:
        return node is not None and not (self.site / "broken" / node).exists()

    def _look(self) -> None:
        now = time.monotonic()
        for node, (well, _since) in self._seen.items():
            if self.works(node) != well:
                self._seen[node] = (not well, now)
        fit = [node for node, (well, since) in self._seen.items() if well == (now - since >= self.slow_s)]
        self.serving = [node for node in fit if not (self.site / "out" / node).exists()]
        (self.site / "serving.new").write_text(" ".join(self.serving))
        (self.site / "serving.new").rename(self.site / "serving")

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._look()

    def end(self) -> None:
        self._over.set()
        self.shutdown()
        self.server_close()


class Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        node = self.server.choose()
        with contextlib.suppress(OSError):
            if self.request.recv(65536) and self.server.works(node):
                self.request.sendall(f"HTTP/1.1 200 OK\r\nX-Vip-Node: {node}\r\nContent-Length: 0\r\n\r\n".encode())
