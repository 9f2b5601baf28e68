# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A passthrough load balancer of Google Cloud, from an inventory, and the nodes that it sends connections to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..base import url
from ..clouds.gce_names import is_name, last_part, zone_of
from .gcp import elsewhere, lacks, silent
from .status import masters

# Two bad probes in a row: one lost packet takes no node out.
THRESHOLD = 2
LONGEST_S = 300  # interval and timeout, as the API takes them
# Variables that the module takes as they are, by its option.
_AS_GIVEN = (
    "address_name",
    "scheme",
    "protocols",
    "ports",
    "global_access",
    "draining_timeout_s",
    "session_affinity",
    "tracking_mode",
    "persistence",
    "idle_timeout_s",
    "allow_replace",
)


def timers(objective_s: Any, variable: str = "gcp_lb_objective_s") -> dict[str, int]:
    """The timers of a health check by which a lost node is noticed within so many seconds: options of health_check.

    variable: the one that has this time, for messages.

    A node that is lost just after a good probe fails the next ones. So the last probe that counts begins after
    threshold intervals, and fails after its timeout. The API takes whole seconds only.

    Raises ValueError for a time that the API cannot do.
    """
    text = str(objective_s)
    seconds = int(text) if text.isdigit() else 0
    threshold = min(THRESHOLD, seconds - 1)
    if threshold < 1:
        raise ValueError(
            f"{variable} is {objective_s!r}; it must be a whole number of seconds, and 2 or more: the shortest "
            "interval and timeout of a probe are 1 s each"
        )
    interval = seconds // (threshold + 1)
    if interval > LONGEST_S:
        raise ValueError(
            f"{variable} is {seconds}; the longest interval of probes is {LONGEST_S} s, so it must be below "
            f"{(THRESHOLD + 1) * (LONGEST_S + 1)}"
        )
    timeout = min(interval, seconds - threshold * interval)
    # Where keepalived elects, the new holder is healthy before the lost one is not.
    thresholds = {"unhealthy_threshold": threshold, "healthy_threshold": threshold}
    return {"interval_s": interval, "timeout_s": timeout, **thresholds}


def _probe(check_url: Any) -> dict[str, Any]:
    """The kind of probe, its port and path. A probe cannot do TLS, and then only makes a connection."""
    asked = url.parse(str(check_url))
    if asked is None:
        raise ValueError(
            f"gcp_lb_check_url is {check_url!r}; write it like http://127.0.0.1/lb-check or tcp://127.0.0.1:6000"
        )
    port = url.PORTS[asked.scheme] if asked.port is None else asked.port
    if asked.scheme == "http":
        return {"type": "http", "port": port, "path": asked.path or "/"}
    return {"type": "tcp", "port": port}


def _listed(value: Any) -> list[str]:
    """What an option of Ansible with a list makes of it."""
    return [each.strip() for each in value.split(",")] if isinstance(value, str) else list(value)


def group_name(name: str, path: str) -> str:
    """Of the instance group of one node. An instance is in one group, and only its group makes it a backup or not."""
    return f"{name}-{last_part(path)}"


def options(given: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """The options of cloudha.vip.gcp_passthrough_lb.

    given: variables of the role without their prefix, and address. paths: each node's instance.

    Raises ValueError where a variable has a value that gives none.
    """
    backups = _listed(given["backups"])
    groups = [
        {
            "name": group_name(given["name"], path),
            "zone": zone_of(path),
            "instances": [path],
            **({"failover": node in backups} if backups else {}),
        }
        for node, path in paths.items()
    ]
    found = {
        "name": given["name"],
        "region": given["region"],
        "network": given["network"] or None,
        "subnetwork": given["subnetwork"] or None,
        "address": given["address"],
        "groups": groups,
        "health_check": {**timers(given["objective_s"]), **_probe(given["check_url"]), **given["health_check"]},
        **{name: given[name] for name in _AS_GIVEN},
    }
    if given["target_tags"]:
        found["firewall"] = {"target_tags": given["target_tags"]}
    if backups:
        policy = {"ratio": given["failover_ratio"], "drop_if_unhealthy": given["drop_if_unhealthy"]}
        # The API takes no word about draining connections where there are none.
        found["failover"] = policy if _listed(given["protocols"]) == ["udp"] else {**policy, "drain": True}
    return {name: value for name, value in found.items() if value is not None and value != ""}


def mistakes(given: Mapping[str, Any], variables: Mapping[str, Any], paths: Mapping[str, str]) -> list[str]:
    """What is wrong with the inventory of a node, in sentences.

    given, paths: as for options. variables: those of the node that each topology of this cloud needs.
    """
    needed = {"gcp_lb_name": "web", "gcp_network": "my-network"}
    if given["scheme"] == "internal":
        needed["gcp_subnetwork"] = "my-subnetwork"
    where = "an IPv4 address in the primary range of gcp_subnetwork, such as 10.100.3.1/32"
    outside = "the external IPv4 address that is reserved for it, such as 203.0.113.7/32"
    found = lacks(variables, paths, needed, where if given["scheme"] == "internal" else outside)
    return found + ([] if found else list(_contradictions(given, paths)))


def _contradictions(given: Mapping[str, Any], paths: Mapping[str, str]) -> Iterator[str]:
    regions = {zone_of(path).rpartition("-")[0] for path in paths.values()}
    if regions != {given["region"]}:
        yield (
            f"gcp_region is {given['region'] or 'not set'}, and the nodes are in {' and '.join(sorted(regions))}; a "
            "load balancer and its nodes are in one region"
        )
    backups = _listed(given["backups"])
    strangers = [node for node in backups if node not in paths]
    if strangers:
        yield f"gcp_lb_backups has {', '.join(strangers)}, which the group vip_nodes does not have"
    elif len(set(backups)) == len(paths):
        yield "gcp_lb_backups has all nodes; leave out the one that is to serve first"
    elif not backups and given["drop_if_unhealthy"]:
        yield (
            "gcp_lb_drop_if_unhealthy is part of a failover policy, which needs a node in gcp_lb_backups: "
            "see the playbook gcp_lb_failover"
        )
    names = {
        "gcp_lb_name": str(given["name"]),
        **{f"gcp_instance of {node}": last_part(p) for node, p in paths.items()},
    }
    for variable, name in names.items():
        if not is_name(name):
            yield f"{variable} is {name!r}; a name has a-z, 0-9 and -, with a letter first and no - last"
    for path in paths.values():
        if len(group_name(given["name"], path)) > 63:
            yield (
                f"gcp_lb_name {given['name']} is too long: the group of {last_part(path)} would be called "
                f"{group_name(given['name'], path)}, and a name has at most 63 characters"
            )
    for part in (lambda: timers(given["objective_s"]), lambda: _probe(given["check_url"])):
        try:
            part()
        except ValueError as e:
            yield str(e)


def holder(
    answer: Mapping[str, Any],
    paths: Mapping[str, str],
    name: str,
    looks: Sequence[Mapping[str, Any]],
    topology: Mapping[str, Any],
) -> dict[str, list[str]]:
    """hosts: the nodes that get new connections. notes: everything that is not at rest, in sentences. backups: the
    nodes that get them only if others cannot.

    answer: that of cloudha.vip.gcp_passthrough_lb_info. paths: each node's instance. looks: those of the role holder.
    topology: elected and shared, as the mechanism says.
    """
    if "holders" not in answer:
        return {**silent(answer), "backups": []}
    nodes = {path: node for node, path in paths.items()}
    hosts = [node for path, node in nodes.items() if path in answer["holders"]]
    backends = {nodes[each["instance"]]: each for each in answer["backends"] if each["instance"] in nodes}
    notes = [] if answer["exists"] else [f"there is no load balancer {name}"]
    strangers = [path for path in answer["holders"] if path not in nodes]
    if strangers and not topology["shared"]:
        notes.append(f"it also sends connections to {', '.join(strangers)}, which is no node")
    if answer["active_pool"] == "all_unhealthy_primaries":
        notes.append("no node passes its health check, so all primary nodes get connections as a last resort")
    elif topology["elected"]:
        notes += elsewhere("the load balancer sends connections to", hosts, masters(looks))
    elif not topology["shared"]:
        # Where all nodes serve, whoever does not is missing anyway.
        drained = [look["item"] for look in looks if (look.get("drain") or 0) < 0]
        ill = [node for node, each in backends.items() if each["health"] != "HEALTHY" and node not in drained]
        notes += [f"{node} does not pass its health check" for node in ill]
    return {"hosts": hosts, "notes": notes, "backups": [node for node, each in backends.items() if each["failover"]]}
