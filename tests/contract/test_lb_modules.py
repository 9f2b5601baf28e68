# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for load balancers against the lab's API of Compute Engine.

Every field is in test_lb_fields.py, and runs that are killed or at work together are in test_lb_killed.py.
"""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.tests.contract import lb_api, lb_site
from ansible_collections.cloudha.vip.tests.contract.lb_site import (
    ADDRESS,
    EXTERNAL,
    GROUPS,
    KINDS,
    LEAST,
    NODE1,
    NODE2,
    REGION,
    WHOLE,
)
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import PASSING, token_without
from lab import topology

one_site, site, made = lb_site.one_site, lb_site.site, lb_site.made  # fixtures

ONLY_INFO = {"compute.firewalls.list", "compute.projects.get", "compute.regions.get"}
# Without these the module knows less, and does the same.
ONLY_KNOWS_LESS = {"compute.instances.list", "compute.regionBackendServices.get"}
FIREWALLS = {each.name for each in topology.get("gcp_route_heartbeat").world.firewalls}


def test_makes_it_and_a_second_run_changes_nothing(site):
    result = site.run(**WHOLE, access_token="least-token")
    assert (result["changed"], result["address"], result["notes"]) == (True, ADDRESS, [])
    (service,) = site.services()
    assert [(rule.address, rule.protocol, rule.ports) for rule in service.rules] == [(ADDRESS, "TCP", (80,))]
    assert [(each.instance, each.failover) for each in service.backends] == [("node1", False), ("node2", True)]
    assert (service.health_check.kind, service.health_check.port, service.health_check.interval_s) == ("HTTP", 80, 5)
    before = site.there()
    for options in (WHOLE, {}):
        site.api.requests.clear()
        again = site.run(**options, access_token="least-token")
        assert (again["changed"], again["steps"], site.mutations()) == (False, [], [])
        assert again["diff"]["before"] == again["diff"]["after"] and site.there() == before


@pytest.mark.parametrize(
    "options",
    [
        {"protocols": ["tcp", "udp"], "ports": ["53", "443"], "global_access": True},
        {"protocols": ["all"], "ports": ["all"]},
        EXTERNAL,
        {**EXTERNAL, "protocols": ["tcp", "udp"]},
        {"health_check": {"type": "tcp", "port": 6000, "interval_s": 1, "timeout_s": 1, "scope": "global"}},
        {
            "failover": {"ratio": 0.5, "drop_if_unhealthy": True, "drain": False},
            "draining_timeout_s": 300,
            "session_affinity": "client_ip",
            "tracking_mode": "per_session",
            "persistence": "never_persist",
            "idle_timeout_s": 900,
            "firewall": {"target_tags": ["backend"]},
        },
    ],
)
def test_all_that_can_be_wanted(site, options):
    wanted = {**WHOLE, **options}
    preview = site.run(**wanted, _ansible_check_mode=True)
    assert site.mutations() == []
    result = site.run(**wanted)
    assert preview["changed"] and result["changed"]
    assert [step["name"] for step in preview["steps"]] == [step["name"] for step in result["steps"]]
    if wanted["address"]:  # else the API chooses one
        assert preview["diff"] == result["diff"]
    site.api.requests.clear()
    assert not site.run(**wanted)["changed"] and site.mutations() == []
    gone = {"state": "absent", "network": wanted.get("network")}
    preview = site.run(**gone, _ansible_check_mode=True)
    assert site.mutations() == []
    result = site.run(**gone)
    assert preview["changed"] and result["changed"] and preview["diff"] == result["diff"]
    left = {kind: {each["name"] for each in found} for kind, found in site.there().items() if found}
    assert left == {"firewalls": FIREWALLS}


def test_only_what_cannot_stay_is_made_anew(made):
    result = made.run(ports=["81"], allow_replace=True)
    assert [step["name"] for step in result["steps"]] == ["delete forwarding rule", "create forwarding rule"]
    result = made.run(address="10.100.9.2", allow_replace=True)
    assert result["problems"] == ["subnetwork: give it, too: what allow_replace has to delete is all that tells it"]
    result = made.run(**{**WHOLE, "ports": ["81"], "protocols": ["tcp", "udp"]}, allow_replace=True)
    assert result["changed"] and {each["name"] for each in made.there()["forwardingRules"]} == {"web-tcp", "web-udp"}


def test_the_last_backend_goes(made):
    result = made.run(groups=[], exclusive=True)
    assert result["changed"] and made.services()[0].backends == () and made.there()["instanceGroups"] == []
    assert not made.run(groups=[], exclusive=True)["changed"]


def test_somebody_else_was_faster(made):
    """The API refuses the fingerprint that was read; a new look merges both changes."""
    other = lb_api.Balancer(made.api)
    other.group("client1")

    def hook(number, moment):
        verb, path = made.proxy.requests[number - 1]
        if (verb, moment) == ("PATCH", "before") and "/backendServices/web" in path:
            made.proxy.hook = lambda *_: None
            now = made.api.cloud.balancers.backend_services.all()[0]
            backends = [{k: v for k, v in each.items() if v} for each in now["backends"]]
            other.change(f"{lb_api.SERVICES}/web", backends=[*backends, lb_api.backend("client1")])

    made.proxy.hook = hook
    result = made.run(session_affinity="client_ip", endpoint=made.endpoint)
    assert [status for verb, _path, status in made.mutations() if verb == "PATCH"] == [200, 412, 200]
    assert result["changed"] and [step["name"] for step in result["steps"]] == ["update backend service"]
    (service,) = made.services()
    assert service.affinity == "CLIENT_IP"
    assert {each.instance for each in service.backends} == {"node1", "node2", "client1"}


def test_others_backends_and_members_stay(made):
    theirs = {"name": "theirs", "zone": f"{REGION}-a", "instances": ["spare"]}
    made.run(groups=[theirs])
    assert {each.instance for each in made.services()[0].backends} == {"node1", "node2", "spare"}
    assert not made.run(**WHOLE)["changed"]
    assert made.run(**WHOLE, exclusive=True)["changed"]
    assert {each.instance for each in made.services()[0].backends} == {"node1", "node2"}


def test_what_others_made_is_adopted_and_stays(made):
    """As gcloud and Google's console make it, without a word in the descriptions."""
    for kind in KINDS:
        for each in made.api.cloud.balancers.kinds[kind].all():
            each["description"] = ""
    try:
        assert not made.run(**WHOLE)["changed"]
        result = made.run(state="absent")
        assert not result["changed"] and made.mutations() == []
        assert any("the forwarding rule web stays: it was not made for" in note for note in result["notes"])
        for allowed in (False, True):
            result = made.run(ports=["81"], allow_replace=allowed)
            assert result["failed"] and made.mutations() == []
            assert "ports: the forwarding rule web has ports 80, and 81 is wanted" in result["msg"]
        assert "it is not deleted as it was not made here" in result["msg"]
    finally:
        made.remake()


def test_what_others_began_is_completed(site):
    """Without a reservation, a firewall rule, and the names of the groups that the module would choose."""
    lb_api.Balancer(site.api).whole()
    site.api.requests.clear()
    groups = [
        {"name": "of-node1", "zone": f"{REGION}-a", "instances": ["node1"]},
        {"name": "of-node2", "zone": f"{REGION}-b", "instances": ["node2"], "failover": True},
    ]
    wanted = {**WHOLE, "groups": groups, "health_check": {"type": "tcp", "interval_s": 2, "timeout_s": 2}}
    result = site.run(**wanted)
    assert [step["name"] for step in result["steps"]] == [
        "create address",
        "create firewall rule",
        "update health check",
        "update backend service",
    ]
    assert not site.run(**wanted)["changed"]
    result = site.run(state="absent")
    assert [step["name"] for step in result["steps"]] == ["delete firewall rule"]
    assert any("the address web stays: it is used by" in note for note in result["notes"])


def test_absent_leaves_what_others_use(made):
    made.run(name="other", subnetwork="ip-failover-subnet", address="10.100.9.3", groups=[{**GROUPS[0]}])
    result = made.run(state="absent")
    assert [each["name"] for each in made.there()["instanceGroups"]] == ["web-a"]
    assert any("the instance group web-a stays: it is used by" in note for note in result["notes"])
    assert [service.name for service in made.services()] == ["other"]


# --- what is told about it


def test_info(site):
    nothing = site.info(access_token="least-token")
    assert (nothing["exists"], nothing["active_pool"], nothing["backends"]) == (False, "none", [])
    assert nothing["problems"] == [f"there is no forwarding rule of the load balancer web in {REGION}: nothing answers"]
    site.made()
    unprobed = site.info(access_token="least-token")
    assert unprobed["active_pool"] == "all_unhealthy_primaries"
    assert {each["health"] for each in unprobed["backends"]} == {"UNKNOWN"}
    site.probed(node1="HEALTHY", node2="HEALTHY")
    site.api.requests.clear()
    result = site.info(access_token="least-token")
    assert (result["holders"], result["active_pool"], result["problems"]) == ([NODE1], "primary", [])
    assert result["rules"][0]["ports"] == [80] and result["address"] == ADDRESS
    asked = [entry["path"] for entry in site.api.requests if entry["path"].endswith("/getHealth")]
    assert len(asked) == 2, "one question for each group"
    quick = site.info(access_token="least-token", preflight=False)
    assert {**quick, "elapsed_ms": 0, "invocation": 0} == {**result, "elapsed_ms": 0, "invocation": 0}
    assert site.mutations() == []
    site.probed(node1="UNHEALTHY")
    found = site.info()
    assert (found["holders"], found["active_pool"]) == ([NODE2], "failover")
    site.run(failover={"drop_if_unhealthy": True})
    site.probed(node1="UNHEALTHY", node2="UNHEALTHY")
    assert site.info()["active_pool"] == "none"


def test_info_asks_once_for_each_group_of_several_services(site):
    site.run(**WHOLE, protocols=["tcp", "udp"])
    site.api.requests.clear()
    found = site.info(preflight=False)
    asked = [entry["path"] for entry in site.api.requests if entry["path"].endswith("/getHealth")]
    assert len(asked) == len(found["backends"]) == 2


def problems(site, **options):
    return "\n".join(site.info(**options)["problems"])


def test_info_finds_the_firewall_rule_that_is_missing(site):
    for more, cidr in (({}, "130.211.0.0/22"), (EXTERNAL, "209.85.204.0/22")):
        site.forget()
        site.run(**{**WHOLE, **more}, firewall={"manage": False})
        site.probed(node1="HEALTHY", node2="HEALTHY")
        found = problems(site, network="ip-failover")
        for each in ("35.191.0.0/16", cidr):
            assert f"the probes from {each} do not get to {NODE1} at TCP port 80: no rule allows it" in found


def test_info_finds_what_else_is_amiss(made):
    made.probed(node1="HEALTHY", node2="UNHEALTHY")
    found = problems(made)
    assert f"{NODE2} is not healthy: its service has to answer at {ADDRESS}" in found
    assert f"the health check web asks for the host {ADDRESS}" in found and "set health_check.host" in found
    made.run(health_check={"host": "web.example"})
    made.probed(node1="HEALTHY", node2="UNHEALTHY")
    assert "set health_check.host" not in problems(made)
    path = f"{lb_api.groups('node2')}/web-b/removeInstances"
    lb_api.Balancer(made.api).done("POST", path, {"instances": [{"instance": lb_api.instance("node2")}]})
    assert "the group web-b has no instance" in problems(made)


def test_info_finds_quotas_that_are_used_up():
    limits = {"INTERNAL_ADDRESSES": 1, "STATIC_ADDRESSES": 0, "REGIONAL_INTERNAL_LB_BACKEND_SERVICES": 5}
    with lb_site.a_site(quotas=limits) as site:
        lb_api.Balancer(site.api).made(lb_api.ADDRESSES, {**lb_api.RESERVED, "name": "x", "address": "10.100.9.9"})
        assert "quota: INTERNAL_ADDRESSES is used up, 1 of 1" in problems(site)
        assert "STATIC_ADDRESSES" not in problems(site) and "BACKEND_SERVICES" not in problems(site)
        assert "quota: STATIC_ADDRESSES is used up, 0 of 0" in problems(site, scheme="external")
        result = site.run(**WHOLE)
        assert result["failed"] and result["error"]["code"] == "QUOTA_EXCEEDED" and "Raise the quota" in result["msg"]
        assert site.api.violations == []


# --- what cannot be

BAD_INPUT = [
    ({"project": "nosuch"}, ["404"]),
    ({"region": "mars", "groups": None}, ["Unknown region", "nothing was changed"]),
    ({"region": ""}, ["region: '' is no name of a region"]),
    ({"region": "US-CENTRAL1"}, ["region: 'US-CENTRAL1' is no name of a region"]),
    ({"subnetwork": "nosuch"}, ["nosuch", "404"]),
    ({"address": "10.200.0.1"}, ["address: 10.200.0.1 is outside of 10.100.0.0/16", "ip-failover-subnet"]),
    *(
        ({"address": f"10.100.{each}"}, [f"address: 10.100.{each} is one of the four that Google keeps"])
        for each in ("0.0", "0.1", "255.254", "255.255")
    ),
    ({"address": "127.0.0.1"}, ["address: '127.0.0.1' is in 127.0.0.0/8"]),
    ({"address": "10.100.4.4"}, ["address: 10.100.4.4 is in use by", "instances/spare"]),
    ({"ports": ["1", "2", "3", "4", "5", "6"]}, ["ports: 6 are too many"]),
    # Ansible by itself would show the token then, which site.run() looks for.
    ({"health_check": "x"}, ["health_check: dictionary requested"]),
    ({"groups": ["web-a"]}, ["groups: dictionary requested"]),
    ({"ports": ["80", "1_0", "https"]}, ["ports: '1_0', 'https': no number"]),
    ({"protocols": ["all"], "ports": ["80"]}, ["ports: with protocols=all"]),
    ({"groups": [{**GROUPS[0], "instances": ["elsewhere"]}]}, ["elsewhere is on", "networks/other, and not on"]),
    ({"groups": [{**GROUPS[0], "instances": ["nosuch"]}]}, ["nosuch does not exist"]),
    ({"groups": [{**GROUPS[0], "zone": f"{REGION}-x"}]}, ["does not exist", "Unknown zone"]),
    (
        {"groups": [{"name": "g", "zone": f"{REGION}-x"}]},
        ["the zone us-central1-x of g does not exist", "Unknown zone"],
    ),
    ({**EXTERNAL, "session_affinity": "client_ip_no_destination"}, ["session_affinity: client_ip_no_destination only"]),
    ({"health_check": {"response": "o" * 1025}}, ["health_check.response: it has to be ASCII"]),
    ({"firewall": {"target_tags": ["a@b"]}}, ["firewall.target_tags: 'a@b' is no network tag"]),
    ({"health_check": {"timeout_s": 6}}, ["health_check.timeout_s: 6 s is longer than the interval of 5 s"]),
    ({"groups": GROUPS[:1], "failover": {"ratio": 0.5}}, ["failover: it needs a backup"]),
    ({"groups": GROUPS[1:]}, ["groups: all are backups: at least one has to have failover=false"]),
    ({"groups": [{**GROUPS[0], "instances": ["node2"]}]}, ["node2 does not exist"]),
    ({"address_name": "mine", "address": None}, ["address_name: there is no address mine"]),
    ({**EXTERNAL, "network": None}, ["network: give it"]),
    ({**EXTERNAL, "address": "203.0.113.9"}, ["address: 203.0.113.9 is not reserved"]),
    ({"subnetwork": "other-subnet"}, ["address: 10.100.9.1 is outside of 10.101.0.0/16"]),
    ({"network": "other"}, ["network: the subnetwork ip-failover-subnet is on", "networks/ip-failover, and not on"]),
    ({"access_token": "nobody-token"}, ["403", "nothing was changed"]),
    ({"access_token": "wrong"}, ["401", "credentials"]),
    ({"endpoint": "http://127.0.0.1:1/compute/v1", "timeout": 0.5}, ["cannot connect"]),
]


@pytest.mark.parametrize(("options", "words"), BAD_INPUT)
def test_bad_input(site, options, words):
    before = site.there()
    for check_mode in (True, False):
        result = site.run(**{**WHOLE, **options}, _ansible_check_mode=check_mode)
        assert result["failed"] and not result.get("changed"), result
        for word in words:
            assert word in result["msg"], result["msg"]
    assert site.mutations() == [] and site.there() == before


def test_bad_neighbours(made):
    """An address that another one has, and an instance in its group."""
    group = [{"name": "db-a", "zone": f"{REGION}-a", "instances": ["spare"]}]
    result = made.run(**{**WHOLE, "groups": group}, name="db")
    assert f"address: {ADDRESS} is in use by the forwarding rule web" in result["msg"]
    group[0]["instances"] = ["node1"]
    result = made.run(**{**WHOLE, "address": "10.100.9.5", "groups": group}, name="db")
    assert "node1 is in the group web-a of the backend service web" in result["msg"]
    assert made.mutations() == []


def test_two_protocols_on_an_address_that_is_not_shared(site):
    lb_api.Balancer(site.api).made(lb_api.ADDRESSES, {**lb_api.RESERVED, "name": "mine"})
    site.api.requests.clear()
    wanted = {**WHOLE, "address": None, "address_name": "mine"}
    result = site.run(**wanted, protocols=["tcp", "udp"])
    assert (
        "protocols: the address mine has purpose GCE_ENDPOINT, and SHARED_LOADBALANCER_VIP is wanted" in result["msg"]
    )
    result = site.run(**wanted, protocols=["tcp", "udp"], allow_replace=True)
    assert "it is not deleted as it was not made here" in result["msg"] and site.mutations() == []
    assert site.run(**wanted, protocols=["all"], ports=["all"])["changed"]


# --- permissions


@pytest.mark.parametrize("permission", sorted(LEAST - ONLY_INFO))
def test_each_permission_is_needed(site, permission):
    options = {"access_token": token_without(permission), "timeout": 5}
    spare = {"name": "spare", "zone": f"{REGION}-a", "instances": ["spare"]}
    steps = [
        WHOLE,
        {"global_access": True, "health_check": {"interval_s": 9}, "firewall": {"target_tags": ["backend"]}},
        {"groups": [spare]},
        {"state": "absent"},
    ]
    said = []
    for step in steps:
        before = site.there()
        site.api.requests.clear()
        preview = site.run(**step, **options, _ansible_check_mode=True)
        result = site.run(**step, **options)
        if result.get("failed"):
            # Who may do a part of it does nothing, and is told so in check mode too.
            assert not result["changed"] and preview["failed"] and site.mutations() == [], step
            assert site.there() == before
            site.run(**step)
        said.append(result.get("msg", "") + "\n".join(result.get("notes", ())))
    found = site.info(**options)
    said.append("\n".join(found.get("problems", ())) + found.get("msg", ""))
    if permission not in {*ONLY_KNOWS_LESS, "compute.globalOperations.get"}:
        assert any(permission in words for words in said), said


def test_info_names_each_permission_that_it_needs(made):
    for permission in sorted(ONLY_INFO - {"compute.firewalls.list"}):
        without = made.info(access_token=token_without(permission), name="none")
        assert permission in "\n".join(without["problems"])
    found = made.info(access_token=token_without("compute.firewalls.list"))
    assert "compute.firewalls.list" in "\n".join(found["problems"])


# --- failures of the API


def test_errors_of_the_api_pass(site):
    for fault in PASSING:
        site.behave(
            faults=[
                {"match": {"verb": verb, "path": path}, **fault}
                for verb, path in (("POST", "/backendServices"), ("POST", "addInstances"), ("GET", "/addresses"))
            ]
        )
        assert site.run(**WHOLE)["changed"], fault
        site.behave(faults=[])
        assert not site.run(**WHOLE)["changed"]
        site.forget()


def test_an_operation_that_fails(site):
    inserts = {"match": {"verb": "POST", "path": "/forwardingRules$"}}
    site.behave(faults=[{**inserts, "kind": "error-in-operation", "status": 403, "reason": "QUOTA_EXCEEDED"}])
    result = site.run(**WHOLE)
    assert result["failed"] and result["changed"] and result["error"]["code"] == "QUOTA_EXCEEDED"
    assert "Raise the quota" in result["msg"] and "done until then: create address web" in result["msg"]
    site.behave(faults=[])
    assert len(site.run(**WHOLE)["steps"]) == 1


def test_the_networks_other_firewall_rules_stay(site):
    before = site.there()["firewalls"]
    site.run(**WHOLE)
    site.run(state="absent")
    assert site.there()["firewalls"] == before and {each["name"] for each in before} == FIREWALLS
