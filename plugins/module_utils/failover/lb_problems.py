# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the problems that forbid to make a passthrough load balancer what it should be. Pure: facts to sentences."""

from __future__ import annotations

import contextlib

from ..base.errors import Denied, NotFound, Unavailable
from ..clouds.gce_names import format_cidr, last_part, normalise, parse_address, parse_cidr, zone_of
from .gcp_checks import HTTP_ONLY, clashes
from .gcp_objects import NOUNS
from .lb_decide import labels_of, replaced, surplus
from .lb_fields import ALL_PORTS, ports_of
from .lb_goal import EXTERNAL, INTERNAL, MARK
from .lb_look import Observed
from .lb_steps import foreseen
from .lb_wanted import has_backup, has_sessions, wanted, wants_failover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from .gcp_objects import Item
    from .lb_goal import LbGoal

MOST_RULES = 10  # on one address
# The options for fields that cannot be changed in place.
_OPTIONS = {
    "IPAddress": "address",
    "IPProtocol": "protocols",
    "addressType": "scheme",
    "allPorts": "ports",
    "direction": "firewall",
    "loadBalancingScheme": "scheme",
    "networkTier": "address",
    "protocol": "protocols",
    "purpose": "protocols",
    "type": "health_check.type",
}


def problems(o: Observed, first: bool) -> list[str]:
    """The blocking problems. first: whether nothing was changed yet; only then it is asked whether all is fit.

    Raises Unread.
    """
    if not o.goal.present:
        return []
    missing = list(_missing(o))
    if missing:
        return missing
    items = wanted(o)
    found = [*_fixed_problems(o, items), *_surplus_problems(o)]
    if first and not found and o.goal.allow_replace:
        found = list(_loss_problems(o, items))
    if first:
        found += [*_address_problems(o), *_check_problems(o), *_backend_problems(o, items)]
        found += _instance_problems(o)
    return found


def _missing(o: Observed) -> Iterator[str]:
    """What is needed to make it, and nothing tells."""
    goal, (path, address) = o.goal, o.address
    if o.scheme == INTERNAL and not o.subnetwork:
        yield f"subnetwork: give it, as there is no load balancer {goal.name} in {goal.region} that has one"
        return
    if o.ip is None and goal.address_name:
        yield f"address_name: there is no address {goal.address_name} in {goal.region}: reserve it, or give address"
    elif o.ip is None and o.scheme == INTERNAL:
        yield f"address: give it, as there is no load balancer {goal.name} in {goal.region} that has one"
    if o.scheme == EXTERNAL and goal.address and address is None:
        yield (
            f"address: {goal.address} is not reserved in {goal.region}, and nobody can choose an external address:"
            f" reserve it, or leave address out and {last_part(path)} gets one"
        )
    if goal.firewall and o.network is None:
        yield "network: give it, for the firewall rule that lets the probes in"


def _fixed_problems(o: Observed, items: Sequence[Item]) -> Iterator[str]:
    yield from _owner_problems(o, items)
    yield from _frozen_problems(o, items)


def _owner_problems(o: Observed, items: Sequence[Item]) -> Iterator[str]:
    for item in items:
        if item.found and o.is_anothers(item.path) and item.kind not in ("addresses", "instanceGroups"):
            owner = item.found["description"][len(MARK) :]
            yield f"name: {item.label} was made for the load balancer {owner}: choose another name"


def _frozen_problems(o: Observed, items: Sequence[Item]) -> Iterator[str]:
    """What would take the live address down is refused, unless it is asked for; what is not ours stays."""
    for item in items:
        for name, (old, new) in item.frozen.items():
            if name in ("ports", "allPorts"):
                old, new = ports_of(item.found or {}), ports_of(item.body)
            field = f"{_OPTIONS.get(name, name)}: {item.label} has {name} {_spell(old)}, and {_spell(new)} is wanted"
            if not o.goal.allow_replace:
                down = "no probes get through" if item.kind == "firewalls" else "nothing answers at the address"
                yield f"{field}; the API does not change that. allow_replace makes it anew; meanwhile {down}"
            elif not o.is_mine(item.path):
                yield f"{field}; the API does not change that, and it is not deleted as it was not made here"
    if o.goal.allow_replace:
        frozen = {item.path for item in items if item.frozen}
        for path in sorted(replaced(o, items) - frozen):
            if not o.is_mine(path):
                yield (
                    f"allow_replace: {_label(path)} uses {', '.join(map(last_part, sorted(frozen)))}, which would have"
                    " to be made anew, and it was not made for this load balancer"
                )


def _loss_problems(o: Observed, items: Sequence[Item]) -> Iterator[str]:
    """What only the objects tell that have to be made anew, so that nobody would know it once they are deleted; and
    what would stand in the way by then."""
    goal, gone = o.goal, replaced(o, items)
    if not gone:
        return
    resources = {path: body for path, body in o.resources.items() if path not in gone}
    missing = [problem.partition(":")[0] for problem in _missing(Observed(goal, resources, o.members, o.answers))]
    if not missing:
        states = foreseen(o)[1]
        for state in states:
            later = list(_fixed_problems(state, wanted(state)))
            if later:
                yield from later
                return
        changes = _differences(o.to_diff(), states[-1].to_diff())
        missing = [name for name, part in changes if not _is_declared(goal, name, part)]
    for name in dict.fromkeys(missing):
        yield f"{name}: give it, too: what allow_replace has to delete is all that tells it"


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names, and the names of parts, of what is there and will be otherwise."""
    for name, old in before.items():
        new = after[name]
        if isinstance(old, dict) and isinstance(new, dict):
            yield from ((name, part) for part in old if old[part] not in (None, "", new.get(part)))
        elif old not in (None, [], new):
            yield name, ""


def _is_declared(goal: LbGoal, name: str, part: str) -> bool:
    """Whether an option says what becomes of it."""
    if name in ("health_check", "failover"):
        fields = {"type": goal.check_kind, "scope": goal.check_global, **goal.check, **goal.service}
        # Another type of health check has other fields.
        return fields.get(part) is not None or (part in HTTP_ONLY and goal.check_kind == "TCP")
    if name == "groups":
        groups = {f"{zone_of(group.path)}/{last_part(group.path)}": group for group in goal.groups or ()}
        if goal.exclusive and goal.groups is not None:
            return True  # all others are to go
        return part in groups and groups[part].failover is not None
    if name in ("network", "subnetwork", "address"):
        # They follow from each other.
        return bool(goal.subnetwork or goal.address or goal.scheme or goal.address_name)
    if name == "firewall":
        return bool(goal.targets) or not part.startswith("target")
    return name == "leftovers" or {**vars(goal), **goal.service}.get(name) is not None


def _spell(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _label(path: str) -> str:
    return f"the {NOUNS.get(path.split('/')[-2], 'resource')} {last_part(path)}"


def _surplus_problems(o: Observed) -> Iterator[str]:
    own = {o.place_of("forwardingRules", protocol) for protocol in o.protocols}
    for path in surplus(o):
        if path in own:
            continue  # it stands where another one should, which is said already
        protocol = o.resources[path].get("IPProtocol")
        what = f"protocols: {_label(path)} is for {protocol}, and {labels_of(o.protocols)} is wanted"
        if not o.goal.allow_replace:
            yield f"{what}. allow_replace deletes it; then nothing answers there any more"
        elif not o.is_mine(path):
            yield f"{what}; it is not deleted, as it was not made for this load balancer"


# --- the address


def _address_problems(o: Observed) -> Iterator[str]:
    ip = o.ip
    if ip is None:
        return
    if o.scheme == INTERNAL:
        try:
            subnet = o.subnet()
        except NotFound as error:
            yield f"subnetwork: {o.subnetwork} does not exist ({error})"
            return
        except Denied:
            subnet = {}
        first, last = parse_cidr(subnet.get("ipCidrRange") or "0.0.0.0/0")
        number = parse_address(ip) or 0
        if not first <= number <= last:
            yield (
                f"address: {ip} is outside of {format_cidr(first, last)}, the primary range of the subnetwork"
                f" {last_part(o.subnetwork)}: choose one inside"
            )
            return
        if subnet and number in (first, first + 1, last - 1, last):
            yield (
                f"address: {ip} is one of the four that Google keeps of {format_cidr(first, last)}, the first two and"
                " the last two: choose another one"
            )
            return
        if o.goal.network and subnet and normalise(subnet.get("network")) != o.goal.network:
            yield (
                f"network: the subnetwork {last_part(o.subnetwork)} is on {normalise(subnet.get('network'))}, and not"
                f" on {o.goal.network}"
            )
    yield from _neighbour_problems(o, ip)


def _neighbour_problems(o: Observed, ip: str) -> Iterator[str]:
    """Who else has the address."""
    path, address = o.address
    own = {o.place_of("forwardingRules", protocol) for protocol in o.protocols} | set(surplus(o))
    rules = [(each, rule) for each, rule in o.collection("forwardingRules") if _is_at(o, rule, ip)]
    others = [(each, rule) for each, rule in rules if each not in own]
    for other, body in o.collection("addresses"):
        if other != path and body.get("address") == ip and _same_network(o, body):
            yield f"address: {ip} is reserved as {last_part(other)}: give address_name={last_part(other)} to use that"
    shared = o.scheme == EXTERNAL or (address or {}).get("purpose") == "SHARED_LOADBALANCER_VIP"
    for other, rule in others:
        who = f"{_label(other)} (of {normalise(rule.get('backendService') or rule.get('target'))})"
        if not shared:
            yield f"address: {ip} is in use by {who}, and it is not shared"
        elif any(_collide(o, rule, protocol) for protocol in o.protocols):
            yield f"address: {ip} is in use by {who}, for the same protocol and ports"
    if shared and len(others) + len(o.protocols) > MOST_RULES:
        yield f"address: {ip} would have more than {MOST_RULES} forwarding rules"
    users = [user for user in map(normalise, (address or {}).get("users") or ()) if "/forwardingRules/" not in user]
    if address is None and o.scheme == INTERNAL and not rules:
        with contextlib.suppress(Denied, Unavailable):
            users += (normalise(each["selfLink"]) for each in o.instances() if _has(each, ip, o.network))
    for user in users:
        yield f"address: {ip} is in use by {user}"


def _is_at(o: Observed, rule: Mapping[str, Any], ip: str) -> bool:
    return rule.get("IPAddress") == ip and _same_network(o, rule)


def _same_network(o: Observed, body: Mapping[str, Any]) -> bool:
    """Whether a reservation or a rule is on the wanted network, as far as it says."""
    network, subnetwork = normalise(body.get("network")), normalise(body.get("subnetwork"))
    return (network == o.network) if network and o.network else subnetwork in ("", o.subnetwork)


def _collide(o: Observed, rule: Mapping[str, Any], protocol: str) -> bool:
    """Whether another rule takes what a rule for the protocol would take."""
    if rule.get("IPProtocol") != protocol:
        return False
    mine = o.goal.ports or ports_of(o.resources.get(o.place_of("forwardingRules", protocol)) or {"ports": ["80"]})
    theirs = ports_of(rule)
    return ALL_PORTS in (mine, theirs) or not set(mine).isdisjoint(theirs)


def _has(instance: Mapping[str, Any], ip: str, network: str | None) -> bool:
    """Whether an instance has the address, as a primary one or in an alias range."""
    number = parse_address(ip) or 0
    for interface in instance.get("networkInterfaces") or ():
        if normalise(interface.get("network")) != network:
            continue
        ranges = [str(each.get("ipCidrRange")) for each in interface.get("aliasIpRanges") or ()]
        for text in (str(interface.get("networkIP")), *ranges):
            with contextlib.suppress(ValueError):
                first, last = parse_cidr(text if "/" in text else f"{text}/32")
                if first <= number <= last:
                    return True
    return False


# --- the health check and the backends


def _check_problems(o: Observed) -> Iterator[str]:
    goal = o.goal
    # One in another scope begins as the present one is.
    found = o.resources.get(o.check_path) or o.resources.get(o.present_check or "") or {}
    yield from clashes(goal.check_kind, goal.check, o.check_path, found)
    if o.scheme == EXTERNAL and "/global/" in o.check_path:
        yield "health_check.scope: an external load balancer needs a regional health check"


def _backend_problems(o: Observed, items: Sequence[Item]) -> Iterator[str]:
    goal = o.goal
    for item in items:
        if item.kind == "backendServices":
            backends = item.body["backends"]
            if wants_failover(goal) and not has_backup(backends):
                yield "failover: it needs a backup: give a group with failover=true"
            if has_backup(backends) and all(each.get("failover") for each in backends):
                yield "groups: all are backups: at least one has to have failover=false"
            if "drain" in goal.service and o.protocols == ("UDP",):
                yield "failover.drain: the API does not take it for udp, whose packets belong to no connection"
            found = item.found or {}
            if "idle_timeout_s" in goal.service and not has_sessions({**found, **item.body}, found):
                yield (
                    "idle_timeout_s: only with tracking_mode=per_session and a session_affinity that is neither none"
                    " nor client_ip_port_proto"
                )
            elif "idle_timeout_s" in goal.service and o.scheme == EXTERNAL:
                yield "idle_timeout_s: only with scheme=internal"
            if o.scheme == EXTERNAL and goal.service.get("session_affinity") == "CLIENT_IP_NO_DESTINATION":
                yield "session_affinity: client_ip_no_destination only with scheme=internal"
            break
    for item in items:
        if item.kind != "instanceGroups":
            continue
        network = normalise((item.found or {}).get("network"))
        if network and o.network and network != o.network:
            yield f"groups: the group {last_part(item.path)} is on {network}, and not on {o.network}"
        left = set(o.members.get(item.path, ())) - set(item.removed)
        if item.found and not network and not left and not item.added:
            yield f"groups: {last_part(item.path)} has no instance, and therefore no network: give one"
    yield from _double_problems(o)


def _double_problems(o: Observed) -> Iterator[str]:
    """Instances that are in another group which is load-balanced."""
    declared = {group.path: group.instances or () for group in o.goal.groups or ()}
    new = {
        instance: path
        for path, instances in declared.items()
        for instance in instances
        if instance not in o.members.get(path, ())
    }
    if not new:
        return
    balanced = {
        normalise(backend.get("group")): last_part(path)
        for path, service in o.collection("backendServices")
        for backend in service.get("backends") or ()
    }
    for group, service in balanced.items():
        if group not in o.resources or group in declared:
            continue
        with contextlib.suppress(NotFound, Denied):
            for instance in o.members_of(group):
                if instance in new:
                    yield (
                        f"groups: the instance {instance} is in the group {last_part(group)} of the backend service"
                        f" {service}: the API takes it in one load-balanced group only"
                    )


def _instance_problems(o: Observed) -> Iterator[str]:
    for group in o.goal.groups or ():
        if not group.instances and group.path not in o.resources:
            yield from _zone_problems(o, group.path)
        for path in group.instances or ():
            if path in o.members.get(group.path, ()):
                continue
            try:
                interfaces = o.instance(path).get("networkInterfaces") or ()
            except NotFound as error:
                yield f"groups: the instance {path} does not exist ({error})"
                continue
            # Of a group's instances the first interface counts.
            network = normalise(interfaces[0].get("network")) if interfaces else "none"
            if o.network and network != o.network:
                yield f"groups: the instance {path} is on {network}, and not on {o.network}"


def _zone_problems(o: Observed, group: str) -> Iterator[str]:
    """Whether there is a zone for a new group. Of its instances, each look would tell."""
    try:
        o.members_of(group)
    except NotFound as error:
        # There is no such group in either case; of a zone that there is not, it is a field that is wrong.
        if error.status == 400:
            yield f"groups: the zone {zone_of(group)} of {last_part(group)} does not exist ({error})"
