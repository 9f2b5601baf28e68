# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From resources to packets: which table every sender has, and when it gets it."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import defaultdict
from typing import Any

from lab.emulation.timeline import Timeline
from lab.gce.cloud import Cloud

POLL = 0.15  # seconds: how soon a machine that has lost its power is no next hop any more
_KEPT = 5_000  # changes that are remembered

Table = dict[str, tuple[str, ...]]


class Router:
    """Keeps the data plane as the cloud says, each change after its delay and in its order.

    ``in_force``: the table that each sender has. ``programmed``: which table it got when.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.in_force: dict[str, Table] = {}
        self.programmed: list[dict[str, Any]] = []
        self._tables: dict[str, Table] = {}
        self._sources: dict[str, tuple[str, ...] | None] = {}
        self._due: dict[str, float] = {}
        self._active: dict[str, tuple[str, ...]] = {}
        self._stop = threading.Event()
        self._network = Timeline("network")
        self._watcher = threading.Thread(target=self._watch, name="power", daemon=True)

    def start(self) -> None:
        """Put everything in force at once, then follow the changes."""
        self._look()
        self.update(at_once=True)
        self.cloud.on_change = self.update
        self._watcher.start()

    def close(self) -> None:
        """Change nothing any more."""
        self._stop.set()
        self._watcher.join(5)
        self._network.close()

    def settled(self, timeout: float = 10.0) -> bool:
        """Wait until the network is as the cloud says."""
        return self._network.idle(timeout)

    def look(self) -> None:
        """Ask for every machine's power now, and let the network know."""
        if self._look():
            self.update()

    def table(self, sender: str) -> Table:
        """Where the packets of an instance go, by the rules of a VPC network.

        What a destination's live routes with the lowest priority number lead to gets its packets. Without a live one
        they are lost, whatever broader route there is. A machine without power keeps its own address.
        """
        cloud = self.cloud
        interface = cloud.instances[sender]["networkInterfaces"][0]
        network, tags = interface["network"], set(cloud.instances[sender]["tags"].get("items", ()))
        table: Table = {}
        found: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        for route in cloud.routes.values():
            if route["network"] != network or (route.get("tags") and not tags & set(route["tags"])):
                continue
            by_priority, hop = found[route["destRange"]], cloud.hop_of(route)
            # A gateway to the internet is a live next hop behind which there is nothing: no name.
            if not cloud.hop_warnings(route):
                by_priority[route["priority"]].update([hop] if hop else [])
        for destination, by_priority in found.items():
            table[destination] = tuple(sorted(by_priority[min(by_priority)])) if by_priority else ()
        for name, instance in cloud.instances.items():
            other = instance["networkInterfaces"][0]
            if other["network"] == network:
                table |= {alias["ipCidrRange"]: (name,) for alias in other.get("aliasIpRanges", [])}
                table[f"{other['networkIP']}/32"] = (name,)
        return table

    def sources(self, instance: str) -> tuple[str, ...] | None:
        """What an instance may send from."""
        resource = self.cloud.instances[instance]
        if resource["canIpForward"]:
            return None
        interface = resource["networkInterfaces"][0]
        return (f"{interface['networkIP']}/32", *(each["ipCidrRange"] for each in interface.get("aliasIpRanges", [])))

    def update(self, at_once: bool = False) -> None:
        """Give every sender whose table is not the right one any more the new one, when it is due."""
        cloud = self.cloud
        puts = []
        with cloud.lock:
            self._remember()
            now = time.monotonic()
            for name in cloud.instances:
                table, sources = self.table(name), self.sources(name)
                new = self._sources.get(name, ()) != sources
                if self._tables.get(name) == table and not new:
                    continue
                self._tables[name], self._sources[name] = table, sources
                # In order, also if the delay was made shorter meanwhile.
                due = max(now + (0 if at_once else cloud.behaviour.delay(name)), self._due.get(name, 0.0))
                self._due[name] = due
                put = _Put(self, name, table, sources, new)
                if at_once:
                    puts.append(put)
                else:
                    self._network.at(due, put)
        for put in puts:
            put()

    def put(self, name: str, table: Table, sources: tuple[str, ...] | None, new_sources: bool) -> None:
        """Tell the data plane."""
        if new_sources:
            self.cloud.plane.permit(name, sources)
        self.cloud.plane.program(name, table)
        self.in_force[name] = table
        self.programmed.append(
            {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns(), "sender": name, "table": table}
        )
        del self.programmed[:-_KEPT]

    def _remember(self) -> None:
        """When which destination had which live next hops, whoever sends."""
        active: dict[str, tuple[str, ...]] = {}
        for destination in {route["destRange"] for route in self.cloud.routes.values()}:
            live: dict[int, set[str]] = defaultdict(set)
            for route in self.cloud.routes.values():
                if route["destRange"] == destination and not self.cloud.hop_warnings(route):
                    live[route["priority"]].add(self.cloud.hop_of(route) or "internet")
            active[destination] = tuple(sorted(live[min(live)])) if live else ()
        for destination in sorted(active.keys() | self._active.keys()):
            hops = active.get(destination, ())
            if hops != self._active.get(destination, ()):
                times = {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns()}
                self.cloud.history.append({**times, "destination": destination, "next_hops": list(hops)})
        del self.cloud.history[:-_KEPT]
        self._active = active

    def _look(self) -> bool:
        power = {name: self.cloud.plane.running(name) for name in self.cloud.instances}
        with self.cloud.lock:
            changed = power != self.cloud.power
            self.cloud.power = power
        return changed

    def _watch(self) -> None:
        while not self._stop.wait(POLL):
            try:
                self.look()
            except Exception:
                # A machine that cannot be asked now is asked again.
                traceback.print_exc(file=sys.stderr)


class _Put:
    """A change that waits for its time."""

    def __init__(
        self, router: Router, name: str, table: Table, sources: tuple[str, ...] | None, new_sources: bool
    ) -> None:
        self._router = router
        self._arguments = name, table, sources, new_sources

    def __call__(self) -> None:
        self._router.put(*self._arguments)
