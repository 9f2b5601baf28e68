# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The holder of an address that Google's API moves, from the API's answers; and the missing settings of an inventory
for Google Cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..base.floating import check_floating
from ..clouds.gce_names import parse_range


def elsewhere(subject: str, holders: Sequence[str], masters: Sequence[str]) -> list[str]:
    """A sentence if keepalived is MASTER on others than the holders, of which there are some. subject: what says so."""
    if not holders or list(masters) == list(holders):
        return []
    return [f"{subject} {' and '.join(holders)}, and keepalived is MASTER on {' and '.join(masters) or 'no node'}"]


def silent(answer: Mapping[str, Any]) -> dict[str, list[str]]:
    """No hosts, and why: the API gave no answer."""
    return {"hosts": [], "notes": [f"the API does not tell: {answer.get('msg') or 'no answer'}"]}


def route_holder(
    answer: Mapping[str, Any], paths: Mapping[str, str], name: str, masters: Sequence[str]
) -> dict[str, list[str]]:
    """hosts: the node to which the route leads. notes: everything that is not at rest, in sentences. answer: that of
    cloudha.vip.gcp_route_info. paths: each node's instance. masters: where keepalived is MASTER.
    """
    if "holder" not in answer:
        return silent(answer)
    holder, leftovers = answer["holder"], answer.get("leftovers") or []
    hosts = [host for host, path in paths.items() if holder is not None and path == holder]
    notes = [] if answer["exists"] else [f"there is no route {name}"]
    if holder and not hosts:
        notes.append(f"the route leads to {holder}, which is no node")
    effective = (answer.get("effective") or {}).get("name", name)
    if effective not in [name, *leftovers]:
        notes.append(f"the traffic follows another route, {effective}")
    if leftovers:
        notes.append(f"temporary routes: {', '.join(leftovers)}")
    return {"hosts": hosts, "notes": notes + elsewhere("the route leads to", hosts, masters)}


def alias_holder(answer: Mapping[str, Any], paths: Mapping[str, str], masters: Sequence[str]) -> dict[str, list[str]]:
    """hosts: the nodes that have a range. notes: everything that is not at rest, in sentences. answer: that of
    cloudha.vip.alias_ip_info. paths: each node's instance. masters: where keepalived is MASTER.
    """
    if "ranges" not in answer:
        return silent(answer)
    holding = [one["holder"] for one in answer["ranges"]]
    hosts = [host for host, path in paths.items() if path in holding]
    notes = [
        f"{one['address']} is on {one['holder']}, which is no node"
        if one["holder"]
        else f"{one['address']} is on no instance"
        for one in answer["ranges"]
        if one["holder"] not in paths.values()
    ]
    if answer.get("silent_zones"):
        notes.append(f"no answer from {', '.join(answer['silent_zones'])}")
    if len(hosts) == 1:
        notes += elsewhere("the range is on", hosts, masters)
    return {"hosts": hosts, "notes": notes}


def _is_address(text: str) -> bool:
    """Whether it is one IPv4 address that clients can reach, with or without its prefix length."""
    try:
        first, last = parse_range(text)[1]
        check_floating(text, first, last)
    except ValueError:
        return False
    return first == last


def lacks(
    variables: Mapping[str, Any],
    paths: Mapping[str, str],
    needed: Mapping[str, str],
    address: str,
    may_be_empty: Sequence[str] = (),
) -> list[str]:
    """The missing settings in the inventory of a node, in sentences.

    variables: of the node. paths: each node's instance. needed: further variables, each with an example. address: what
    vip_address has to be. may_be_empty: variables for which an empty text says something.
    """
    found = []
    if not _is_address(str(variables.get("vip_address") or "")):
        found.append(f"vip_address is {variables.get('vip_address') or 'not set'}; set {address}")
    basic = {"vip_interface": "eth0", "gcp_project": "my-project", "gcp_zone": "us-central1-a"}
    for name, example in {**basic, **needed}.items():
        if variables.get(name) or (name in may_be_empty and variables.get(name) is not None):
            continue
        where = "each node" if name == "gcp_zone" else "the group vip_nodes"
        found.append(f"{name} is not set; set it, such as {example} for {where}")
    if len(paths) < 2:
        found.append(f"the group vip_nodes has {len(paths)} host; nobody could take over")
    elif len(set(paths.values())) < len(paths):
        found.append("two nodes are the same instance; gcp_instance is its name, by default the host's")
    return found
