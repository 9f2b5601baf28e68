#!/usr/bin/env python3
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binding virtual IPs to a server of OpenStack: cloudha.vip.havip_bind beside openstack.cloud.port, by several at once.

Each writer makes a virtual IP of its own and binds it to the same server, whose port has one list for all; then each
takes its own away again. Keystone and Neutron are real, without a network under them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import contest
from contest import ROOT, Contest, say

sys.path.insert(0, str(ROOT / "tests"))
from ansible_collections.cloudha.vip.tests.contract.forked import Module
from lab.openstack import server
from lab.openstack.world import Network, Server, World

WORLD = World(networks=(Network("web", "10.0.0.0/24"),), servers=(Server("node1", "web", "10.0.0.11"),))
WRITERS = (1, 4, 8)
# What is in the environment would be taken for a login.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "ANSIBLE_CALLBACK"))}

Run = Callable[..., dict[str, Any]]


class Failed(Exception):
    """A module has failed."""


class Ours:
    """One module does all."""

    name = "cloudha.vip.havip_bind"
    ours = True
    package = "ansible_collections.cloudha.vip.plugins.modules."

    def __init__(self, cloud: server.Cloud) -> None:
        self.common = {"provider": "openstack", "network": "web"}

    def missing(self) -> str | None:
        return None

    def version(self) -> dict[str, str]:
        return {each: metadata.version(each) for each in ("openstacksdk", "ansible-core")}

    def bind(self, run: Run, address: str) -> None:
        run("havip_bind", address=address, name=address, members=["node1"], timeout=300)

    def unbind(self, run: Run, address: str) -> None:
        run("havip_bind", address=address, state="absent", timeout=300)


class Theirs:
    """A port for the virtual IP; then the server's port is read, and written with one pair more."""

    name = "openstack.cloud.port"
    ours = False
    package = "ansible_collections.openstack.cloud.plugins.modules."

    def __init__(self, cloud: server.Cloud) -> None:
        self.common: dict[str, Any] = {}

    def missing(self) -> str | None:
        return None

    def version(self) -> dict[str, str]:
        import ansible_collections.openstack.cloud as found

        manifest = Path(next(iter(found.__path__))) / "MANIFEST.json"
        return {"openstack.cloud": json.loads(manifest.read_text())["collection_info"]["version"]}

    def bind(self, run: Run, address: str) -> None:
        run("port", name=address, network="web", fixed_ips=[{"ip_address": address}], device_owner="neutron:VIP_PORT")
        run("port", name="node1", network="web", allowed_address_pairs=[*self._pairs(run), {"ip_address": address}])

    def unbind(self, run: Run, address: str) -> None:
        left = [each for each in self._pairs(run) if each["ip_address"] != address]
        run("port", name="node1", network="web", allowed_address_pairs=left)
        run("port", name=address, state="absent")

    @staticmethod
    def _pairs(run: Run) -> list[dict[str, str]]:
        return run("port_info", name="node1")["ports"][0]["allowed_address_pairs"]


CONTESTANTS = (Ours, Theirs)


class Trial(NamedTuple):
    kept: int
    bind_s: float
    bind_requests: int
    left: int
    unbind_s: float
    unbind_requests: int
    failed: int


class Stage:
    """A cloud on loopback."""

    def __init__(self, cloud: server.Cloud) -> None:
        self.cloud = cloud

    def trial(self, contestant: Any, writers: int) -> Trial:
        port = self.cloud.seed(WORLD).ports["node1"]
        addresses = [f"10.0.0.{100 + number}" for number in range(writers)]
        failed = 0

        def at_once(what: Callable[[Run, str], None]) -> tuple[int, float, int]:
            """How many addresses the port allows then, how long all took, and how many requests."""
            nonlocal failed
            self.cloud.front.requests.clear()
            begin = time.monotonic()
            with ThreadPoolExecutor(writers) as pool:
                done = [pool.submit(what, self._runner(contestant), address) for address in addresses]
            failed += sum(isinstance(each.exception(), Failed) for each in done)
            for each in done:
                if each.exception() is not None and not isinstance(each.exception(), Failed):
                    each.result()
            took = time.monotonic() - begin
            requests = len(self.cloud.front.requests)
            pairs = self.cloud.network.call("GET", f"/ports/{port}")["port"]["allowed_address_pairs"]
            return sum(each["ip_address"] in addresses for each in pairs), took, requests

        kept, bind_s, bind_requests = at_once(contestant.bind)
        left, unbind_s, unbind_requests = at_once(contestant.unbind)
        return Trial(kept, round(bind_s, 2), bind_requests, left, round(unbind_s, 2), unbind_requests, failed)

    def _runner(self, contestant: Any) -> Run:
        login = {"auth": self.cloud.auth(), "region_name": server.REGION}

        def run(module: str, **options: Any) -> dict[str, Any]:
            process = Module(module, {**login, **contestant.common, **options}, ENVIRONMENT, contestant.package)
            out, err = process.communicate(timeout=400)
            if not out:
                raise contest.Unfit(f"{module}: {err[-1000:]}")
            result: dict[str, Any] = json.loads(out)
            if result.get("failed"):
                say(f"{module}: {str(result['msg'])[:300]}")
                raise Failed
            return result

        return run


COLUMNS = {
    "kept": "bindings kept, of {writers}",
    "bind_s": "binding, s",
    "bind_requests": "its requests",
    "left": "bindings left that were taken away",
    "unbind_s": "taking away, s",
    "unbind_requests": "its requests",
    "failed": "writers that said that they failed",
}

EXPLAINED = """Medians of {trials} trials (least to most).

So many writers at once: each makes a virtual IP and binds it to the same server; then each takes its own away.
Keystone and Neutron are real ([the lab's OpenStack](../../docs/openstack-api.md)); SQLite lets them do one request at a
time.

- *{ours}*: one module for each, `state: present` and `state: absent`.
- *{theirs}*: `openstack.cloud.port` makes the port of the virtual IP; `openstack.cloud.port_info` reads the server's
  port, and `openstack.cloud.port` writes it with one pair more, or less.
- Each module is a process of its own, forked from one that has imported openstacksdk already; so the time that this
  takes, a second or two for each module on a machine as this, is not in the numbers.
- *Requests* include those to log in, which each process does for itself."""


def tables(record: dict[str, Any]) -> str:
    explained = EXPLAINED.format(trials=record["trials"], ours=Ours.name, theirs=Theirs.name)
    lines = [f"# {record['title']} ({record['date']})", "", explained]
    for one in record["runs"]:
        there = [name for name in record["contestants"] if name in one["values"]]
        writers = one["writers"]
        lines += ["", f"## {writers} {'writers' if writers > 1 else 'writer'}", "", *contest.head(there)]
        for key, title in COLUMNS.items():
            cells = (contest.cell(one["values"][name][key], 1 if key.endswith("_s") else 0) for name in there)
            lines.append(f"| {title.format(writers=writers)} | {' | '.join(cells)} |")
    return "\n".join(lines + contest.ending(record)) + "\n"


def bars(record: dict[str, Any]) -> dict[str, Any]:
    """For the picture: how many bindings were kept, and how many were left over."""
    rows = [
        {
            "fault": f"{title}, {one['writers']} at once",
            "values": [one["values"].get(name, {}).get(key) for name in record["contestants"]],
        }
        for one in record["runs"]
        for key, title in (("kept", "bindings kept"), ("left", "bindings left over"))
    ]
    note = f"Medians of {record['trials']} trials; the line spans least and most."
    return {
        "title": record["title"],
        "note": note,
        "counts": True,
        "series": record["contestants"],
        "faults": rows,
    }


def document(match: Contest, trials: int) -> dict[str, Any]:
    """All of the run, for the files."""
    runs = [{"writers": writers, "values": values} for (writers,), values in match.cases()]
    found: list[dict[str, Any]] = []
    for one in runs:
        mine = one["values"].get(Ours.name)
        if mine:
            writers = one["writers"]
            what = f"{Ours.name}: bindings kept, {writers} at once, the least of {trials} runs"
            contest.objective(found, what, str(writers), mine["kept"]["min"], lambda value, all_=writers: value == all_)
            what = f"{Ours.name}: bindings left over, {writers} at once, the most of {trials} runs"
            contest.objective(found, what, "0", mine["left"]["max"], lambda value: value == 0)
    record = match.document("Virtual IPs of OpenStack that several bind to one server at once", trials)
    return {**record, "runs": runs, "objectives": found}


def main() -> None:
    parser = contest.options(__doc__ or "", CONTESTANTS, latencies=False)
    parser.add_argument("--writers", type=int, nargs="+", default=WRITERS, help="so many at once")
    parser.set_defaults(trials=20)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with server.local() as cloud:
        match = Contest(CONTESTANTS, cloud, options.only)  # type: ignore[arg-type]
        # After each round, so that a run which is stopped leaves what it measured.
        for done in match.rounds(options.trials, [(each,) for each in options.writers], Stage(cloud).trial, str):
            record = document(match, done)
            contest.write(options.results, "havip", record, tables(record), bars(record))
    print((options.results / "havip.md").read_text())
    match.complain()


if __name__ == "__main__":
    main()
