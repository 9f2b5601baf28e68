# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of Google Cloud that start from an image, and are made anew when they fail: from an inventory, and from the
API's answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..base import url
from ..clouds.gce_names import is_name, last_part, zone_of
from .gcp import lacks
from .gcp_lb import timers

OBJECTIVE = "gcp_autohealing_objective_s"
LONGEST_NAME = 63


def group_name(name: str, path: str) -> str:
    """Of the managed instance group that has one node only."""
    return f"{name}-{last_part(path)}"


def _check(check_url: Any, objective_s: Any) -> dict[str, Any]:
    """The options of a health check that asks what this URL asks. A probe cannot do TLS, and then only connects."""
    asked = url.parse(str(check_url))
    if asked is None:
        raise ValueError(
            f"gcp_autohealing_check_url is {check_url!r}; write it like http://127.0.0.1/healthz or "
            "tcp://127.0.0.1:5432"
        )
    port = url.PORTS[asked.scheme] if asked.port is None else asked.port
    kind = {"type": "http", "path": asked.path or "/"} if asked.scheme == "http" else {"type": "tcp"}
    return {**kind, "port": port, **timers(objective_s, OBJECTIVE)}


def groups(
    given: Mapping[str, Any], paths: Mapping[str, str], addresses: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """For each node the options of cloudha.vip.gcp_autohealing_group.

    given: name, image, check_url, objective_s and health_check; the rest are options of the module. paths: each node's
    instance. addresses: each node's own address, which stays with it.

    Raises ValueError where a variable has a value that gives none.
    """
    own = {"name", "check_url", "objective_s", "health_check", "tags"}
    same = {name: value for name, value in given.items() if name not in own and value not in ("", None)}
    check = {**_check(given["check_url"], given["objective_s"]), **given["health_check"]}
    return {
        node: {
            **same,
            "name": group_name(given["name"], path),
            "zone": zone_of(path),
            "instances": [{"name": last_part(path), "address": addresses[node]}],
            "health_check": check,
            "tags": given["tags"],
            "firewall": {"target_tags": given["tags"]},
        }
        for node, path in paths.items()
    }


def mistakes(
    given: Mapping[str, Any], variables: Mapping[str, Any], paths: Mapping[str, str], addresses: Mapping[str, str]
) -> list[str]:
    """What is wrong with the inventory of a node, in sentences.

    given, paths, addresses: as for groups. variables: those of the node that each topology of this cloud needs, and
    those that contradict others.
    """
    needed = {
        "gcp_network": "my-network",
        "gcp_subnetwork": "my-subnetwork",
        "gcp_image_source": "projects/debian-cloud/global/images/family/debian-12",
    }
    where = "an IPv4 address that is in no subnet of the network, such as 10.200.1.1/32"
    found = lacks(variables, paths, needed, where)
    return found + ([] if found else [*_contradictions(given, paths, addresses), *_clashes(given, variables)])


def _clashes(given: Mapping[str, Any], variables: Mapping[str, Any]) -> Iterator[str]:
    """Which variables need each other, or exclude each other."""
    actions = sorted({each["type"] for each in variables["vip_agent_actions"] if _calls_google(each)})
    if actions and not given["service_account"]:
        yield (
            f"gcp_autohealing_service_account is not set, and the agent of each node logs in for {', '.join(actions)}; "
            "set it, such as vip-agent@my-project.iam.gserviceaccount.com for the group vip_nodes"
        )
    name, zone = variables["gcp_dns_name"], variables["gcp_dns_zone"]
    if name and not variables["gcp_autohealing_single"]:
        yield (
            f"gcp_dns_name is {name}, and here clients ask vip_address; leave it out, or use the playbook "
            "gcp_autohealing"
        )
    elif name and not zone:
        yield f"gcp_dns_zone is not set; set it to the managed zone of Cloud DNS that has {name}, such as my-zone"
    elif zone and not name:
        yield f"gcp_dns_name is not set; set it to a name in the managed zone {zone}, or leave gcp_dns_zone out"
    size, least = given["disk_size_gb"], variables["gcp_image_disk_size_gb"]
    if str(size).isdigit() and str(least).isdigit() and int(size) < int(least):
        yield (
            f"gcp_autohealing_disk_size_gb is {size}, and the image has {least} GB (gcp_image_disk_size_gb); set at "
            "least that, or leave it out"
        )


def _calls_google(action: Any) -> bool:
    return isinstance(action, Mapping) and str(action.get("type")).startswith("gcp_")


def _contradictions(given: Mapping[str, Any], paths: Mapping[str, str], addresses: Mapping[str, str]) -> Iterator[str]:
    for node, path in paths.items():
        instance, group = last_part(path), group_name(given["name"], path)
        if instance != node:
            yield (
                f"gcp_instance of {node} is {instance}; all nodes start from one image and call themselves by their "
                f"instance's name, so call the host {instance}"
            )
        if not is_name(instance):
            yield f"{instance!r} is no instance's name; it has a-z, 0-9 and -, with a letter first and no - last"
        elif not is_name(group):
            yield (
                f"gcp_autohealing_name is {given['name']!r}, and the group of {node} would be called {group}; a name "
                f"has a-z, 0-9 and -, with a letter first, no - last, and at most {LONGEST_NAME} characters"
            )
        if not _plain_ipv4(addresses[node]):
            yield (
                f"gcp_address of {node} is {addresses[node] or 'not set'}; set it to the IPv4 address of "
                "gcp_subnetwork that the node is to keep, by default ansible_host"
            )
    if len(set(addresses.values())) < len(addresses):
        yield "two nodes have the same gcp_address; each keeps one of its own"
    try:
        _check(given["check_url"], given["objective_s"])
    except ValueError as e:
        yield str(e)


def _plain_ipv4(text: str) -> bool:
    parts = str(text).split(".")
    return len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts)


def settling(answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Which nodes are being made anew, or soon will be, in sentences.

    answers: for each node that of cloudha.vip.gcp_autohealing_group_info, or the error.
    """
    found = []
    for node, answer in answers.items():
        if not answer.get("exists", True):
            found.append(f"{node} has no instance group")
        elif answer.get("instances") == []:
            found.append(f"the instance group of {node} has no instance")
        for each in answer.get("instances") or ():
            if each["action"] != "NONE":
                found.append(f"its instance group has {node} in the state {each['action']}")
            elif not each["serves"]:
                found.append(f"{node} does not pass the health check of its instance group ({each['health']})")
    return found


def existing(nodes: Iterable[str], answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Those of the nodes that have an instance; all if the API tells of none. answers: as for settling.

    A node of which alone the API does not tell is in a lost zone: to ask it would cost a time-out for each question.
    """
    told = any("exists" in answer for answer in answers.values())
    return [node for node in nodes if (_is_there(answers.get(node, {})) if told else True)]


def _is_there(answer: Mapping[str, Any]) -> bool:
    return bool(answer.get("instances"))


def order(answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The nodes as they may start from another image one after another: first those that do not serve, so that the
    others may be replaced once these do. answers: as for settling."""
    return sorted(answers, key=lambda node: any(each["serves"] for each in answers[node].get("instances") or ()))


def holder(
    answers: Mapping[str, Mapping[str, Any]],
    addresses: Mapping[str, str],
    name: Mapping[str, Any] | None = None,
) -> dict[str, list[str]]:
    """hosts: the node that clients ask, of which there is one at a time. notes: everything that is not at rest, in
    sentences. there: the nodes that have an instance. led: where clients are. home: the one that is to serve.

    answers: for each node that of cloudha.vip.gcp_autohealing_group_info, or the error. addresses: each node's own.
    name: that of cloudha.vip.gcp_dns_name_info, or the error; None if clients ask the address itself.
    """
    there = [node for node, answer in answers.items() if _is_there(answer)]
    serving = [node for node in there if any(each["serves"] for each in answers[node]["instances"])]
    named = there if name is None else [node for node in answers if addresses[node] in name.get("addresses", ())]
    # What became of a place where no client is led, in a lost zone perhaps, changes nothing for them.
    asked = named if name is not None and named else answers
    silent_ones = [
        f"the API does not tell of {node}: {answers[node].get('msg')}"
        for node in asked
        if "exists" not in answers[node]
    ]
    notes = silent_ones + settling({node: answers[node] for node in named if node in there})
    if not there and not silent_ones:
        notes.append("there is no node")
    if name is not None and "addresses" not in name:
        notes.append(f"Cloud DNS does not tell: {name.get('msg') or 'no answer'}")
    elif name is not None and not named:
        notes.append(f"the name leads to {', '.join(name['addresses']) or 'nothing'}, which is no node")
    notes += [
        f"the name leads to {node}, which is not there"
        for node in named
        if "exists" in answers[node] and node not in there
    ]
    notes += [f"{node} is there, too" for node in there if node not in named[:1]]
    home = (named or there or list(answers))[:1]
    return {
        "hosts": [n for n in named[:1] if n in serving],
        "notes": notes,
        "there": there,
        "led": named,
        "home": home,
    }


def image(answers: Mapping[str, Mapping[str, Any]]) -> str:
    """The path of the image that the single node has, also if its zone is lost; "" if it has none.

    answers: as for settling.
    """
    instances = [each for answer in answers.values() for each in answer.get("instances") or ()]
    # Without an instance the node is in the lost zone. A place without a node may be behind.
    groups = sorted(answers.values(), key=lambda answer: "exists" in answer)
    return next((str(each["image"]) for each in (*instances, *groups) if each.get("image")), "")
