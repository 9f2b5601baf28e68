# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data plane of passthrough load balancers: which backend gets a connection, and how long it stays there.

No packet is changed. The router chooses a backend for a new connection by a hash, marks its packets, and remembers the
mark with the connection. Marked packets have a routing table that leads to the backend. The low bits of a mark are the
backend's number; the others say how often it has lost its connections, so that marks from before are worth nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import blake2b

from lab.gce.balancers import Rule, Service
from lab.places import Place

HEALTHY, UNHEALTHY = "HEALTHY", "UNHEALTHY"
NUMBER = 0xFF  # the bits of a mark that are a backend's number
FAILOVER_DRAIN_S = 600  # fixed by Google; the service's own timeout is for backends that are removed
TABLE = """
table ip balance {
    chain prerouting { type filter hook prerouting priority mangle; policy accept; }
}
"""
Health = Mapping[tuple[str, str], str]  # of a service, and an instance
Senders = Mapping[Rule, Collection[str]]

# TCP connections stay longer than others; a session is all that a client sends, in whichever connection.
_TCP, _OTHER, _SESSION = "tcp", "other", "session"
# Of the affinities that are less than a connection.
_FIELDS = {
    "CLIENT_IP_PROTO": ("ip saddr", "ip daddr", "meta l4proto"),
    "CLIENT_IP": ("ip saddr", "ip daddr"),
    "CLIENT_IP_NO_DESTINATION": ("ip saddr",),
}
_TYPES = {"ip saddr": "ipv4_addr", "ip daddr": "ipv4_addr", "meta l4proto": "inet_proto"}
_SLOTS, _SEED = 256, "0x1d"
_Flow = tuple[str, str, str]  # region, service, kind


def active_pool(service: Service, healthy: Collection[str]) -> tuple[str, ...]:
    """The primary backends, or the others if too few primary ones are healthy and any other one is."""
    primaries = tuple(each.instance for each in service.backends if not each.failover)
    others = tuple(each.instance for each in service.backends if each.failover)
    fit = sum(each in healthy for each in primaries)
    ratio = service.failover.ratio if service.failover else 0.0
    if fit > 0 and fit >= ratio * len(primaries):
        return primaries
    return others if any(each in healthy for each in others) else primaries


def eligible(service: Service, healthy: Collection[str]) -> tuple[str, ...]:
    """The backends that get new connections; none: packets are dropped."""
    pool = active_pool(service, healthy)
    fit = tuple(each for each in pool if each in healthy)
    if fit or (service.failover and service.failover.drop):
        return fit
    return pool


class Balancer:
    """The rules by which a router balances.

    It remembers which backends hold connections, and since when a backend is not in the active pool.
    """

    def __init__(self) -> None:
        self._places: Mapping[str, Place] = {}
        self._holding: dict[_Flow, frozenset[str]] = {}
        self._losses: Counter[tuple[_Flow, int]] = Counter()
        self._away: dict[tuple[str, str, str], tuple[str, float]] = {}
        self._sets: set[str] = set()

    def rules(
        self, services: Sequence[Service], health: Health, senders: Senders, places: Mapping[str, Place], now: float
    ) -> str:
        """The nftables commands that put the services in force, and no others, all at once.

        ``senders``: the instances whose packets a rule takes. ``places``: of all instances that there are. ``now``: in
        seconds. They need `TABLE`, and the set ``inet vpc answers``, of the addresses that an instance may send from
        because it is a backend.
        """
        self._move(places)
        holding: dict[_Flow, set[str]] = {}
        chosen: dict[Service, tuple[str, ...]] = {}
        for service in (_among(each, places) for each in services):
            healthy = {name for (of, name), state in health.items() if (of, state) == (service.name, HEALTHY)}
            chosen[service] = eligible(service, healthy)
            self._look(service, healthy, now)
            for flow in {_flow(service, protocol) for rule in service.rules for protocol, _ in _streams(rule)}:
                old = self._holding.get(flow, frozenset())
                staying = {each for each in old if self._stays(service, flow, each, healthy, now)}
                holding[flow] = staying.union(chosen[service])
        for flow, before in self._holding.items():
            self._lose(flow, before - holding.get(flow, set()))
        self._holding = {flow: frozenset(names) for flow, names in holding.items()}
        return "\n".join(self._commands(chosen, senders)) + "\n"

    def _move(self, places: Mapping[str, Place]) -> None:
        """See which instances there are. One that is gone has lost its connections, also if it was made again."""
        gone = {name for name, place in self._places.items() if places.get(name) != place}
        for flow, names in self._holding.items():
            self._lose(flow, names & gone)
            self._holding[flow] = names - gone
        self._places = places

    def _lose(self, flow: _Flow, names: Iterable[str]) -> None:
        self._losses.update((flow, self._places[name].number) for name in names)

    def _look(self, service: Service, healthy: Collection[str], now: float) -> None:
        """See why a backend is not in the active pool, and since when."""
        members, pool = _members(service), active_pool(service, healthy)
        for instance in members | self._holders(service):
            why = "" if instance in pool else "failover" if instance in members else "removed"
            key = (service.region, service.name, instance)
            if key not in self._away or self._away[key][0] != why:
                self._away[key] = (why, now)

    def _holders(self, service: Service) -> set[str]:
        flows = [(service.region, service.name, kind) for kind in (_TCP, _OTHER, _SESSION)]
        return {each for flow in flows for each in self._holding.get(flow, ())}

    def _stays(self, service: Service, flow: _Flow, instance: str, healthy: Collection[str], now: float) -> bool:
        """Whether the connections of a backend that gets no new ones stay with it."""
        (why, since), kind = self._away[service.region, service.name, instance], flow[2]
        if why == "removed":
            return now - since < service.drain_s
        if instance not in healthy and not _persists(service, kind):
            return False
        if why == "failover":
            drains = kind != _OTHER and (service.failover is None or service.failover.drain)
            return drains and now - since < FAILOVER_DRAIN_S
        return True

    def _commands(self, chosen: Mapping[Service, tuple[str, ...]], senders: Senders) -> Iterator[str]:
        answers: set[str] = set()
        sets: dict[str, str] = {}
        rules: list[tuple[Rule, str]] = []
        for service, names in chosen.items():
            holders = self._holders(service)
            if _has_sessions(service):
                sets |= {_set(service, each): _definition(service) for each in holders}
            for rule in service.rules:
                answers |= {f'"{self._places[each].port}" . {rule.address}' for each in _members(service) | holders}
                sending = [f'"{self._places[each].port}"' for each in senders.get(rule, ()) if each in self._places]
                for protocol, match in _streams(rule) if sending else ():
                    of = f"iifname {_listed(sending)} ip daddr {rule.address} {match}"
                    rules += [(rule, f"{of} {each}") for each in self._stream(service, protocol, names)]
        # What is for fewer packets is asked first.
        rules.sort(key=lambda each: (each[0].protocol == "L3_DEFAULT", each[0].ports is None))
        yield "flush chain ip balance prerouting"
        yield "flush set inet vpc answers"
        if answers:
            yield f"add element inet vpc answers {_listed(answers)}"
        yield from (f"add set ip balance {name} {definition}" for name, definition in sorted(sets.items()))
        yield from (f"add rule ip balance prerouting {text}" for _, text in rules)
        # A backend that has lost its sessions begins with an empty set.
        yield from (f"delete set ip balance {name}" for name in sorted(self._sets - sets.keys()))
        self._sets = set(sets)

    def _stream(self, service: Service, protocol: str, names: tuple[str, ...]) -> Iterator[str]:
        """What becomes of the packets of one protocol; ``names``: who gets new connections."""
        if not names:
            yield "drop"
            return
        flow = _flow(service, protocol)
        marks = {each: self._mark(flow, each) for each in sorted(self._holding[flow])}
        fields = _fields(service, protocol)
        slots = _listed(f"{slot} : {marks[name]}" for slot, name in enumerate(_spread(names)))
        choose = f"meta mark set jhash {fields} mod {_SLOTS} seed {_SEED} map {slots}"
        if _has_sessions(service):
            keep = {each: f"update @{_set(service, each)} {{ {fields} }} accept" for each in marks}
            for each, mark in marks.items():
                yield f"{fields} @{_set(service, each)} meta mark set {mark} {keep[each]}"
            yield choose
            yield from (f"meta mark {marks[each]} {keep[each]}" for each in names)
            return
        if protocol == "TCP" or service.scheme == "INTERNAL" or service.affinity != "NONE":
            # Where a TCP connection begins it is a new one, whatever is remembered.
            goes_on = "tcp flags & (syn | ack) != syn " if protocol == "TCP" else ""
            yield f"{goes_on}ct mark {_listed(marks.values())} meta mark set ct mark accept"
        yield f"{choose} ct mark set meta mark accept"

    def _mark(self, flow: _Flow, instance: str) -> str:
        number = self._places[instance].number
        return f"{self._losses[flow, number] << NUMBER.bit_length() | number:#x}"


def _among(service: Service, instances: Collection[str]) -> Service:
    """The service with those of its backends that there are."""
    return replace(service, backends=tuple(each for each in service.backends if each.instance in instances))


def _members(service: Service) -> set[str]:
    return {each.instance for each in service.backends}


def _streams(rule: Rule) -> list[tuple[str, str]]:
    """A rule's packets: the protocol of some of them (none: those without ports), and what they match."""
    if rule.protocol == "L3_DEFAULT":
        return [("TCP", "meta l4proto tcp"), ("UDP", "meta l4proto udp"), ("", "meta l4proto != { tcp, udp }")]
    name = rule.protocol.lower()
    return [(rule.protocol, f"meta l4proto {name}" if rule.ports is None else f"{name} dport {_listed(rule.ports)}")]


def _flow(service: Service, protocol: str) -> _Flow:
    kind = _SESSION if _has_sessions(service) else _TCP if protocol == "TCP" else _OTHER
    return service.region, service.name, kind


def _has_sessions(service: Service) -> bool:
    return service.tracking == "PER_SESSION" and service.affinity in _FIELDS


def _persists(service: Service, kind: str) -> bool:
    """Whether connections stay with a backend that is unhealthy."""
    return service.persistence == "ALWAYS_PERSIST" or (service.persistence == "DEFAULT_FOR_PROTOCOL" and kind == _TCP)


def _fields(service: Service, protocol: str) -> str:
    """What of a packet decides on its backend: without another wish, its connection."""
    connection = ("ip saddr", "ip daddr", "meta l4proto", *(("th sport", "th dport") if protocol else ()))
    return " . ".join(_FIELDS.get(service.affinity, connection))


def _set(service: Service, instance: str) -> str:
    """The name of the set of a backend's sessions: another one if they are to be others."""
    return f"{service.region}.{service.name}.{instance}.{service.affinity}.{service.idle_s}"


def _definition(service: Service) -> str:
    types = " . ".join(_TYPES[each] for each in _FIELDS[service.affinity])
    return f"{{ type {types}; size 65536; flags dynamic, timeout; timeout {service.idle_s}s; }}"


@cache
def _spread(names: tuple[str, ...]) -> list[str]:
    """The backend of each hash value. When one goes, only its own values get another one."""

    def rank(slot: int, name: str) -> bytes:
        return blake2b(f"{slot} {name}".encode(), digest_size=8).digest()

    return [max(names, key=lambda name: rank(slot, name)) for slot in range(_SLOTS)]


def _listed(items: Iterable[object]) -> str:
    return f"{{ {', '.join(sorted(map(str, items)))} }}"
