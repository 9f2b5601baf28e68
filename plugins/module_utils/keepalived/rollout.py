# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order in which the nodes of a group get a new configuration, so that no two of them hold an address.

A node which hears no holder becomes one. It hears another node if each is among the peers of the other one. Both must
also have the same router id, version, mode, secret and announced addresses. (vrrp_skip_check_adv_addr does not help a
node which was just reloaded.) The order follows from that, from whatever state the group is in:

- Where several nodes hold one address, all but one are stopped first.
- If all nodes hear each other before, during and after the change, the holder goes last. By then the others have
  shown that the configuration works. New nodes start after that, as the holder must know them first.
- Where they do not, the others are stopped, the holder is reloaded alone, and they start when it has the new
  configuration.
- Without a holder, the nodes go one by one, so that the first one has the address before anyone can contest it.
- A change which a node out of reach would not understand when it comes back is refused.

The plan is made anew after each phase, as only its first one is sure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from .instance import marker, parse_address

Instance = Mapping[str, Any]


class Voice(NamedTuple):
    """The part of an instance that the other nodes hear, or must know to hear it."""

    name: str  # also that by which keepalived knows it at a reload
    numbers: tuple[int, int]  # router id and version
    unicast: bool
    secret: Any
    announced: tuple[str, ...]
    addresses: frozenset[str]
    source: str | None
    peers: frozenset[str] | None  # None: not known
    interface: Any


class Node(NamedTuple):
    host: str
    position: int
    here: bool  # this run can change it
    active: bool
    held: frozenset[str]
    pending: bool
    able: bool
    deaf: bool
    begun: bool
    priority: int
    before: list[Voice] | None  # None: not known
    after: list[Voice]

    @property
    def speaks(self) -> bool:
        return self.active and bool(self.held)


def rollout(nodes: Mapping[str, Mapping[str, Any]], absent_ok: Collection[str] = ()) -> dict[str, Any]:
    """The next steps: see the filter keepalived_rollout.

    nodes, in the order of the group: pending (there is something to do), active (keepalived runs), held (the addresses
    of the group which it has), before and after: its instances as they run, or None if that is not known, and as they
    are wanted; and if they are not the default: here (this run can change it; True), able (it may hold an address;
    True), deaf (its keepalived has lost an interface; False), begun (this run started or reloaded it; False).
    absent_ok: hosts of which somebody has said that they do not matter while they are out of reach.
    """
    group = {host: _node(host, position, node) for position, (host, node) in enumerate(nodes.items())}
    held_by = {host: n.held for host, n in group.items()}
    stop, refused = _superfluous(group)
    stop += [n.host for n in group.values() if n.here and n.deaf and not n.held and n.host not in stop]
    group = _stopped(group, stop)
    pending = [n for n in group.values() if n.here and n.pending]
    holders = [n for n in group.values() if n.held and (n.active or not n.here)]
    # A node that has an address though its keepalived is dead serves the clients.
    pending = sorted(pending, key=lambda n: (not holders and not n.held, not holders and not n.able, n.position))
    if _strange(group):
        keep = _keepers(group, holders) if holders else pending[:1]
        more = [n.host for n in group.values() if n.here and n.active and n not in keep]
        stop += more
        group = _stopped(group, more)
        kept = [n.host for n in keep]
        rest = [n for n in group.values() if n.here and n.pending and n.host not in kept]
        order = [*([n] for n in keep if n.here and n.pending), rest]
    elif holders:
        early = [n for n in pending if n not in holders and (n.active or _fits(n, group))]
        order = [early, *([n] for n in pending if n in holders)]
        order.append([n for n in pending if n not in early and n not in holders])
    else:
        order = [[n] for n in pending]
    refused += _not_understood(group, [n for together in order for n in together], absent_ok)
    if refused:
        return {"refused": refused, "stop": [], "phases": [], "announce": [], "at_once": [], "listen": {}, "voices": {}}
    leaders = [n for n in group.values() if n.held and (n.active or not n.here)]
    phases: list[list[str]] = []
    for together in order:
        if all(_led(n, leaders) for n in together):
            phases.append([n.host for n in together])
        else:  # there is something to be won: one at a time
            phases += [[n.host] for n in together]
    phases = [phase for phase in phases if phase]
    following = [group[host] for phase in phases[:1] for host in phase]
    starting = [n for n in following if not n.active]
    return {
        "refused": [],
        "stop": stop,
        "phases": phases,
        # keepalived does that when an address comes; to the one that stays, it came before.
        "announce": [n.host for n in group.values() if n.here and n.active and any(n.held & held_by[h] for h in stop)],
        # A start may cost it the addresses, and nobody else can take them meanwhile.
        "at_once": [n.host for n in following if n.held and not any(o.active for o in group.values() if o is not n)],
        "listen": {n.host: heard for n in starting if (heard := _heard(n, [each for each in leaders if each.active]))},
        "voices": {n.host: _heard(n, [o for o in group.values() if o.active], True) for n in group.values() if n.here},
    }


def _node(host: str, position: int, given: Mapping[str, Any]) -> Node:
    here = given.get("here", True)
    # Before ansible-core 2.19, a template makes a text of None.
    before = None if given["before"] in (None, "") else [_voice(i, _listed(i)) for i in given["before"]]
    active = bool(given["active"])
    after = [_voice(i, _announced(i)) for i in given["after"]]
    return Node(
        host=host,
        position=position,
        here=here,
        active=active,
        held=frozenset(_plain(address) for address in given["held"]),
        pending=bool(given["pending"]) and here,
        able=given.get("able", True),
        deaf=bool(given.get("deaf", False)),
        begun=given.get("begun", False),
        priority=max((int(i.get("priority") or 0) for i in given["after"]), default=0),
        # Without keepalived, none is in force. A node which this run cannot change will have its own later.
        before=before if active or not here else [],
        after=after,
    )


def _stopped(group: Mapping[str, Node], hosts: Iterable[str]) -> dict[str, Node]:
    def off(n: Node) -> Node:
        return n._replace(active=False, held=frozenset(), pending=True, deaf=False, before=[])

    return {host: off(n) if host in hosts else n for host, n in group.items()}


def _superfluous(group: Mapping[str, Node]) -> tuple[list[str], list[str]]:
    """Of several nodes that hold one address, those to be stopped; and the reasons why that is not enough."""
    stop: list[str] = []
    refused = []
    for address in sorted({address for n in group.values() for address in n.held}):
        holders = [n for n in group.values() if address in n.held]
        # First a node that nobody can stop, then one that was not started just now, then VRRP's own choice.
        keep = max(holders, key=lambda n: (not n.here, n.active, not n.begun, n.priority, -n.position))
        stop += [n.host for n in holders if n.here and n is not keep and n.host not in stop]
        away = [n.host for n in holders if not n.here]
        if len(away) > 1:
            refused.append(
                f"{address} is held by {' and '.join(away)}, which this run cannot stop; stop keepalived on all but one"
            )
    return stop, refused


def _not_understood(group: Mapping[str, Node], pending: list[Node], absent_ok: Collection[str]) -> list[str]:
    """The changes that nodes out of reach of this run would not understand: they would become second holders."""
    messages = []
    for absent in (n for n in group.values() if not n.here and n.host not in absent_ok):
        for n in pending:
            unknown = "the configuration in force there is not known"
            reason = unknown if absent.before is None else _misheard(n.after, absent.before)
            if reason:
                messages.append(
                    f"{absent.host} is not part of this run, and would not hear {n.host} afterwards ({reason}): there "
                    f"could be two holders. Include {absent.host}, or bring it back first; if its keepalived is off "
                    "and stays off until this playbook has run there, name it in keepalived_absent_ok"
                )
                break
    return messages


def _strange(group: Mapping[str, Node]) -> bool:
    """Whether some of the running nodes would not hear each other while only one of them has its new configuration."""
    running = [n for n in group.values() if n.active and n.here]
    for one in running:
        for other in running:
            if one is other or not (one.pending or other.pending):
                continue
            if other.before is None or _misheard(one.after, other.before) or _moves(one) or _moves(other):
                return True
    return False


def _moves(n: Node) -> bool:
    """Whether a node will speak by multicast on another interface than now."""
    return any(
        not old.unicast and _related(old, new) and old.interface != new.interface
        for old in n.before or ()
        for new in n.after
    )


def _keepers(group: Mapping[str, Node], holders: list[Node]) -> list[Node]:
    """The holders which stay while the others are stopped: one that has all instances, or else all of them."""
    names = {voice.name for n in group.values() if n.here for voice in n.after}
    for n in sorted(holders, key=lambda n: (n.here, -len(n.held), n.position)):
        if not n.here or names <= {voice.name for voice in n.after}:
            return [n]
    return holders


def _fits(n: Node, group: Mapping[str, Node]) -> bool:
    """Whether a node that does not run yet can start before the others have their new configuration."""
    running = (other for other in group.values() if other.active and other is not n)
    return all(other.before is not None and not _misheard(n.after, other.before) for other in running)


def _led(n: Node, leaders: Iterable[Node]) -> bool:
    """Whether each of its instances has a holder, so that it will not contest an address."""
    return all(
        any(_related(voice, its) and its.addresses & leader.held for leader in leaders for its in _spoken(leader))
        for voice in n.after
    )


def _heard(n: Node, speakers: Iterable[Node], every: bool = False) -> list[dict[str, Any]]:
    """For each instance of a node, the source addresses from which its holder, or everybody, speaks."""
    found = []
    for voice in n.after:
        theirs = [
            its
            for speaker in speakers
            for its in speaker.before or ()
            if speaker.host != n.host and _related(voice, its) and (every or its.addresses & speaker.held)
        ]
        if theirs:
            found.append(
                {
                    "interface": voice.interface,
                    "virtual_router_id": voice.numbers[0],
                    "family": 6 if ":" in voice.announced[0] else 4,
                    "sources": sorted({its.source for its in theirs if its.source}),
                }
            )
    return found


def _spoken(n: Node) -> list[Voice]:
    return [*(n.before or ()), *n.after]


def _misheard(mine: Iterable[Voice], theirs: Iterable[Voice]) -> str | None:
    """The difference for which one of the two would not hear the other one, or None."""
    for one in mine:
        for other in theirs:
            if _related(one, other):
                for option in ("name", "unicast", "secret", "numbers", "announced"):
                    if getattr(one, option) != getattr(other, option):
                        return {"secret": "auth_pass", "numbers": "virtual_router_id or version"}.get(option, option)
                for listener, speaker in ((one, other), (other, one)) if one.unicast else ():
                    known = listener.peers is None or speaker.source is None or speaker.source in listener.peers
                    if not known:
                        return f"{speaker.source} is not among the peers of the other one"
    return None


def _related(one: Voice, other: Voice) -> bool:
    return one.name == other.name or bool(one.addresses & other.addresses)


def _voice(instance: Instance, announced: Iterable[str]) -> Voice:
    given = {"version": 3, "unicast": True, "auth_pass": None, "source_address": None, **instance}
    peers = given.get("peers")
    every = [*_listed(instance), *(_plain(entry) for entry in given.get("excluded_addresses") or ())]
    return Voice(
        name=str(given["name"]),
        numbers=(int(given["virtual_router_id"]), int(given["version"])),
        unicast=bool(given["unicast"]),
        secret=given["auth_pass"],
        announced=tuple(announced),
        addresses=frozenset(every),
        source=_plain(given["source_address"]) if given["source_address"] else None,
        peers=None if peers is None else frozenset(_plain(peer) for peer in peers),
        interface=given.get("interface"),
    )


def _listed(instance: Instance) -> list[str]:
    """All addresses but the excluded ones: those which a configuration in force announces."""
    given = instance.get("addresses")
    if given == []:
        return [_plain(marker(instance["virtual_router_id"]))]
    # None: a configuration which is not the role's, and announces nothing.
    return sorted(_plain(entry) for entry in given or ())


def _announced(instance: Instance) -> list[str]:
    """Those which a configuration written by the role announces: the first."""
    return [_plain(instance["addresses"][0])]


def _plain(entry: Any) -> str:
    text = str(entry["address"] if isinstance(entry, Mapping) else entry).partition("/")[0]
    return str(parse_address(text) or text)
