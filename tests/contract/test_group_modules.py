# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for autohealing groups against the lab's API of Compute Engine.

Every field is in test_group_fields.py, and runs that are killed or at work together are in test_group_killed.py.
"""

from __future__ import annotations

from busy import until

from ansible_collections.cloudha.vip.tests.contract import gce_machines, group_site, lb_api
from ansible_collections.cloudha.vip.tests.contract.group_site import (
    ACCOUNT,
    IP_A,
    IP_B,
    LEAST,
    MANAGER,
    PAIR,
    WHOLE,
    ZONE,
)
from ansible_collections.cloudha.vip.tests.contract.test_gcp_modules import PASSING, token_without

site, made = group_site.site, group_site.made  # fixtures

ONE = {**WHOLE, "instances": PAIR[:1]}
SECRET = "s3cret-of-the-database"


def names(result):
    return [f"{each['name']} {each['resource']}" for each in result["steps"]]


def test_makes_it_and_a_second_run_changes_nothing(site):
    preview = site.run(**WHOLE, access_token="least-token", _ansible_check_mode=True)
    assert site.mutations() == []
    result = site.run(**WHOLE, access_token="least-token")
    assert result["changed"] and result["notes"] == [], result
    assert [each["name"] for each in preview["steps"]] == [each["name"] for each in result["steps"]]
    assert preview["diff"] == result["diff"]
    assert [(each["name"], each["address"], each["serves"]) for each in result["instances"]] == [
        ("web1", IP_A, True),
        ("web2", IP_B, True),
    ]
    assert site.addresses().items() >= {"web1": IP_A, "web2": IP_B}.items() and site.healthy() == {"web1", "web2"}
    before = site.there()
    for options in (WHOLE, {}):
        site.api.requests.clear()
        again = site.run(**options, access_token="least-token")
        assert (again["changed"], again["steps"], site.mutations()) == (False, [], [])
        assert again["diff"]["before"] == again["diff"]["after"] and site.there() == before


def test_all_is_taken_away(made):
    preview = made.run(state="absent", access_token="least-token", _ansible_check_mode=True)
    assert made.mutations() == []
    result = made.run(state="absent", access_token="least-token")
    assert preview["changed"] and result["changed"] and preview["diff"] == result["diff"]
    assert [each["name"] for each in preview["steps"]] == [each["name"] for each in result["steps"]]
    assert result["notes"] == [] and made.kinds() == {}
    made.api.requests.clear()
    assert not made.run(state="absent")["changed"] and made.mutations() == []


def test_a_spare_place_is_ready_for_its_instances(site):
    told = site.run(**WHOLE, state="prepared")
    assert told["changed"] and told["instances"] == [], told
    assert not site.run(**WHOLE, state="prepared")["changed"]
    ready = site.there()
    told = site.run(**WHOLE)
    assert [each["name"] for each in told["steps"]] == ["create instance", "create instance"], told["steps"]
    assert [each["address"] for each in told["instances"]] == [each["address"] for each in PAIR]
    told = site.run(**WHOLE, state="prepared")
    assert [each["name"] for each in told["steps"]] == ["delete instance", "delete instance"], told["steps"]
    assert site.info()["instances"] == [] and site.there() == ready
    assert not site.run(state="absent").get("failed")


def test_a_new_image_is_rolled_out(made):
    seen = []

    def watch(number, moment):
        verb, path = made.proxy.requests[number - 1]
        if (verb, moment) == ("POST", "before") and "applyUpdatesToInstances" in path:
            seen.append(made.healthy())

    made.proxy.hook = watch
    result = made.run(image="two", endpoint=made.endpoint)
    assert names(result)[2:4] == ["replace instance web1", "replace instance web2"], result
    assert seen == [{"web1", "web2"}, {"web1", "web2"}]
    assert made.images() == {"web1": "two", "web2": "two"} and made.healthy() == {"web1", "web2"}
    assert made.addresses().items() >= {"web1": IP_A, "web2": IP_B}.items()
    assert {each["instance"] for each in result["waits"]} == {"web1", "web2"}
    assert len(made.kinds()["instanceTemplates"]) == 1


def test_a_broken_image_stops_the_roll(made):
    result = made.run(image="broken", healthy_within_s=3)
    assert result["failed"] and result["changed"]
    assert "does not serve after" in result["msg"] and "of the image broken; web2 serves" in result["msg"]
    assert "with a good image, or with the former one" in result["msg"]
    assert made.images() == {"web1": "broken", "web2": "one"} and made.healthy() == {"web2"}
    assert [each["serves"] for each in result["instances"]] == [False, True]
    made.api.requests.clear()
    result = made.run(healthy_within_s=1)
    assert result["failed"] and not result["changed"] and made.mutations() == []
    assert made.run(image="one")["changed"] and made.healthy() == {"web1", "web2"}


def test_the_only_one(site):
    site.run(**ONE)
    result = site.run(image="two", replace="none")
    assert result["changed"] and site.images() == {"web1": "one"}
    assert not site.run(replace="none")["changed"]
    # A repair does not bring the new one, either.
    old = site.members()["web1"]["id"]
    site.caller.done("DELETE", f"{gce_machines.INSTANCES}/web1")
    until(lambda: site.members()["web1"].get("id", old) != old)
    site.until_healthy("web1")
    assert site.images() == {"web1": "one"} and site.addresses()["web1"] == IP_A
    assert "replace instance web1" in names(site.run()) and site.images() == {"web1": "two"}


def test_an_exhausted_zone_and_what_comes_then(site, monkeypatch):
    monkeypatch.setattr("ansible_collections.cloudha.vip.plugins.module_utils.failover.group_problems.SETTLE", 1.0)
    site.behave(zone_exhausted=[ZONE])
    result = site.run(**ONE)
    assert result["failed"] and "ZONE_RESOURCE_POOL_EXHAUSTED" in result["msg"], result["msg"]
    assert "the zone has no such machine left" in result["msg"] and "no other instance serves" in result["msg"]
    found = site.info()
    assert found["instances"][0]["errors"][0]["code"].startswith("ZONE_RESOURCE_POOL_EXHAUSTED")
    assert any("the group goes on trying" in each for each in found["problems"]) and not found["is_stable"]
    site.behave(zone_exhausted=[])
    assert not site.run(**ONE).get("failed") and site.healthy() == {"web1"}


def test_autohealing_that_is_stuck(made):
    made.behave(autohealing_stuck=True)
    made.caller.done("DELETE", f"{gce_machines.INSTANCES}/web1")
    until(lambda: made.members()["web1"]["currentAction"] == "RECREATING")
    result = made.run(healthy_within_s=1)
    assert result["failed"] and "web1 (not there yet, health UNKNOWN, RECREATING) does not serve" in result["msg"]
    found = made.info()
    assert any("the group is at work with web1" in each and "healing is stuck" in each for each in found["problems"])
    made.behave(autohealing_stuck=False)
    assert not made.run().get("failed") and made.addresses()["web1"] == IP_A


def test_a_zone_that_is_down(made):
    made.behave(zone_outage=[ZONE])
    for options in ({}, {"state": "absent"}):
        result = made.run(**options, timeout=1)
        assert result["failed"] and not result["changed"] and ZONE in result["msg"], result["msg"]
    # A group of the same name in another zone is made all the same, and leaves what both share alone.
    other = {**ONE, "zone": "us-central1-f", "instances": [{"name": "web1", "address": "10.100.7.9"}]}
    result = made.run(**other)
    assert result["changed"], result
    result = made.run(state="absent", zone="us-central1-f")
    assert result["changed"] and any(f"a group of this name in {ZONE} may use it" in each for each in result["notes"])
    made.behave(zone_outage=[])
    assert not made.run(**WHOLE).get("failed")


def test_who_looks_at_a_zone_that_is_down_is_told_at_once(made):
    made.behave(zone_outage=[ZONE])
    made.api.requests.clear()
    told = made.info(timeout=300)
    assert told["failed"] and f"no answer for the zone {ZONE}" in told["msg"]
    assert len([each for each in made.api.requests if "/aggregated/" in each["path"]]) == 1
    made.behave(zone_outage=[])
    assert made.info()["exists"]


def test_whoever_looks_at_several_groups_is_told_of_each(made):
    groups = [{"name": "web", "zone": ZONE}, {"name": "none", "zone": "us-central1-f"}]
    several = {"name": None, "zone": None, "groups": groups, "access_token": "least-token"}
    here, none = made.info(**several)["groups"]
    assert here.items() >= {**groups[0], "exists": True, "is_stable": True, "problems": []}.items()
    assert none.items() >= {**groups[1], "exists": False, "instances": []}.items()
    made.behave(zone_outage=[ZONE])
    lost, none = made.info(**several)["groups"]
    assert set(lost) == {"name", "zone", "msg", "image"} and f"no answer for the zone {ZONE}" in lost["msg"]
    assert lost["image"] == here["image"] and lost["image"].endswith("/images/one") and none["exists"] is False


def test_one_group_that_fails_delays_no_other(made):
    groups = [{"name": "web", "zone": ZONE}, {"name": "none", "zone": "us-central1-f"}]
    made.behave(
        faults=[{"match": {"verb": "GET", "path": f"{MANAGER}$"}, "kind": "status", "status": 503, "times": 10000}]
    )
    failed, none = made.info(name=None, zone=None, groups=groups, timeout=3)["groups"]
    assert "msg" in failed and "exists" not in failed and none["exists"] is False


def test_what_two_groups_of_a_name_share(made):
    other = {**ONE, "zone": "us-central1-f", "instances": [{"name": "web1", "address": "10.100.7.9"}]}
    assert made.run(**other)["changed"]
    result = made.run(state="absent")
    assert any("the health check web stays: it is used by" in each for each in result["notes"])
    assert made.run(state="absent", zone="us-central1-f")["changed"] and made.kinds() == {}


def test_reservations(site):
    theirs = {"name": "theirs", "addressType": "INTERNAL", "subnetwork": lb_api.SUBNETWORK, "address": IP_A}
    site.caller.made(lb_api.ADDRESSES, theirs)
    site.run(**WHOLE)
    assert site.kinds()["addresses"] == {"theirs", "web2-10-100-7-2"}
    result = site.run(state="absent")
    assert result["changed"] and site.kinds() == {"addresses": {"theirs"}}
    # One that the API chooses stays what it is.
    result = site.run(**{**ONE, "instances": [{"name": "web1"}]})
    address = result["instances"][0]["address"]
    assert address and site.kinds()["addresses"] == {"theirs", f"web1-{ZONE}"}
    site.run(image="two")
    assert site.addresses()["web1"] == address


def test_instances_come_and_go(made):
    more = [*PAIR, {"name": "web3"}]
    assert names(made.run(instances=more))[-1] == "create instance web3" and made.healthy() == {"web1", "web2", "web3"}
    assert not made.run(instances=PAIR)["changed"]
    result = made.run(instances=PAIR, exclusive=True)
    assert result["changed"]
    until(lambda: set(made.members()) == {"web1", "web2"})
    assert not made.run(instances=PAIR, exclusive=True).get("failed")
    assert made.kinds()["addresses"] == {"web1-10-100-7-1", "web2-10-100-7-2"}


def test_a_group_of_others_is_adopted(site):
    """As gcloud makes it: with a global health check, and other instances."""
    caller = gce_machines.Site(site.api)
    caller.with_members(gce_machines.config("web1", None))
    site.api.requests.clear()
    address = site.addresses()["web1"]
    result = site.run(instances=[{"name": "web1"}])
    assert names(result) == [
        "create firewall rule web-probes",
        f"create address web1-{address.replace('.', '-')}",
        "keep the address of instance web1",
        "replace instance web1",
    ]
    assert site.addresses()["web1"] == address
    assert site.members()["web1"]["version"]["instanceTemplate"].endswith("/first")
    assert not site.run(instances=[{"name": "web1"}])["changed"]
    result = site.run(image="one", health_check={"interval_s": 2, "timeout_s": 2})
    assert result["changed"] and site.images() == {"web1": "one"}
    result = site.run(state="absent")
    stays = "\n".join(result["notes"])
    assert "the managed instance group web stays: it was not made for this group" in stays
    assert "the health check alive stays: it was not made" in stays and MANAGER.rpartition("/")[2] == "web"


# --- what is told about it


def test_info(site):
    nothing = site.info(access_token="least-token")
    assert (nothing["exists"], nothing["instances"], nothing["is_stable"]) == (False, [], False)
    assert nothing["problems"] == [f"there is no managed instance group web in {ZONE}"]
    site.run(**WHOLE)
    site.api.requests.clear()
    found = site.info(access_token="least-token")
    assert (found["exists"], found["is_stable"], found["problems"]) == (True, True, [])
    assert found["template"].rpartition("/")[2].startswith("web-")
    first = found["instances"][0]
    assert (first["name"], first["address"], first["action"], first["health"]) == ("web1", IP_A, "NONE", "HEALTHY")
    assert first["image"].endswith("global/images/one") and first["template"] == found["template"]
    assert site.mutations() == []
    site.run(image="two", replace="none")
    found = site.info()
    assert not found["is_stable"] and any("web1 is made of the template" in each for each in found["problems"])


def test_info_finds_what_is_amiss(site):
    site.run(**ONE, firewall={"manage": False})
    found = "\n".join(site.info()["problems"])
    assert "the probes from 35.191.0.0/16 do not get to" in found and "at TCP port 8080: no rule allows it" in found
    body = {"updatePolicy": {"replacementMethod": "SUBSTITUTE"}, "autoHealingPolicies": []}
    site.caller.change(MANAGER, **body)
    found = "\n".join(site.info()["problems"])
    assert "has no autohealing policy" in found and "it should be RECREATE" in found
    assert site.info(preflight=False)["problems"] == []


def test_info_finds_quotas_that_are_used_up(monkeypatch):
    with group_site.a_site(quotas={"INTERNAL_ADDRESSES": 0}) as site:
        assert "quota: INTERNAL_ADDRESSES is used up, 0 of 0" in "\n".join(site.info()["problems"])
        result = site.run(**WHOLE)
        assert result["failed"] and "Raise the quota" in result["msg"]


# --- secrets


def test_metadata_are_told_to_nobody(site):
    secret = {"db-password": SECRET, "plain": "value-of-plain"}
    result = site.run(**ONE, metadata=secret, _ansible_diff=True)
    assert SECRET not in str(result) and "value-of-plain" not in str(result["diff"])
    assert result["diff"]["after"]["metadata"] == dict.fromkeys(secret, "(the value in the options)")
    changed = {**secret, "db-password": f"{SECRET}-2"}
    result = site.run(metadata=changed, _ansible_check_mode=True)
    assert result["diff"]["before"]["metadata"]["db-password"] == "(another value)" and SECRET not in str(result)
    for kind in ("status", "error-in-operation"):
        text = f"Invalid value '{SECRET}-2' of resource.properties.metadata"
        fault = {"kind": kind, "status": 400, "reason": "invalid", "message": text}
        site.behave(faults=[{"match": {"verb": "POST", "path": "/instanceTemplates$"}, **fault}])
        result = site.run(metadata=changed, timeout=20, _ansible_verbosity=3)
        assert result["failed"] and SECRET not in str(result)
        assert "resource.properties.metadata" in result["msg"]


# --- what cannot be

BAD_INPUT = [
    ({"project": "nosuch"}, ["404"]),
    ({"zone": "mars-x"}, ["zone: 'mars-x' is no name of a zone"]),
    ({"zone": "mars-west1-x"}, ["zone: mars-west1-x does not exist", "nothing was changed"]),
    ({"zone": "us-central1-z"}, ["zone: us-central1-z does not exist"]),
    ({"zone": ""}, ["zone: '' is no name of a zone"]),
    ({"zone": "US"}, ["zone: 'US' is no name of a zone"]),
    ({"name": "w" * 53}, ["name:", "use 1 to 52"]),
    ({"image": "nosuch"}, ["image: projects/lab-project/global/images/nosuch does not exist"]),
    ({"image": "projects/p/global/images/family/debian"}, ["image:", "is no name, and no path"]),
    ({"subnetwork": "nosuch"}, ["subnetwork: ", "nosuch does not exist"]),
    ({"subnetwork": "other-subnet"}, ["10.100.7.1 is outside of 10.101.0.0/16"]),
    ({"network": "other"}, ["network: the subnetwork ip-failover-subnet is on"]),
    ({"instances": ["web1"]}, ["instances: dictionary requested"]),
    ({"instances": []}, ["instances: give at least one"]),
    ({"instances": [{"name": "web1", "address": "10.100.255.255"}]}, ["one of the four that Google keeps"]),
    ({"instances": [{"name": "web1", "address": "x"}]}, ["instances: 'x' is not an IPv4 address"]),
    ({"instances": [{"name": "Web"}]}, ["instances: 'Web' is no name"]),
    ({"health_check": "x"}, ["health_check: dictionary requested"]),
    ({"health_check": {"timeout_s": 6}}, ["health_check.timeout_s: 6 s is longer than the interval of 5 s"]),
    ({"health_check": {"type": "tcp", "path": "/"}}, ["health_check.path: only with health_check.type=http"]),
    ({"firewall": {"target_tags": ["a@b"]}}, ["firewall.target_tags: 'a@b' is no network tag"]),
    ({"metadata": {"a": {"b": "c"}}}, ["metadata: the value of a is no text; use the filter to_json"]),
    ({"labels": {"A": "b"}}, ["labels: 'A' is no key"]),
    ({"labels": {f"l{n}": "x" for n in range(65)}}, ["labels: 65 are too many: give at most 64"]),
    ({"tags": [f"t{n}" for n in range(65)]}, ["tags: 65 are too many: give at most 64"]),
    (
        {"metadata": {f"k{n}": "x" * 200000 for n in range(3)}},
        ["metadata: all values together are longer"],
    ),
    ({"zone": "us-central1"}, ["zone: 'us-central1' is no name of a zone"]),
    ({"zone": "us-central1-zz"}, ["zone: us-central1-zz does not exist"]),
    ({"machine_type": "e2-huge"}, ["machine_type: there is no e2-huge in us-central1-c", "choose another one"]),
    ({"service_account": "a@b c"}, ["service_account: 'a@b c' is neither"]),
    ({"firewall": {"target_service_accounts": ["a@b"]}}, ["firewall.target_service_accounts: 'a@b' is no e-mail"]),
    (
        {"disk_size_gb": 1},
        ["disk_size_gb: 1 is too small for", "images/one: give at least 10"],
    ),
    ({"disk_size_gb": True}, ["disk_size_gb: true is no number"]),
    ({"health_check": {"port": True}}, ["health_check.port: true is no number"]),
    ({"instances": [{"name": "web1", "address": "10.100.7.²"}]}, ["instances: '10.100.7.²' is not an IPv4 address"]),
    ({"machine_type": "zones/x/machineTypes/y"}, ["machine_type:"]),
    ({"disk_size_gb": 0}, ["disk_size_gb: 0 is not from 1"]),
    ({"initial_delay_s": -1}, ["initial_delay_s: -1 is not from 0 to 3600"]),
    ({"healthy_within_s": 0}, ["healthy_within_s: 0 is not from 1"]),
    ({"service_account": "nobody"}, ["service_account: 'nobody' is neither"]),
    ({"access_token": "nobody-token"}, ["403", "nothing was changed"]),
    ({"access_token": "wrong"}, ["401", "credentials"]),
    ({"endpoint": "http://127.0.0.1:1/compute/v1", "timeout": 5}, ["cannot connect"]),
]


def test_bad_input(site):
    before = site.there()
    for options, words in BAD_INPUT:
        for check_mode in (True, False):
            result = site.run(**{**WHOLE, **options}, _ansible_check_mode=check_mode)
            assert result["failed"] and not result.get("changed"), (options, result)
            for word in words:
                assert word in result["msg"], (options, result["msg"])
    assert site.mutations() == [] and site.there() == before


def test_bad_neighbours(made):
    result = made.run(name="other", **{**ONE, "instances": [{"name": "web9", "address": IP_A}]})
    assert f"the address {IP_A} of web9 is in use by" in result["msg"], result["msg"]
    result = made.run(name="other", **{**ONE, "instances": [{"name": "web1", "address": "10.100.7.9"}]})
    assert "instances/web1 is there, and is not the group's" in result["msg"]
    assert made.mutations() == []


def test_an_image_that_is_obsolete(site):
    with site.api.cloud.lock:
        image = next(each for each in site.api.cloud.images.all() if each["name"] == "one")
        image["deprecated"] = {"state": "OBSOLETE"}
    result = site.run(**WHOLE)
    assert "images/one is OBSOLETE, and the API makes no instance from it" in result["msg"], result["msg"]
    assert site.mutations() == []


def test_an_address_that_an_instance_has_already(site):
    """The group would try to take it for ever."""
    taken = {**ONE, "instances": [{"name": "web1", "address": "10.100.2.1"}]}  # node1 has it
    for options in ({"_ansible_check_mode": True}, {}):
        result = site.run(**taken, **options)
        assert result["failed"] and not result["changed"] and site.mutations() == [], result
        assert "instances: the address 10.100.2.1 of web1 is in use by" in result["msg"], result["msg"]
        assert "instances/node1: choose another one" in result["msg"]
    # Whoever may not list instances learns it from the reservation.
    result = site.run(**taken, access_token=token_without("compute.instances.list"))
    assert result["failed"] and "the address 10.100.2.1 of web1 is in use by" in result["msg"], result["msg"]
    assert "instanceGroupManagers" not in site.kinds()


# --- permissions and failures

# Without these the module knows less, and does the same; or the API asks for them, and the module does not.
UNASKED = {
    "compute.images.get",
    "compute.instanceTemplates.get",
    "compute.instances.list",
    "compute.machineTypes.get",
    "iam.serviceAccounts.actAs",
}
EVERYTHING = {
    **ONE,
    "service_account": ACCOUNT,
    "metadata": {"a": "b"},
    "labels": {"a": "b"},
    "tags": ["backend"],
}
CHANGED = {"image": "two", "health_check": {"interval_s": 2}, "firewall": {"target_tags": ["backend"]}}


def test_each_permission_is_needed(site):
    """In check mode, too, whoever may do a part of it is told what is missing; and before the first change."""
    said = dict.fromkeys(sorted(LEAST), "")

    def ask(permission, **options):
        result = site.run(**options, access_token=token_without(permission), timeout=20)
        said[permission] += "\n".join([result.get("msg", ""), *result.get("notes", ()), *result.get("problems", ())])

    for permission in said:
        ask(permission, **EVERYTHING, _ansible_check_mode=True)
        ask(permission, module="gcp_autohealing_group_info")
    assert site.mutations() == []
    result = site.run(**EVERYTHING)
    assert result["changed"] and not result.get("failed"), result
    site.api.requests.clear()
    for permission in said:
        ask(permission, **CHANGED, _ansible_check_mode=True)
        ask(permission, state="absent", _ansible_check_mode=True)
        ask(permission, module="gcp_autohealing_group_info")
    assert site.mutations() == []
    unnamed = {permission for permission, words in said.items() if permission not in words}
    assert unnamed == UNASKED
    result = site.run(**CHANGED, access_token=token_without("compute.firewalls.update"))
    assert result["failed"] and not result["changed"] and site.mutations() == []


def test_errors_of_the_api_pass(site):
    for fault in PASSING:
        site.behave(
            faults=[
                {"match": {"verb": verb, "path": path}, **fault}
                for verb, path in (
                    ("POST", "/instanceGroupManagers"),
                    ("POST", "/createInstances"),
                    ("POST", "/listManagedInstances"),
                    ("GET", "/addresses"),
                )
            ]
        )
        result = site.run(**ONE)
        assert result["changed"] and not result.get("failed"), (fault, result)
        site.behave(faults=[])
        assert not site.run(**ONE)["changed"]
        site.run(state="absent")


def test_an_operation_that_fails(site):
    inserts = {"match": {"verb": "POST", "path": "/instanceGroupManagers$"}}
    site.behave(faults=[{**inserts, "kind": "error-in-operation", "status": 403, "reason": "QUOTA_EXCEEDED"}])
    result = site.run(**ONE)
    assert result["failed"] and result["changed"] and result["error"]["code"] == "QUOTA_EXCEEDED"
    assert "Raise the quota" in result["msg"] and "done until then: create firewall rule" in result["msg"]
    site.behave(faults=[])
    assert [each["name"] for each in site.run(**ONE)["steps"]] == ["create managed instance group", "create instance"]
