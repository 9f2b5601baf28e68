# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A group of nodes that come and go: what its operator does to it, and what a client and the nodes themselves see."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pair import Pair

from lab.lab import Lab
from lab.machine import execute

VIP = "192.168.7.246"
CONFIG = "/etc/keepalived/keepalived.conf"
LOADED = "/run/cloudha-vip/keepalived.conf"
WATCH = "/run/test-watch"
TOPOLOGY, GROUP = "onprem_active_standby", str(Path(__file__).with_name("group.yml"))
# A web server for the client where there is none, also after a boot.
SERVE = """\
ss --no-header --listening --tcp --numeric 'sport = :80' | grep -q . && exit
mkdir -p /opt/test-web && touch /opt/test-web/healthz
cat >/etc/systemd/system/test-web.service <<'UNIT'
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /opt/test-web 80
StandardError=null
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable --quiet --now test-web
"""


@dataclass
class Row:
    """What one case cost."""

    nodes: int
    case: str
    gap_ms: float = 0
    two_holders_ms: float = 0
    waited_ms: float = 0

    def __str__(self) -> str:
        return f"| {self.nodes} | {self.case} | {self.gap_ms:.0f} | {self.two_holders_ms:.0f} |"


class Nodes(Pair):
    """The lab has more machines than the group has nodes; the inventory says which of them are its nodes.

    It runs the playbook of the whole topology, or that of the group alone: keepalived. Neither has run yet.
    """

    def __init__(self, lab: Lab, scratch: Path, size: int) -> None:
        super().__init__(lab, scratch, "", VIP)
        self.size = size
        self.members: list[str] = []
        self.rows: list[Row] = []
        self.off: set[str] = set()

    @property
    def everybody(self) -> list[str]:
        return [each.name for each in self.lab.topology.machines if each.group == "vip_nodes"]

    def ssh(self, machine: str, script: str) -> str:
        """As root of the machine, but without a login: that takes half a second, and a case has dozens of these."""
        plain = ["env", "--ignore-environment", "HOME=/root", "PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"]
        return execute(self.lab.groups, machine, *plain, "bash", "-c", script)

    def command(self, playbook: str, *words: str, **variables: object) -> list[str]:
        inventory = json.loads(self.lab.inventory.read_text())
        group = inventory["all"]["children"]["vip_nodes"]
        group["hosts"] = {host: group["hosts"][host] for host in self.members}
        mine = self.scratch / "inventory.json"
        mine.write_text(json.dumps(inventory))
        plain = super().command(playbook, *words, **variables)
        return [f"--inventory={mine}" if word.startswith("--inventory=") else word for word in plain]

    def run(self, members: Sequence[str], *words: str, **variables: object) -> subprocess.CompletedProcess[str]:
        self.members = list(members)
        done = self.play(self.topology, *words, **variables)
        (self.scratch / "last.log").write_text(done.stdout + done.stderr)
        return done

    def use(self, playbook: str) -> None:
        """Run the playbook from now on. The first one deploys the group; a later one changes it with its first run."""
        if self.topology == playbook:
            return
        fresh = not self.topology
        self.topology = playbook
        if playbook == GROUP:
            for host in self.everybody:
                self.ssh(host, SERVE)
        if fresh:
            done = self.run(self.everybody[: self.size])
            assert done.returncode == 0, done.stdout[-6000:]

    def remove(self, host: str) -> None:
        """Take a node out, as its operator does before its entry in the inventory goes."""
        self.members = self.everybody
        if self.topology == TOPOLOGY:
            done = self.play("teardown", f"--limit={host}")
        else:
            done = self.play(GROUP, f"--limit={host}", group_absent=True)
        assert done.returncode == 0, done.stdout[-6000:]

    def holders(self) -> list[str]:
        return [
            host for host in self.everybody if host not in self.off and f" {VIP}/" in self.ssh(host, "ip -o -4 address")
        ]

    def power_off(self, host: str) -> None:
        self.lab.fault("node_power_off", host)
        self.off.add(host)

    def power_on(self, host: str) -> None:
        self.lab.repair("node_power_off", host, wait=True)
        self.off.discard(host)

    @contextlib.contextmanager
    def case(self, name: str) -> Iterator[Row]:
        """Measure what is done in the block: as a client sees it, and by when each node got and lost the address."""
        row = Row(self.size, name)
        begin = {host for host in self.everybody if host not in self.off}
        for host in begin:
            watch = f"ip -ts -o -4 monitor address > {WATCH}"
            self.ssh(host, f"systemd-run --quiet --collect --unit=test-watch sh -c '{watch}'")
        holders = set(self.holders())
        with self.client() as seen:
            yield row
        row.gap_ms, row.waited_ms = seen.gap_ms, seen.waited_ms
        events = []
        for host in begin - self.off:
            log = self.ssh(host, f"systemctl stop test-watch 2>/dev/null; cat {WATCH} 2>/dev/null; rm -f {WATCH}")
            events += [(when, host, gained) for when, gained in _changes(log)]
        row.two_holders_ms = two_holders_ms(holders, events)
        self.rows.append(row)
        print(row)


def _changes(log: str) -> Iterator[tuple[float, bool]]:
    for line in log.splitlines():
        found = re.match(rf"\[([\d:.T-]+)\] (Deleted )?.* {re.escape(VIP)}/", line)
        if found:
            when = datetime.fromisoformat(found.group(1)).replace(tzinfo=UTC)
            yield when.timestamp() * 1000, not found.group(2)


def two_holders_ms(holders: set[str], events: list[tuple[float, str, bool]]) -> float:
    """How long two nodes had the address. A split that was there at the start counts from when it was ended."""
    has = set(holders)
    ended = len(has) < 2
    total, since = 0.0, 0.0
    for when, host, gained in sorted(events):
        if ended and len(has) > 1:
            total += when - since
        has = has | {host} if gained else has - {host}
        ended = ended or len(has) < 2
        since = when
    assert not ended or len(has) < 2, f"{has} have the address at the end"
    return total
