# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The problems in the variables of a whole group, found before anything on a node is changed.

keepalived -t sees one file at a time, and accepts much which cannot work. Here all nodes are seen together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .instance import Instance, Node
from .problems_group import Problem, group_problems, one_machine
from .problems_instance import instance_problems
from .problems_node import node_problems
from .values import structure_problems


def find_problems(nodes: Mapping[str, Node], spec: Mapping[str, Any] | None = None) -> list[str]:
    """Everything that is wrong with the group, one message each; an empty list if nothing is.

    nodes: for each host, in the order of the group, the role's variables (keepalived_instances and so on, with or
    without their defaults), and what is known of the node: interfaces (for each interface the list of its addresses,
    with or without prefix length; left out: not checked), macs (the hardware address of each interface) and container
    (whether it has its own network namespace).
    spec: the options of the role's argument specification; with it, unknown keys are found too.
    A message names the hosts, the option, the problem and the remedy. It never contains a secret.
    """
    found: dict[str, list[str]] = {}
    for host, text in _all_problems(nodes, spec):
        if nodes[host].get("absent"):  # not part of this run
            continue
        hosts = found.setdefault(text, [])
        if host not in hosts:
            hosts.append(host)
    return [f"{', '.join(hosts)}: {text}" for text, hosts in found.items()]


def _all_problems(nodes: Mapping[str, Node], spec: Mapping[str, Any] | None) -> Iterator[Problem]:
    broken = [(host, text) for host, node in nodes.items() if spec for text in structure_problems(node, spec)]
    if broken:
        yield from broken
        return
    twins = list(one_machine(nodes))
    yield from twins
    for host, node in nodes.items():
        for text in node_problems(node, nodes, spec):
            yield host, text
    instances = [
        Instance(host, node, position, given)
        for position, (host, node) in enumerate(nodes.items())
        for given in node.get("keepalived_instances") or []
    ]
    by_name: dict[str, list[Instance]] = {}
    for instance in instances:
        by_name.setdefault(instance.name, []).append(instance)
    for instance in instances:
        siblings = [other for other in by_name[instance.name] if other.host != instance.host]
        for text in instance_problems(instance, siblings, len(nodes)):
            yield instance.host, text
    yield from group_problems(instances, by_name, bool(twins))
