# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From resources to packets: what the network does, and when it begins to.

Each sender has a table. Load balancers, their health and the firewall are the whole network's.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.emulation.timeline import Timeline
from lab.gce.balance import Senders
from lab.gce.balancers import Rule, Service
from lab.gce.cloud import Cloud
from lab.gce.firewall import Filter, Filters, filters
from lab.gce.probes import Probes, of_services
from lab.gce.resources import Resource

POLL = 0.15  # seconds: how soon a machine that has lost its power is no next hop any more
_KEPT = 5_000  # changes that are remembered
_WHOLE = ""  # the name of no sender

Table = dict[str, tuple[str, ...]]


@dataclass
class Whole:
    """What is not a sender's own."""

    filters: Filters
    services: tuple[Service, ...]
    senders: Senders


class Router:
    """Keeps the data plane as the cloud says, each change after its delay and in its order.

    ``in_force``: the table that each sender has. ``programmed``: which table it got when. ``probes``: the health
    checks of load balancers; what they find is in force at once.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.in_force: dict[str, Table] = {}
        self.programmed: list[dict[str, Any]] = []
        self._ids: dict[str, str] = {}  # an instance that is made anew is another one
        self._tables: dict[str, Table] = {}
        self._sources: dict[str, tuple[str, ...] | None] = {}
        self._whole: Whole | None = None
        self._whole_in_force = Whole({}, (), {})
        self._due: dict[str, float] = {}
        self._active: dict[str, tuple[str, ...]] = {}
        self._stop = threading.Event()
        self._network = Timeline("network")
        self._balancing = threading.Lock()
        self.probes = Probes(cloud.plane.probe, cloud.balancers.health, cloud.lock, self.balance)
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
        self.probes.close()

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
        if sender not in cloud.instances:
            return self._table_outside()
        network = cloud.instances[sender]["networkInterfaces"][0]["network"]
        table: Table = {}
        found: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        for route in self._routes(sender):
            by_priority, hop = found[route["destRange"]], cloud.hop_of(route)
            # A gateway to the internet is a live next hop without a name: behind it are only the hosts outside.
            if not cloud.hop_warnings(route):
                by_priority[route["priority"]].update([hop] if hop else [])
        for destination, by_priority in found.items():
            table[destination] = tuple(sorted(by_priority[min(by_priority)])) if by_priority else ()
        for name, instance in cloud.instances.items():
            other = instance["networkInterfaces"][0]
            if other["network"] == network:
                table |= {alias["ipCidrRange"]: (name,) for alias in other.get("aliasIpRanges", [])}
                table[f"{other['networkIP']}/32"] = (name,)
        for host in cloud.world.outsiders:
            if sender in self._reaching_outside() or self._leads_outside(sender, host.address):
                table[f"{host.address}/32"] = (host.name,)
        return table

    def _routes(self, sender: str) -> Iterator[Resource]:
        """The routes that are for an instance, whether they lead anywhere or not."""
        instance = self.cloud.instances[sender]
        network, tags = instance["networkInterfaces"][0]["network"], set(instance["tags"].get("items", ()))
        for route in self.cloud.routes.values():
            if route["network"] == network and (not route.get("tags") or tags & set(route["tags"])):
                yield route

    def _leads_outside(self, sender: str, address: str) -> bool:
        """Whether the best route of an instance to an address is by way of the internet gateway."""

        def rank(route: Resource) -> tuple[int, int]:
            return -IPv4Network(route["destRange"]).prefixlen, route["priority"]

        leading = [each for each in self._routes(sender) if IPv4Address(address) in IPv4Network(each["destRange"])]
        return bool(leading) and "nextHopGateway" in min(leading, key=rank)

    def _reaching_outside(self) -> dict[str, str]:
        """The instances that have a way outside with their own address."""
        return {each.name: each.address for each in self.cloud.world.instances if each.reaches_outside}

    def _table_outside(self) -> Table:
        """The way of a host outside: to load balancers it is not by a table."""
        return {f"{address}/32": (name,) for name, address in self._reaching_outside().items()}

    def sources(self, sender: str) -> tuple[str, ...] | None:
        """What an instance, or a host outside, may send from."""
        outside = {each.name: each.address for each in self.cloud.world.outsiders}
        if sender in outside:
            return (f"{outside[sender]}/32",)
        resource = self.cloud.instances[sender]
        if resource["canIpForward"]:
            return None
        interface = resource["networkInterfaces"][0]
        return (f"{interface['networkIP']}/32", *(each["ipCidrRange"] for each in interface.get("aliasIpRanges", [])))

    def whole(self) -> Whole:
        """What the network does, whoever sends."""
        cloud = self.cloud
        services = tuple(cloud.balancers.services())
        found = filters(cloud.firewall_rules(), list(cloud.instances.values()))
        # Without an external address an instance reaches nobody outside. A backend answers from its load balancer's.
        external = [rule.address for each in services if each.scheme == "EXTERNAL" for rule in each.rules]
        allowed = tuple(sorted({*external, *self._reaching_outside().values()}))
        for host in cloud.world.outsiders:
            found[host.name] = (Filter(True, sources=allowed),) if allowed else ()
        return Whole(found, services, {rule: self._clients(each, rule) for each in services for rule in each.rules})

    def _clients(self, service: Service, rule: Rule) -> tuple[str, ...]:
        """Whose packets a rule takes."""
        if service.scheme == "EXTERNAL":
            return tuple(each.name for each in self.cloud.world.outsiders)
        return tuple(
            name
            for name, each in self.cloud.instances.items()
            if _last(each["networkInterfaces"][0]["network"]) == _last(service.network)
            and (rule.global_access or _last(each["zone"]).rpartition("-")[0] == _last(rule.region))
        )

    def update(self, at_once: bool = False) -> None:
        """Put in force what is not any more as it should be: of each sender, and of the whole, when it is due."""
        cloud = self.cloud
        puts: list[Callable[[], None]] = []

        def put(name: str, job: Callable[[], None]) -> None:
            # In order, also if the delay was made shorter meanwhile.
            due = max(now + (0 if at_once else cloud.behaviour.delay(name)), self._due.get(name, 0.0))
            self._due[name] = due
            if at_once:
                puts.append(job)
            else:
                self._network.at(due, job)

        with cloud.lock:
            self._remember()
            self._forget_the_gone()
            now = time.monotonic()
            whole = self.whole()
            if whole != self._whole:
                self._whole = whole
                put(_WHOLE, partial(self.put_whole, whole))
            for name in (*cloud.instances, *(each.name for each in cloud.world.outsiders)):
                table, sources = self.table(name), self.sources(name)
                new = self._sources.get(name, ()) != sources
                if self._tables.get(name) != table or new:
                    self._tables[name], self._sources[name] = table, sources
                    put(name, partial(self.put, name, table, sources, new))
        for each in puts:
            each()

    def _forget_the_gone(self) -> None:
        """Of those that are no more, and of those that were made anew."""
        ids = {name: each["id"] for name, each in self.cloud.instances.items()}
        for name, known in self._ids.items():
            if ids.get(name) != known:
                for kept in (self._tables, self._sources, self._due, self.in_force):
                    kept.pop(name, None)
        self._ids = ids

    def _is_there(self, name: str) -> bool:
        with self.cloud.lock:
            return name in self.cloud.instances or name in (each.name for each in self.cloud.world.outsiders)

    def put(self, name: str, table: Table, sources: tuple[str, ...] | None, new_sources: bool) -> None:
        """Tell the data plane."""
        if not self._is_there(name):
            return
        if new_sources:
            self.cloud.plane.permit(name, sources)
        self.cloud.plane.program(name, table)
        self.in_force[name] = table
        self.programmed.append(
            {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns(), "sender": name, "table": table}
        )
        del self.programmed[:-_KEPT]

    def put_whole(self, whole: Whole) -> None:
        """Tell the data plane, and the probers."""
        self.cloud.plane.firewall(whole.filters)
        self._whole_in_force = whole
        self.probes.follow(of_services(whole.services))
        self.balance()

    def balance(self) -> None:
        """Have the data plane balance by the health that is known now."""
        with self._balancing:
            with self.cloud.lock:
                whole, health = self._whole_in_force, dict(self.cloud.balancers.health)
            self.cloud.plane.balance(whole.services, health, whole.senders)

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
        with self.cloud.lock:
            names = list(self.cloud.instances)
        power = {name: self._running(name) for name in names}
        with self.cloud.lock:
            # Of those that went meanwhile nothing is known, and of those that came nothing yet.
            power = {name: power.get(name, self.cloud.power.get(name, True)) for name in self.cloud.instances}
            changed = power != self.cloud.power
            self.cloud.power = power
        return changed

    def _running(self, name: str) -> bool:
        try:
            return self.cloud.plane.running(name)
        except Exception:
            if self._is_there(name):
                raise
            return False

    def _watch(self) -> None:
        while not self._stop.wait(POLL):
            try:
                self.look()
                self.balance()  # the time of a draining backend may be over
            except Exception:
                # A machine that cannot be asked now is asked again.
                traceback.print_exc(file=sys.stderr)


def _last(url: str) -> str:
    return url.rpartition("/")[2]
