# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.failover.gcp_preflight import vrrp_problems

NETWORK = "projects/p/global/networks/n"
URL = "https://www.googleapis.com/compute/v1/" + NETWORK


def node(address, *tags, account="agent@p.iam"):
    return {
        "networkInterfaces": [{"network": URL, "networkIP": address}],
        "tags": {"items": list(tags)},
        "serviceAccounts": [{"email": account}],
    }


def rule(name="vrrp", protocol="112", deny=False, **fields):
    entries = [{"IPProtocol": protocol}]
    return {"name": name, "network": URL, "denied" if deny else "allowed": entries, **fields}


NODES = {"node1": node("10.0.0.1", "backend"), "node2": node("10.0.0.2", "backend")}
ANYWHERE = {"sourceRanges": ["0.0.0.0/0"]}


@pytest.mark.parametrize(
    "rules",
    [
        [rule(sourceTags=["backend"], targetTags=["backend"])],
        [rule(protocol="all", sourceRanges=["10.0.0.0/24"])],
        [rule(sourceServiceAccounts=["agent@p.iam"], targetServiceAccounts=["agent@p.iam"])],
        # Either of the two says who the sender is.
        [rule(sourceTags=["no-one"], sourceRanges=["10.0.0.0/30"])],
        [rule(priority=900, **ANYWHERE), rule("deny", deny=True, priority=901, **ANYWHERE)],
        [rule(**ANYWHERE), rule("deny", "tcp", deny=True, priority=1, **ANYWHERE)],
        [rule(**ANYWHERE), rule("deny", deny=True, priority=1, disabled=True, **ANYWHERE)],
        [
            rule(**ANYWHERE),
            rule("elsewhere", deny=True, priority=1, direction="EGRESS", destinationRanges=["10.9.0.0/16"]),
        ],
    ],
)
def test_passes(rules):
    assert vrrp_problems(NODES, NETWORK, rules) == []


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ([], "no rule allows it (ingress)"),
        ([rule(protocol="tcp", **ANYWHERE)], "no rule allows it (ingress)"),
        ([rule(sourceRanges=["10.1.0.0/16"])], "no rule allows it (ingress)"),
        ([rule(sourceTags=["other"])], "no rule allows it (ingress)"),
        ([rule(targetTags=["other"], **ANYWHERE)], "no rule allows it (ingress)"),
        ([rule(disabled=True, **ANYWHERE)], "no rule allows it (ingress)"),
        ([{**rule(**ANYWHERE), "network": URL + "2"}], "no rule allows it (ingress)"),
        # Of two with the same priority the one that denies wins.
        ([rule(**ANYWHERE), rule("deny", deny=True, **ANYWHERE)], "the rule deny forbids it (ingress)"),
        (
            [rule(**ANYWHERE), rule("out", "all", deny=True, direction="EGRESS", destinationRanges=["10.0.0.0/8"])],
            "the rule out forbids it (egress)",
        ),
    ],
)
def test_does_not_pass(rules, why):
    problems = vrrp_problems(NODES, NETWORK, rules)
    assert len({problem.partition(":")[0] for problem in problems}) == 2
    assert all(why in problem and "add a firewall rule" in problem for problem in problems)


def test_one_way_only():
    nodes = {"node1": node("10.0.0.1", "backend"), "node2": node("10.0.0.2")}
    problems = vrrp_problems(nodes, NETWORK, [rule(sourceTags=["backend"])])
    assert [problem.partition(":")[0] for problem in problems] == [
        "VRRP (protocol 112) does not pass from node2 to node1"
    ]
