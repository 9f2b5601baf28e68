# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs name no topology and no cloud, and each mechanism says what they must know."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.failover.gcp_checks import PROBE_RANGES

ROOT = Path(__file__).resolve().parents[3]
NAMES = re.compile("gcp|alias|havip|huawei|openstack|ucloud|cloudpods|neutron|lvs", re.IGNORECASE)
VERB_NAMES = ("deploy", "image", "drill", "status", "switchover", "teardown")
VERBS = [
    *(path for role in ("holder", "switchover") for path in (ROOT / "roles" / role).glob("*/*.yml")),
    *(ROOT / "roles/drill").glob("tasks/*.yml"),
    *(ROOT / "roles/drill").glob("vars/*.yml"),
    *(ROOT / "roles/drill").glob("defaults/*.yml"),
    *(ROOT / "playbooks" / f"{name}.yml" for name in VERB_NAMES),
    *(ROOT / "playbooks").glob("plays/*.yml"),
    *(ROOT / "playbooks").glob("tasks/*.yml"),
    ROOT / "playbooks/vars/service.yml",
]
MECHANISMS = sorted((ROOT / "roles").glob("*/meta/mechanism.yml"))
TOPOLOGIES = sorted(
    path for path in (ROOT / "playbooks/vars").glob("*.yml") if "topology_parts" in yaml.safe_load(path.read_text())
)


@pytest.mark.parametrize("path", VERBS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_verb_names_no_cloud(path):
    found = [line for line in path.read_text().splitlines() if NAMES.search(line)]
    assert found == []


def test_the_verbs_are_found():
    assert len(VERBS) > 30 and {path.parents[1].name for path in MECHANISMS} >= {"gcp_alias_ip", "gcp_route", "vrrp"}


@pytest.mark.parametrize("path", MECHANISMS, ids=lambda path: path.parents[1].name)
def test_a_mechanism_says_what_the_verbs_must_know(path):
    traits = yaml.safe_load(path.read_text())
    few = {"of_topology", "detection", "drops_unhealthy", "fails_back", "recreates", "single"}
    flags = {"shared", "elected", "fails_over", "on_interface", "standby_asks", "waits_for_zone", "moves"}
    assert set(traits) - few == {"operations", "unheld_operations", "probes_from", *flags}
    assert all(isinstance(traits[flag], bool) for flag in flags)
    assert 0 <= traits["unheld_operations"] <= traits["operations"]
    assert traits["moves"] is (path.parents[1] / "tasks/move.yml").is_file()
    for its in ({}, *traits.get("of_topology", {}).values()):
        assert set(its) <= {*flags, "fails_back"}
        said = {**traits, **its}
        assert said["moves"] or not said["shared"], "keepalived's election cannot take out one of several"
    assert set(traits.get("of_topology", {})) <= {topology.stem for topology in TOPOLOGIES}
    assert all(ipaddress.ip_network(network) for network in traits["probes_from"])
    assert {"main", "absent", "check", "holder"} <= {task.stem for task in (path.parents[1] / "tasks").iterdir()}


def test_a_drill_keeps_away_the_probes_of_every_scheme():
    traits = yaml.safe_load((ROOT / "roles/gcp_lb/meta/mechanism.yml").read_text())
    assert sorted(traits["probes_from"]) == sorted(set().union(*PROBE_RANGES.values()))


def test_the_topologies_are_found():
    verbs = set(VERB_NAMES)
    assert {path.stem for path in TOPOLOGIES} == {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - verbs


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_a_topology_is_made_of_parts_that_are_deployed_and_removed_alike(path):
    said = yaml.safe_load(path.read_text())
    assert said["topology_mechanism"] in said["topology_parts"]["vip_nodes"]
    for part in {part for parts in said["topology_parts"].values() for part in parts}:
        tasks = ROOT / "roles" / part / "tasks"
        assert all((tasks / f"{entry}.yml").is_file() for entry in ("check", "main", "absent")), part


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_a_topology_is_deployed_under_its_own_name(path):
    """Its record has this name, and its variables file is found by it."""
    plays = yaml.safe_load((ROOT / "playbooks" / path.name).read_text())
    assert {play["vars"]["topology"] for play in plays} == {path.stem}
