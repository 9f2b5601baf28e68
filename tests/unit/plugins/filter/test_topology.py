# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.filter import (
    service_checks,
    service_url,
    topology_problems,
    topology_reasons,
    topology_record,
    topology_status,
    topology_trouble,
    topology_unfit,
    topology_unserved,
    vip_plain,
)
from ansible_collections.cloudha.vip.plugins.module_utils.topology import status as verdicts

url = service_url.FilterModule().filters()["service_url"]
checks = service_checks.FilterModule().filters()["service_checks"]
problems = topology_problems.FilterModule().filters()["topology_problems"]
reasons = topology_reasons.FilterModule().filters()["topology_reasons"]
record = topology_record.FilterModule().filters()["topology_record"]
status = topology_status.FilterModule().filters()["topology_status"]
trouble = topology_trouble.FilterModule().filters()["topology_trouble"]
unfit = topology_unfit.FilterModule().filters()["topology_unfit"]
unserved = topology_unserved.FilterModule().filters()["topology_unserved"]
plain = vip_plain.FilterModule().filters()["vip_plain"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("127.0.0.1",), "http://127.0.0.1/healthz"),
        (("192.168.7.246/22", 8080), "http://192.168.7.246:8080/healthz"),
        # Without native types of Jinja, a number is a text.
        (("192.168.7.246/22", "80", "/ready"), "http://192.168.7.246/ready"),
        (("fd00:7::246/64", "8080", "/ready"), "http://[fd00:7::246]:8080/ready"),
        (("fd00:7::246/64", 80, "/x", "https://127.0.0.1/app"), "https://[fd00:7::246]/app"),
        (("192.168.7.246", 80, "/x", "http://[::1]:8080/app?a=1"), "http://192.168.7.246:8080/app?a=1"),
        (("192.168.7.246", 80, "/x", "tcp://127.0.0.1:5432"), "tcp://192.168.7.246:5432"),
    ],
)
def test_the_port_and_the_path_reach_whoever_asks(given, wanted):
    assert url(*given) == wanted


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("a", 80, "/x", "127.0.0.1:80"), "vip_check_url is '127.0.0.1:80'"),
        (("a", 80, "/x", "tcp://127.0.0.1"), "vip_check_url is 'tcp://127.0.0.1'"),
        (("a", 80, "/x", "tcp://127.0.0.1:1/x"), "vip_check_url is"),
        # Nobody could ask them as they are.
        (("a", 80, "/x", "http://127.0.0.1?live=1"), "with no user, and with a path before a query"),
        (("a", 80, "/x", "http://user@host/x"), "with no user, and with a path before a query"),
        (("a", 80, "/x", "http://127.0.0.1/ü"), "vip_check_url is"),
        (("a", 80, "/ü"), "ASCII only"),
        (("a", 80, "/x", "http://127.0.0.1:99999/"), "it must be from 1 to 65535"),
        (("a", "many"), "nginx_port"),
        (("a", 80, "ready"), "nginx_health_path is 'ready'; it must begin with /"),
    ],
)
def test_what_is_no_url_is_named(given, says):
    with pytest.raises(AnsibleFilterError, match=says.replace("(", "\\(")):
        url(*given)


def test_the_check_asks_what_clients_ask():
    assert checks("http://127.0.0.1:8080/ready") == [
        {"name": "nginx", "type": "http", "url": "http://127.0.0.1:8080/ready"}
    ]
    assert checks("https://127.0.0.1/", "web") == [
        {"name": "web", "type": "http", "url": "https://127.0.0.1/", "tls_verify": False}
    ]
    assert checks("tcp://[::1]:5432", "postgresql") == [
        {"name": "postgresql", "type": "tcp", "host": "::1", "port": 5432}
    ]
    assert checks("http://127.0.0.1:8080/ready", kind="script") == [
        {"name": "nginx", "process": "nginx", "url": "http://127.0.0.1:8080/ready", "restart": "nginx.service"}
    ]
    assert checks("tcp://127.0.0.1:5432", "postgresql", "script") == [
        {"name": "postgresql", "tcp": "127.0.0.1:5432", "restart": "postgresql.service"}
    ]
    (check,) = checks("tcp://127.0.0.1:5432", "postgresql.service", "script")
    assert check["restart"] == "postgresql.service"
    with pytest.raises(AnsibleFilterError, match="http or tcp only"):
        checks("https://127.0.0.1/", "web", "script")


GIVEN = {
    "addresses": ["10.77.0.246/24"],
    "interface": "eth0",
    "interfaces": {"eth0": ["10.77.0.11/24", "fd00:77::11/64", "fe80::1/64"], "lo": ["127.0.0.1/8"]},
    "offlink": False,
    "service": "nginx",
    "check_url": "",
    "port": "80",
    "path": "/healthz",
    "listen_addresses": [],
    "ipv6": True,
    "nginx_ports": {},
}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"addresses": ["10.77.0.246"], "offlink": True},
        {"addresses": ["10.77.0.246/24", "fd00:77::246/64"]},
        {"addresses": ["192.168.99.10/24"], "offlink": True},
        # Nothing is known of the network of an interface without an address of its own, or with a host's only.
        {"interfaces": {"eth0": []}},
        {"interfaces": {"eth0": ["10.1.2.3/32"]}},
        {"interfaces": {}},
        {"interfaces": {"lo": ["127.0.0.1/8"]}},
        {"addresses": ["fd00:99::1/64"], "interfaces": {"eth0": ["10.77.0.11/24", "fe80::1/64"]}},
        {"addresses": ["fe80::246/64"]},
        # keepalived's check says it.
        {"addresses": ["192.168.7.300/22"]},
        {"listen_addresses": ["10.77.0.246"]},
        {"nginx_ports": {"node1": 80, "node2": "80"}},
        {"service": "haproxy", "check_url": "tcp://127.0.0.1:443", "nginx_ports": {"node1": 8080}},
        {"service": "haproxy", "check_url": "tcp://127.0.0.1:443"},
        {"service": "haproxy", "check_url": "http://127.0.0.1:8080/", "listen_addresses": ["1.2.3.4"]},
        {"addresses": ["10.77.0.0/31"], "interfaces": {"eth0": ["10.77.0.1/31"]}},
    ],
)
def test_nothing_to_complain_about(given):
    assert problems({**GIVEN, **given}) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"addresses": ["192.168.99.10/24"]}, "192.168.99.10/24 is not in the network of eth0 (10.77.0.0/24)"),
        (
            {"nginx_ports": {"node1": "80", "node2": 8081}},
            "nginx_port of node2 is 8081, and the service's port is 80: nobody would answer there",
        ),
        # The holder has the wrong address already: that is no reason to believe it.
        (
            {"addresses": ["192.168.99.10/24"], "interfaces": {"eth0": ["10.77.0.11/24", "192.168.99.10/24"]}},
            "vip_address_offlink",
        ),
        ({"addresses": ["10.77.0.246/24", "fd00:78::246/64"]}, "fd00:78::246/64 is not in the network"),
        ({"addresses": ["10.77.0.255/24"]}, "broadcast"),
        ({"addresses": ["10.77.0.246"]}, "vip_address 10.77.0.246 has no prefix length; write that of its network"),
        ({"addresses": ["10.77.0.246"]}, "such as 10.77.0.246/24"),
        ({"addresses": ["fd00:77::246"], "interfaces": {"eth0": []}}, "such as fd00:77::246/64"),
        ({"addresses": []}, "vip_addresses, or vip_address in its place, is empty; write a list"),
        # It would be looped over by letters.
        (
            {"addresses": "10.77.0.246/24"},
            "vip_addresses, or vip_address in its place, is 10.77.0.246/24; write a list",
        ),
        ({"addresses": None}, "is empty; write a list"),
        ({"addresses": [["10.77.0.246/24"]]}, "is [['10.77.0.246/24']]; write a list"),
        ({"addresses": [""]}, "is ['']; write a list"),
        ({"port": "0"}, "from 1 to 65535"),
        ({"path": "ready"}, "must begin with /"),
        ({"listen_addresses": ["10.77.0.11"]}, "without 10.77.0.246: nobody would answer there"),
        ({"addresses": ["fd00:77::246/64"], "ipv6": False}, "nginx_ipv6 is false"),
        ({"service": "haproxy"}, "vip_check_url"),
        ({"interface": "ens18"}, "vip_interface is ens18, which the node does not have; it has eth0"),
        (
            {"addresses": ["10.78.0.1/24"], "interfaces": {"eth0": ["10.77.0.11/24", "10.77.0.9/24"]}},
            "the network of eth0 (10.77.0.0/24), so",
        ),
    ],
)
def test_what_nobody_could_reach_is_refused(given, says):
    (problem,) = problems({**GIVEN, **given})
    assert says in problem


def look(**more):
    return {
        "keepalived": {"active": True},
        "holds_all": False,
        "drain": 0,
        "checks": {"nginx": True},
        "instances": {"VI_1": "BACKUP"},
        **more,
    }


HOLDS = look(holds_all=True, instances={"VI_1": "MASTER"})
NODES = ["web1", "web2"]


def test_a_whole_pair_has_no_problem():
    said = status(NODES, {"web1": HOLDS, "web2": look()}, ["web1"], [], ["10.77.0.246/24"], {"web1": ["nginx/1.22"]})
    assert said["problems"] == said["redundancy"] == []
    assert said["lines"][0].split() == ["node", "address", "keepalived", "checks", "drain", "versions"]
    assert said["lines"][1].split() == ["web1", "holds", "MASTER", "nginx", "ok", "no", "nginx/1.22"]
    assert said["lines"][2].split() == ["web2", "-", "BACKUP", "nginx", "ok", "no"]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (None, "web2: was not asked (--limit?)"),
        (
            {"unreachable": True, "msg": "Task failed: Failed to connect\nmore"},
            "web2: does not answer (Failed to connect)",
        ),
        ({}, "web2: does not answer"),
        (look(keepalived={"active": False}), "web2: keepalived does not run"),
        (look(checks={"nginx": False}), "web2: check nginx FAILED"),
        (look(instances={"VI_1": "FAULT"}), "web2: VI_1 is in state FAULT"),
        (look(instances={"VI_1": "INIT"}), "web2: VI_1 is in state INIT"),
        (look(drain=-254), "web2: is drained (-254)"),
        (look(agent=False), "web2: vip-agent does not run, and its verdicts stand as they are"),
        (look(keepalived={"active": True, "unwatched": ["/x"], "deaf": []}), "web2: keepalived does not watch /x"),
        (look(keepalived={"active": True, "unwatched": [], "deaf": ["eth0"]}), "web2: keepalived is deaf: eth0"),
    ],
)
def test_a_node_that_could_not_take_over_is_no_redundancy(other, says):
    looks = {"web1": HOLDS, **({} if other is None else {"web2": other})}
    said = status(NODES, looks, ["web1"])
    assert said["problems"] == [] and said["redundancy"] == [says]
    assert said["lines"][2].startswith("web2")
    # A switchover and a drill see it as the status does.
    seen = [{"item": node, **its} for node, its in looks.items()]
    assert unfit(NODES, seen) == {"web2": [says.removeprefix("web2: ")]}


def test_one_node_alone_is_no_redundancy():
    assert status(["web1"], {"web1": HOLDS}, ["web1"])["redundancy"] == ["there is no other node"]


def test_a_standby_that_gave_way_once_can_take_over():
    assert status(NODES, {"web1": HOLDS, "web2": look(drain=-10, agent=True)}, ["web1"])["redundancy"] == []


def test_nobody_holds_the_address_and_why_is_said():
    said = status(NODES, {"web1": look(keepalived={"active": False}), "web2": {"unreachable": True}}, [])
    assert said["problems"] == ["held by no node", "web1: keepalived does not run", "web2: does not answer"]


@pytest.mark.parametrize(
    ("looks", "holders", "notes", "says"),
    [
        ({"web1": HOLDS, "web2": HOLDS}, NODES, [], "held by web1 and web2"),
        ({"web1": look(), "web2": look()}, ["web1"], [], "web1 holds it, but not all of a, b"),
        ({"web1": HOLDS, "web2": look()}, ["web1"], ["there is no route"], "there is no route"),
        ({"web1": {**HOLDS, "checks": {"nginx": False}}, "web2": look()}, ["web1"], [], "though check nginx FAILED"),
        ({"web1": {"unreachable": True}, "web2": look()}, ["web1"], [], "though does not answer"),
    ],
)
def test_what_is_not_served_by_exactly_one_well_node_is_a_problem(looks, holders, notes, says):
    by_node = "unreachable" not in looks["web1"]
    assert says in "; ".join(status(NODES, looks, holders, notes, ["a", "b"], None, by_node)["problems"])


ROLES = Path(__file__).resolve().parents[4] / "roles"
PAIR = {"topology": "pair", "mechanism": "vrrp", "parts": ["vrrp"]}
ROUTE = {"topology": "route", "mechanism": "gcp_route", "parts": ["gcp_route"]}
NO_JSON = "/etc/ansible/facts.d/cloudha_vip.fact is no JSON: deploy"
DAMAGED = {"topology": None, "topology_error": f"{NO_JSON} the topology again"}
AT_ODDS = "the nodes are parts of different topologies, web1 of pair (vrrp) and web2 of route (gcp_route): deploy"


@pytest.mark.parametrize(
    ("its", "other", "says"),
    [
        ({"topology": PAIR}, {"topology": ROUTE}, AT_ODDS),
        ({"topology": PAIR}, DAMAGED, f"web2: {NO_JSON}"),
    ],
)
def test_where_the_records_do_not_say_how_the_address_moves_this_is_the_problem(its, other, says):
    looks = {"web1": {**HOLDS, **its}, "web2": look(**other)}
    with pytest.raises(AnsibleFilterError) as raised:
        record([{**one, "item": node} for node, one in looks.items()], str(ROLES))
    reason = str(raised.value).partition("topology_record: ")[2]
    # As the playbook status has it from the failed task.
    (problem,) = status(NODES, looks, [], [f"{reason} "])["problems"]
    assert problem.startswith(says)
    for holders in ([], ["web1"]):  # whoever was known to hold it before the records were at odds
        said = unserved([ASKED], NODES, looks, holders)
        assert said["problems"][0] == problem and said["served"] == "" and "no node" not in str(said)
    by_hand = status(NODES, looks, ["web1"], [], [], None, True, "vrrp")
    assert by_hand["problems"] == [] and unserved([ASKED], NODES, looks, ["web1"], [], "vrrp")["problems"] == []


def test_of_a_mechanism_its_role_tells_and_a_record_only_whether_a_standby_asks():
    boast = {**PAIR, "standby_asks": False, "operations": 99, "moves": True}
    said = record([{"item": "web1", "topology": boast}], str(ROLES))
    assert {name: said[name] for name in (*PAIR, "standby_asks")} == {**PAIR, "standby_asks": False}
    assert (said["operations"], said["moves"], said["on_interface"]) == (0, False, True)
    assert record([], str(ROLES), "", said) == said


URL = "http://10.77.0.246:8080/healthz"
ASKED = {"item": "client1", "answers": [{"url": URL, "ok": True, "error": ""}]}
TIMED_OUT = {"item": "client1", "answers": [{"url": URL, "ok": False, "error": "timed out"}]}


def test_clients_are_served():
    served = f"web1 holds the address: client1 asked {URL}, and got an answer"
    well = {"problems": [], "silent": [], "served": served}
    assert unserved([ASKED], NODES, {"web1": HOLDS, "web2": look()}, ["web1"]) == well


def test_neither_a_password_nor_a_query_of_the_url_is_shown():
    nodes = {"web1": HOLDS, "web2": look()}
    for ok in (True, False):
        answer = {"url": "https://mon:pass@10.77.0.246/x?token=abc", "ok": ok, "error": "status 500"}
        said = str(unserved([{"item": "client1", "answers": [answer]}], NODES, nodes, ["web1"]))
        assert "https://10.77.0.246/x, " in said
        assert "pass" not in said and "abc" not in said


def test_no_answer_says_who_asked_what_and_how_the_nodes_are():
    looks = {"web1": look(checks={"nginx": False}, instances={"VI_1": "FAULT"}), "web2": look()}
    said = unserved([ASKED, TIMED_OUT], NODES, looks, [])["problems"]
    assert said == [
        "http://10.77.0.246:8080/healthz, asked from client1: timed out",
        "the address is held by no node",
        "web1: check nginx FAILED, VI_1 is in state FAULT, FAULT",
        "web2: BACKUP, check nginx ok",
    ]


@pytest.mark.parametrize(("holders", "notes"), [([], []), (NODES, []), (["web1"], ["there is no route"])])
def test_an_answer_is_not_enough_when_it_is_not_at_rest(holders, notes):
    assert unserved([ASKED], NODES, {"web1": HOLDS, "web2": look()}, holders, notes)["problems"]


@pytest.mark.parametrize(
    ("answer", "why"), [({"unreachable": True, "msg": "no route"}, "no route"), ({}, "no answer from it")]
)
def test_a_client_that_cannot_ask_is_a_problem_if_nobody_else_could(answer, why):
    looks, off = {"web1": HOLDS, "web2": look()}, {"item": "off1", **answer}
    says = f"off1 cannot ask ({why})"
    assert unserved([ASKED, off], NODES, looks, ["web1"])["silent"] == [says]
    assert unserved([ASKED, off], NODES, looks, ["web1"])["problems"] == []
    assert says in unserved([off], NODES, looks, ["web1"])["problems"]


def test_nobody_asked_is_no_problem():
    nothing = {"problems": [], "silent": [], "served": ""}
    assert unserved([], NODES, {"web1": HOLDS, "web2": look()}, ["web1"]) == nothing


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("192.168.7.246/22", "192.168.7.246"),
        ("192.168.7.246", "192.168.7.246"),
        ("fd00:7::246/64", "fd00:7::246"),
        ("", ""),
    ],
)
def test_an_address_without_its_prefix_length(address, wanted):
    assert plain(address) == wanted


RUNS = {"item": "web1", "keepalived": {"active": True}, "instances": {"VI_1": "MASTER"}}
STOPPED = {"item": "web2", "keepalived": {"active": False}}
SILENT = {"item": "web3", "msg": "timed out"}


def test_nodes_that_cannot_take_over_are_told_but_for_the_holders():
    found = unfit(["web1", "web2", "web3"], [RUNS, STOPPED])
    assert reasons(found) == ["web2: keepalived does not run", "web3: was not asked (--limit?)"]
    assert reasons(found, ["web2"]) == ["web3: was not asked (--limit?)"]


@pytest.mark.parametrize(
    ("looks", "holders", "notes", "all_well", "wanted"),
    [
        ([RUNS], ["web1"], [], True, []),
        ([RUNS, STOPPED], ["web1"], [], True, ["web2: keepalived does not run"]),
        ([RUNS, STOPPED], ["web1"], [], False, []),
        ([RUNS, SILENT], ["web1"], [], False, ["web3: does not answer (timed out)"]),
        # What is not at rest while one node holds the address does not matter during a fault.
        ([RUNS], ["web1"], ["temporary routes: a"], True, ["temporary routes: a"]),
        ([RUNS], ["web1"], ["temporary routes: a"], False, []),
        ([RUNS], [], ["there is no route"], False, ["there is no route", "192.0.2.1, 192.0.2.2: held by no node"]),
        ([RUNS], ["web1", "web2"], [], False, ["192.0.2.1, 192.0.2.2: held by web1 and web2"]),
    ],
)
def test_why_it_is_no_steady_state(looks, holders, notes, all_well, wanted):
    assert trouble(looks, holders, notes, ["192.0.2.1", "192.0.2.2"], all_well) == wanted


def test_without_an_election_a_node_needs_no_keepalived():
    """Of a mechanism such as a load balancer; what else keeps a node from serving counts as ever."""
    stopped = {"item": "web1", "keepalived": {"active": False}, "checks": {"nginx": True}, "instances": {}}
    ill = {**stopped, "item": "web2", "checks": {"nginx": False}}
    looks = [stopped, ill]
    assert verdicts.unfit_nodes(["web1", "web2"], looks, elected=False) == {"web2": ["check nginx FAILED"]}
    assert set(verdicts.unfit_nodes(["web1", "web2"], looks)) == {"web1", "web2"}
    assert verdicts.trouble([stopped], ["web1"], elected=False) == [] != verdicts.trouble([stopped], ["web1"])
