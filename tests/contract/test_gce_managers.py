# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API of Compute Engine: what managed instance groups are told, as docs/gce-api.md says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.cloudha.vip.tests.contract import gce_machines
from ansible_collections.cloudha.vip.tests.contract.gce_machines import (
    ADDRESS,
    CHECK,
    INSTANCES,
    MANAGERS,
    OTHER,
    TEMPLATES,
    WEB,
    ZONE,
    Site,
    config,
    instance,
    manager,
    template,
    url,
)
from ansible_collections.cloudha.vip.tests.contract.lb_api import (
    ADDRESSES,
    CHECKS,
    HOST,
    NETWORK,
    RESERVED,
    SERVICES,
    SUBNETWORK,
    backend,
    check,
    service,
)
from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import PROJECT
from ansible_collections.cloudha.vip.tests.contract.test_gce_recorded import RECORDED
from lab.gce.server import Local

GROUP = f"{ZONE}/instanceGroups/web"
GLOBAL_CHECKS = f"{PROJECT}/global/healthChecks"
api = gce_machines.api  # fixture


def configs(api: Site) -> dict[str, Any]:
    return {each["name"]: each for each in api.good("POST", f"{WEB}/listPerInstanceConfigs").get("items", ())}


def address_of(api: Site, name: str) -> str:
    return str(api.good("GET", f"{INSTANCES}/{name}")["networkInterfaces"][0]["networkIP"])


# --- the group


def test_a_group_of_nothing(api: Site) -> None:
    made = api.managed()
    assert made["instanceGroup"] == f"{HOST}{GROUP}" and made["targetSize"] == 0
    assert made["versions"] == [{"instanceTemplate": f"{HOST}{TEMPLATES}/first"}]
    assert made["autoHealingPolicies"] == [{"healthCheck": f"{HOST}{GLOBAL_CHECKS}/alive", "initialDelaySec": 300}]
    assert made["updatePolicy"] == {
        "type": "OPPORTUNISTIC",
        "minimalAction": "REPLACE",
        "replacementMethod": "RECREATE",
        "maxSurge": {"fixed": 0, "calculated": 0},
        "maxUnavailable": {"fixed": 1, "calculated": 1},
    }
    assert made["instanceLifecyclePolicy"] == {
        "defaultActionOnFailure": "REPAIR",
        "onFailedHealthCheck": "DEFAULT_ACTION",
        "forceUpdateOnRepair": "NO",
    }
    assert set(made["currentActions"].values()) == {0}
    assert made["status"] == {
        "isStable": True,
        "versionTarget": {"isReached": True},
        "stateful": {"hasStatefulConfig": False, "perInstanceConfigs": {"allEffective": True}},
    }
    assert api.members() == {} and api.good("GET", GROUP)["size"] == 0
    assert [each["name"] for each in api.good("GET", MANAGERS)["items"]] == ["web"]
    everywhere = api.good("GET", f"{PROJECT}/aggregated/instanceGroupManagers")["items"]
    assert len(everywhere["zones/us-central1-c"]["instanceGroupManagers"]) == 1
    assert api.refused("POST", MANAGERS, manager()) == (409, "alreadyExists")
    assert "items" not in api.good("GET", f"{ZONE}/autoscalers")


def test_a_group_as_recorded(api: Site) -> None:
    stored = RECORDED["managed group as stored"]
    made = api.managed(updatePolicy=None, targetSize=1)
    assert made.keys() >= set(stored["fields"]) and made.items() >= stored["values"].items()
    assert set(made["currentActions"]) == set(stored["actions"]) and set(made["status"]) == set(stored["status"])
    assert made["updatePolicy"].items() >= stored["updatePolicy"].items()
    assert made["updatePolicy"].keys() >= {"maxSurge", "maxUnavailable"}


def test_its_instances_have_names_of_its_own(api: Site) -> None:
    api.managed(targetSize=2, autoHealingPolicies=None, baseInstanceName="w")
    api.until_stable()
    names = sorted(api.members())
    assert len(names) == 2 and all(re.fullmatch("w-[a-z0-9]{4}", each) for each in names)
    assert {each["name"] for each in api.good("GET", INSTANCES)["items"]} == set(names)
    group = api.good("GET", GROUP)
    assert group["size"] == 2 and group["subnetwork"] == SUBNETWORK
    listed = api.good("POST", f"{GROUP}/listInstances", {})["items"]
    assert {each["instance"] for each in listed} == {url(each) for each in names}
    made = api.good("GET", f"{INSTANCES}/{names[0]}")
    number = api.good("GET", PROJECT)["id"]
    assert {each["key"]: each["value"] for each in made["metadata"]["items"]} == {
        "instance-template": f"projects/{number}/global/instanceTemplates/first",
        "created-by": f"projects/{number}/zones/us-central1-c/instanceGroupManagers/web",
    }
    # They are made by Google, and their operations are for everyone to see.
    users = {each["user"] for each in api.good("GET", f"{ZONE}/operations?filter=operationType=insert")["items"]}
    assert f"{number}@cloudservices.gserviceaccount.com" in users


def test_the_operation_is_done_before_the_machines_are(gce: Local, api: Site) -> None:
    api.managed()
    api.behave(latency_s=30)
    with api.held():
        created = api.good("POST", f"{WEB}/createInstances", {"instances": [config("one")]})
    assert api.wait(created)["status"] == "DONE"
    (member,) = api.members().values()
    assert (member["name"], member["currentAction"], member["targetStatus"]) == ("one", "CREATING", "RUNNING")
    found = api.good("GET", WEB)
    assert found["targetSize"] == 1 and found["currentActions"]["creating"] == 1 and not found["status"]["isStable"]
    api.until(lambda: api.members()["one"].get("instanceStatus") == "PROVISIONING")
    assert api.plane.machines == {}


def test_an_instance_with_a_name_and_an_address(api: Site) -> None:
    api.with_members(config("one", metadata={"peers": "two"}))
    member = api.members()["one"]
    assert address_of(api, "one") == ADDRESS
    assert member["preservedStateFromConfig"] == config("one", metadata={"peers": "two"})["preservedState"]
    assert (member["instance"], member["currentAction"], member["instanceStatus"]) == (url("one"), "NONE", "RUNNING")
    assert member["version"] == {"instanceTemplate": f"{HOST}{TEMPLATES}/first"} and member["lastAttempt"] == {}
    assert api.good("GET", WEB)["status"]["stateful"] == {
        "hasStatefulConfig": True,
        "perInstanceConfigs": {"allEffective": True},
    }
    metadata = api.good("GET", f"{INSTANCES}/one")["metadata"]["items"]
    assert {"key": "peers", "value": "two"} in metadata
    assert configs(api)["one"]["status"] == "EFFECTIVE"
    for body in ({"instances": [config("one")]}, {"instances": [config("node1")]}):
        assert api.refused("POST", f"{WEB}/createInstances", body) == (409, "alreadyExists")


def test_a_reserved_address_is_named_by_its_url(api: Site) -> None:
    reserved = api.made(ADDRESSES, {**RESERVED, "purpose": "GCE_ENDPOINT"})
    kept = {"internalIPs": {"nic0": {"ipAddress": {"address": reserved["selfLink"]}}}}
    api.with_members({"name": "one", "preservedState": kept})
    assert address_of(api, "one") == reserved["address"]
    assert api.good("GET", f"{ADDRESSES}/web")["users"] == [url("one")]


def test_more_and_fewer(api: Site) -> None:
    api.with_members(config("one"), autoHealingPolicies=None)
    api.done("POST", f"{WEB}/resize?size=3")
    api.until_stable()
    assert len(api.members()) == 3 and api.good("GET", WEB)["targetSize"] == 3
    api.done("POST", f"{WEB}/resize?size=1")
    api.until_stable()
    assert list(api.members()) == ["one"] and api.good("GET", GROUP)["size"] == 1
    assert list(api.plane.machines) == ["one"] and len(api.plane.disks) == 1
    api.done("POST", f"{WEB}/deleteInstances", {"instances": [url("one")]})
    api.until_stable()
    assert api.members() == {} and configs(api) == {} and api.good("GET", WEB)["targetSize"] == 0
    assert api.plane.machines == {} and api.plane.disks == {}


def test_an_address_is_kept_while_its_instance_is_replaced(api: Site) -> None:
    address = "10.100.0.3"  # whoever does not say which one gets it, if it is free
    api.with_members(config("one", address))
    api.behave(zone_exhausted=["us-central1-c"])
    api.done("POST", f"{WEB}/recreateInstances", {"instances": [url("one")]})
    api.until(lambda: "one" not in api.plane.machines)
    body = {**RESERVED, "purpose": "GCE_ENDPOINT"}
    given = {api.made(ADDRESSES, {**body, "name": f"a{n}", "address": None})["address"] for n in range(3)}
    assert len(given) == 3 and address not in given
    api.behave(zone_exhausted=[])
    api.until(lambda: "one" in api.plane.machines)
    assert address_of(api, "one") == address


def test_the_group_goes_with_everything(api: Site) -> None:
    api.with_members(config("one"), config("two", OTHER))
    for name in (TEMPLATES + "/first", GLOBAL_CHECKS + "/alive"):
        assert api.refused("DELETE", name) == (400, "resourceInUseByAnotherResource")
    assert api.refused("DELETE", GROUP) == (400, "resourceInUseByAnotherResource")
    api.done("DELETE", WEB)
    assert api.plane.machines == {} and api.plane.disks == {}
    for path in (WEB, GROUP, f"{INSTANCES}/one"):
        assert api.refused("GET", path) == (404, "notFound")
    api.done("DELETE", f"{TEMPLATES}/first")
    api.done("DELETE", f"{GLOBAL_CHECKS}/alive")


def test_a_group_that_is_a_backend(gce: Local, api: Site) -> None:
    api.managed()
    api.made(CHECKS, check())
    # The template says on which network it is.
    api.made(SERVICES, service(backends=[backend("node1", group=f"{HOST}{GROUP}")]))
    api.plane.answers["one"] = True
    api.done("POST", f"{WEB}/createInstances", {"instances": [config("one")]})
    api.until_stable()
    (seen,) = gce.cloud.balancers.services()
    assert [each.instance for each in seen.backends] == ["one"]
    assert api.refused("DELETE", WEB) == (400, "resourceInUseByAnotherResource")
    members = {"instances": [{"instance": f"{HOST}{PROJECT}/zones/us-central1-c/instances/one"}]}
    for verb in ("addInstances", "removeInstances"):
        assert api.refused("POST", f"{GROUP}/{verb}", members) == (400, "invalid")


# --- changes


def test_a_new_template_is_for_new_instances(api: Site) -> None:
    api.with_members(config("one"))
    api.made(TEMPLATES, template("second", machineType="e2-medium"))
    before = api.good("GET", WEB)
    api.done("POST", f"{WEB}/setInstanceTemplate", {"instanceTemplate": "global/instanceTemplates/second"})
    after = api.good("GET", WEB)
    assert after["instanceTemplate"] == after["versions"][0]["instanceTemplate"] == f"{HOST}{TEMPLATES}/second"
    assert after["fingerprint"] != before["fingerprint"]
    assert after["status"]["isStable"] and not after["status"]["versionTarget"]["isReached"]
    api.look()
    assert api.members()["one"]["version"]["instanceTemplate"].endswith("/first")
    assert api.refused("DELETE", f"{TEMPLATES}/first") == (400, "resourceInUseByAnotherResource")
    old = api.members()["one"]["id"]
    api.done("POST", f"{WEB}/applyUpdatesToInstances", {"instances": [url("one")]})
    api.until_replaced("one", old)
    assert api.good("GET", f"{INSTANCES}/one")["machineType"].endswith("/e2-medium")
    assert address_of(api, "one") == ADDRESS
    assert api.good("GET", WEB)["status"]["versionTarget"]["isReached"]
    api.done("DELETE", f"{TEMPLATES}/first")


def test_instances_are_recreated_with_the_newest_template(api: Site) -> None:
    api.with_members(config("one"), config("two", OTHER))
    api.made(TEMPLATES, template("second"))
    api.done("PATCH", WEB, {"versions": [{"name": "v2", "instanceTemplate": "global/instanceTemplates/second"}]})
    ids = {name: each["id"] for name, each in api.members().items()}
    api.done("POST", f"{WEB}/recreateInstances", {"instances": [f"{ZONE[1:]}/instances/one"]})
    api.until_replaced("one", ids["one"])
    found = api.members()
    assert found["two"]["id"] == ids["two"] and found["one"]["version"]["instanceTemplate"].endswith("/second")
    assert address_of(api, "one") == ADDRESS


def test_what_changes_in_place(api: Site) -> None:
    api.with_members(config("one"))
    before = api.good("GET", WEB)
    body = {
        "fingerprint": before["fingerprint"],
        "autoHealingPolicies": [{"healthCheck": "global/healthChecks/alive", "initialDelaySec": 7}],
        "instanceLifecyclePolicy": {"forceUpdateOnRepair": "YES"},
        "targetSize": 1,
    }
    api.done("PATCH", WEB, body)
    after = api.good("GET", WEB)
    assert after["autoHealingPolicies"][0]["initialDelaySec"] == 7
    assert after["instanceLifecyclePolicy"]["forceUpdateOnRepair"] == "YES"
    assert after["updatePolicy"] == before["updatePolicy"]
    assert api.refused("PATCH", WEB, body) == (412, "conditionNotMet")
    api.done("PATCH", WEB, {"autoHealingPolicies": []})
    assert "autoHealingPolicies" not in api.good("GET", WEB)
    assert list(api.members()) == ["one"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": "Bad"}, 400),
        ({"targetSize": None}, 400),
        ({"instanceTemplate": None}, 400),
        ({"instanceTemplate": "global/instanceTemplates/none"}, 404),
        ({"instanceTemplate": "global/networks/ip-failover"}, 400),
        ({"baseInstanceName": "w" * 59}, 400),
        ({"versions": [{"instanceTemplate": "global/instanceTemplates/first", "targetSize": {"fixed": 1}}]}, 501),
        ({"autoHealingPolicies": [{"healthCheck": "global/healthChecks/none"}]}, 404),
        ({"autoHealingPolicies": [{"healthCheck": "global/healthChecks/alive", "initialDelaySec": 3601}]}, 400),
        ({"autoHealingPolicies": [{"healthCheck": "global/healthChecks/alive"}] * 2}, 400),
        ({"updatePolicy": {"replacementMethod": "RECREATE", "maxSurge": {"fixed": 1}}}, 400),
        ({"updatePolicy": {"maxSurge": {"fixed": 0}, "maxUnavailable": {"fixed": 0}}}, 400),
        ({"updatePolicy": {"maxSurge": {"percent": 10}}}, 501),
        ({"updatePolicy": {"type": "PROACTIVE"}}, 501),
        ({"updatePolicy": {"minimalAction": "RESTART"}}, 501),
        ({"instanceLifecyclePolicy": {"onRepair": {"allowChangingZone": "YES"}}}, 501),
        ({"statefulPolicy": {"preservedState": {"disks": {"boot": {}}}}}, 501),
        ({"statefulPolicy": {"preservedState": {"internalIPs": {"nic1": {}}}}}, 400),
        ({"allInstancesConfig": {"properties": {"labels": {"a": "b"}}}}, 501),
        ({"targetPools": ["x"]}, 501),
    ],
)
def test_a_bad_group_is_refused_and_claims_nothing(gce: Local, api: Site, changes: Any, status: int) -> None:
    api.made(GLOBAL_CHECKS, CHECK)
    api.made(TEMPLATES, template())
    assert api("POST", MANAGERS, manager(**changes))[0] == status
    api.made(MANAGERS, manager())


def test_a_health_check_of_another_region(api: Site) -> None:
    api.made(TEMPLATES, template())
    api.made(CHECKS, CHECK)
    policy = [{"healthCheck": "regions/us-central1/healthChecks/alive"}]
    api.made(MANAGERS, manager(autoHealingPolicies=policy))
    assert api.refused("DELETE", f"{CHECKS}/alive") == (400, "resourceInUseByAnotherResource")


def test_the_name_of_its_group_must_be_free(api: Site) -> None:
    api.made(f"{ZONE}/instanceGroups", {"name": "web"})
    api.made(GLOBAL_CHECKS, CHECK)
    api.made(TEMPLATES, template())
    assert api.refused("POST", MANAGERS, manager()) == (409, "alreadyExists")
    assert api.refused("GET", WEB) == (404, "notFound")


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("createInstances", {}, 400),
        ("createInstances", {"instances": [{"name": "Bad"}]}, 400),
        ("createInstances", {"instances": [config("x", "what")]}, 400),
        ("createInstances", {"instances": [{"name": "x", "preservedState": {"disks": {"boot": {}}}}]}, 501),
        ("createInstances", {"instances": [{"name": "x", "preservedState": {"internalIPs": {"nic1": {}}}}]}, 400),
        ("createInstances", {"instances": [{"name": "x", "preservedState": {"internalIPs": {"nic0": {}}}}]}, 400),
        ("deleteInstances", {}, 400),
        ("deleteInstances", {"instances": [url("node1")]}, 400),
        ("recreateInstances", {"instances": ["zones/us-central1-a/instances/one"]}, 400),
        ("applyUpdatesToInstances", {"instances": [url("one")], "allInstances": True}, 400),
        ("applyUpdatesToInstances", {"instances": [url("one")], "minimalAction": "RESTART"}, 501),
        ("updatePerInstanceConfigs", {"perInstanceConfigs": [config("none")]}, 400),
        ("updatePerInstanceConfigs", {}, 400),
        ("deletePerInstanceConfigs", {"names": ["none"]}, 400),
        ("setInstanceTemplate", {}, 400),
        ("setInstanceTemplate", {"instanceTemplate": "global/instanceTemplates/none"}, 404),
        ("resize?size=1001", None, 400),
        ("abandonInstances", {"instances": [url("one")]}, 501),
    ],
)
def test_a_bad_change_is_refused(api: Site, method: str, body: Any, status: int) -> None:
    api.with_members(config("one"))
    before = api.members(), api.good("GET", WEB)
    assert api("POST", f"{WEB}/{method}", body)[0] == status
    assert (api.members(), api.good("GET", WEB)) == before


# --- configurations of single instances


def test_a_configuration_in_force_changes_nothing(api: Site) -> None:
    api.with_members(config("one", None))
    found, current = api.members()["one"], address_of(api, "one")
    assert configs(api) == {}
    api.done("POST", f"{WEB}/updatePerInstanceConfigs", {"perInstanceConfigs": [config("one", current)]})
    assert configs(api)["one"]["status"] == "UNAPPLIED"
    assert not api.good("GET", WEB)["status"]["stateful"]["perInstanceConfigs"]["allEffective"]
    api.done("POST", f"{WEB}/applyUpdatesToInstances", {"allInstances": True, "mostDisruptiveAllowedAction": "REFRESH"})
    assert configs(api)["one"]["status"] == "EFFECTIVE"
    assert api.members()["one"]["id"] == found["id"]


def test_another_address_needs_another_instance(api: Site) -> None:
    api.with_members(config("one"))
    old, known = api.members()["one"]["id"], configs(api)["one"]["fingerprint"]
    body = {"perInstanceConfigs": [{**config("one", OTHER), "fingerprint": known}]}
    api.done("POST", f"{WEB}/updatePerInstanceConfigs", body)
    assert api.refused("POST", f"{WEB}/updatePerInstanceConfigs", body) == (412, "conditionNotMet")
    less = {"instances": [url("one")], "mostDisruptiveAllowedAction": "RESTART"}
    assert api.refused("POST", f"{WEB}/applyUpdatesToInstances", less) == (400, "invalid")
    api.done("POST", f"{WEB}/applyUpdatesToInstances", {"instances": [url("one")]})
    api.until_replaced("one", old)
    assert address_of(api, "one") == OTHER and configs(api)["one"]["status"] == "EFFECTIVE"


def test_a_proactive_group_applies_configurations_by_itself(api: Site) -> None:
    proactive = {"type": "PROACTIVE", "replacementMethod": "RECREATE", "minimalAction": "NONE"}
    api.with_members(config("one", None), updatePolicy=proactive)
    old, current = api.members()["one"]["id"], address_of(api, "one")
    api.done("POST", f"{WEB}/updatePerInstanceConfigs", {"perInstanceConfigs": [config("one", current)]})
    api.until(lambda: configs(api)["one"]["status"] == "EFFECTIVE")
    assert api.members()["one"]["id"] == old
    api.done("POST", f"{WEB}/updatePerInstanceConfigs", {"perInstanceConfigs": [config("one", OTHER)]})
    api.until_replaced("one", old)
    assert address_of(api, "one") == OTHER
    old = api.members()["one"]["id"]
    api.done("PATCH", WEB, {"updatePolicy": {"mostDisruptiveAllowedAction": "REFRESH"}})
    api.done("POST", f"{WEB}/updatePerInstanceConfigs", {"perInstanceConfigs": [config("one", ADDRESS)]})
    api.look()
    assert api.members()["one"]["id"] == old and configs(api)["one"]["status"] == "UNAPPLIED"


def test_configurations_are_patched_and_deleted(gce: Local, api: Site) -> None:
    api.with_members(config("one"))
    patch = {"perInstanceConfigs": [{"name": "one", "preservedState": {"metadata": {"a": "b"}}}]}
    api.done("POST", f"{WEB}/patchPerInstanceConfigs", patch)
    assert configs(api)["one"]["preservedState"] == config("one", metadata={"a": "b"})["preservedState"]
    api.done("POST", f"{WEB}/deletePerInstanceConfigs", {"names": ["one"]})
    assert configs(api)["one"]["status"] == "UNAPPLIED_DELETION"
    assert not api.good("GET", WEB)["status"]["stateful"]["perInstanceConfigs"]["allEffective"]
    assert list(gce.cloud.preserved.values()) == [(NETWORK, ADDRESS)]
    api.done("POST", f"{WEB}/applyUpdatesToInstances", {"allInstances": True})
    api.look()
    assert configs(api) == {} and gce.cloud.preserved == {}


# --- who may


def test_permissions(gce: Local, api: Site) -> None:
    api.with_members(config("one"))
    api.made(TEMPLATES, template("second"))
    gce.cloud.tokens["limited"] = "limited", None
    caller = Site(gce, "limited")
    new = "global/instanceTemplates/second"
    for verb, path, body, needed in (
        ("GET", WEB, None, "instanceGroupManagers.get"),
        ("GET", MANAGERS, None, "instanceGroupManagers.list"),
        ("POST", f"{WEB}/listManagedInstances", None, "instanceGroupManagers.list"),
        ("POST", f"{WEB}/listPerInstanceConfigs", None, "instanceGroupManagers.get"),
        (
            "POST",
            MANAGERS,
            manager(name="x"),
            "instanceGroupManagers.create instanceTemplates.useReadOnly healthChecks.useReadOnly",
        ),
        ("PATCH", WEB, {"instanceTemplate": new}, "instanceGroupManagers.update instanceTemplates.useReadOnly"),
        (
            "POST",
            f"{WEB}/setInstanceTemplate",
            {"instanceTemplate": new},
            "instanceGroupManagers.update instanceTemplates.useReadOnly",
        ),
        ("POST", f"{WEB}/resize?size=1", None, "instanceGroupManagers.update"),
        ("POST", f"{WEB}/createInstances", {"instances": [config("x", OTHER)]}, "instanceGroupManagers.update"),
        ("POST", f"{WEB}/recreateInstances", {"instances": [url("one")]}, "instanceGroupManagers.update"),
        ("POST", f"{WEB}/deletePerInstanceConfigs", {"names": ["one"]}, "instanceGroupManagers.update"),
        ("DELETE", f"{MANAGERS}/x", None, "instanceGroupManagers.delete"),
    ):
        names = {f"compute.{each}" for each in needed.split()}
        for lacking in sorted(names):
            gce.cloud.permissions["limited"] = frozenset(names - {lacking})
            status, answer = caller(verb, path, body)
            assert (status, answer["error"]["errors"][0]["reason"]) == (403, "forbidden"), path
            assert answer["error"]["message"].startswith(f"Required '{lacking}' permission")
        gce.cloud.permissions["limited"] = frozenset(names)
        caller.good(verb, path, body)


def test_an_instance_of_a_group_is_an_instance_like_any_other(api: Site) -> None:
    api.with_members(config("one"))
    assert api.failed("POST", INSTANCES, instance("two", ADDRESS)) == (400, "IP_IN_USE_BY_ANOTHER_RESOURCE")
    assert api.good("GET", f"{INSTANCES}/one")["status"] == "RUNNING"
