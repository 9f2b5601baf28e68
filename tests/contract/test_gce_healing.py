# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API of Compute Engine: what managed instance groups do by themselves, as docs/gce-api.md says."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudha.vip.tests.contract import gce_machines
from ansible_collections.cloudha.vip.tests.contract.gce_machines import (
    ADDRESS,
    INSTANCES,
    MANAGERS,
    OTHER,
    TEMPLATES,
    WEB,
    Site,
    config,
    manager,
    template,
    url,
)
from ansible_collections.cloudha.vip.tests.contract.lb_api import ADDRESSES, RESERVED
from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import DESTINATION, ROUTES, hops
from lab.gce.balancers import Check
from lab.gce.probes import Verdict
from lab.gce.server import Local

ONE = f"{INSTANCES}/one"
SECOND = {"instanceTemplate": "global/instanceTemplates/second"}
PROACTIVE = {"updatePolicy": {"type": "PROACTIVE", "replacementMethod": "RECREATE"}}
api = gce_machines.api  # fixture


def policy(delay: int) -> list[dict[str, Any]]:
    return [{"healthCheck": "global/healthChecks/alive", "initialDelaySec": delay}]


def identity(api: Site, name: str = "one") -> str:
    return str(api.members()[name]["id"])


# --- health


def test_a_new_instance_is_verified_until_it_is_healthy(api: Site) -> None:
    api.managed()
    api.done("POST", f"{WEB}/createInstances", {"instances": [config("one")]})
    api.until(lambda: api.members()["one"]["currentAction"] == "VERIFYING")
    assert api.health("one") == "UNKNOWN"
    found = api.good("GET", WEB)
    assert found["currentActions"]["verifying"] == 1 and not found["status"]["isStable"]
    api.plane.answers["one"] = True
    api.until_stable()
    assert api.health("one") == "HEALTHY" and api.members()["one"]["currentAction"] == "NONE"


def test_probes_come_from_google_and_ask_the_instance_itself(
    gce: Local, api: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def probe(instance: str, check: Check, address: str, source: str) -> bool:
        asked.append((instance, check.kind, check.port, check.path, address, source))
        return True

    monkeypatch.setattr(gce.healer.probes, "_probe", probe)
    api.with_members(config("one"))
    api.until(lambda: len(asked) > 1)
    assert set(asked) == {("one", "HTTP", 8080, "/up", ADDRESS, each) for each in ("35.191.0.1", "130.211.0.1")}
    history = [each for each in gce.admin("GET", "/health") if each["service"] == "web"]
    assert [(each["instance"], each["health"]) for each in history] == [("one", "HEALTHY")]


def test_an_unhealthy_instance_is_replaced(gce: Local, api: Site) -> None:
    api.behave(boot_s=5)
    api.with_members(config("one"))
    api.done("POST", ROUTES, route_to_one())
    old, disks = identity(api), set(api.plane.disks)
    api.plane.answers["one"] = False
    new = api.until_replaced("one", old)
    assert new["currentAction"] == "VERIFYING" and new["preservedStateFromConfig"]
    found = api.good("GET", ONE)
    assert found["networkInterfaces"][0]["networkIP"] == ADDRESS
    assert api.plane.boots == [("one", 5.0)] * 2 and not disks & set(api.plane.disks)
    # It gets packets as soon as it runs, whether it serves or not.
    assert found["status"] == "RUNNING"
    api.until(lambda: hops(gce) == ("one",))
    api.plane.answers["one"] = True
    api.until_stable()
    assert identity(api) == new["id"]


def route_to_one() -> dict[str, Any]:
    network = "global/networks/ip-failover"
    return {"name": "r", "network": network, "destRange": DESTINATION, "priority": 1000, "nextHopIp": ADDRESS}


def test_failures_do_not_count_before_the_first_answer(api: Site) -> None:
    api.managed()
    api.plane.answers["one"] = False
    api.done("POST", f"{WEB}/createInstances", {"instances": [config("one")]})
    api.until(lambda: api.members()["one"].get("instanceHealth") and api.health("one") == "UNHEALTHY")
    old = identity(api)
    api.look()
    assert api.members()["one"]["currentAction"] == "VERIFYING" and identity(api) == old
    # They do when the delay is over.
    api.done("PATCH", WEB, {"autoHealingPolicies": policy(0)})
    api.until_replaced("one", old)


def test_after_the_first_good_answer_they_count(api: Site) -> None:
    api.with_members(config("one"), autoHealingPolicies=policy(3600))
    old = identity(api)
    api.plane.answers["one"] = False
    api.until_replaced("one", old)
    new = identity(api)
    api.until(lambda: api.health("one") == "UNHEALTHY")
    api.look()
    assert identity(api) == new and api.members()["one"]["currentAction"] == "VERIFYING"


def test_a_verdict_takes_answers_in_a_row() -> None:
    check = Check("TCP", 80, "", "", "", 1, 1, healthy=2, unhealthy=3)
    verdict = Verdict(None)
    seen = []
    for good in (True, False, False, True, False, False, False, True, False, True, True):
        verdict.hear(good, check)
        seen.append(verdict.healthy)
    assert seen == [None] * 6 + [False] * 4 + [True]


@pytest.mark.parametrize(
    ("lifecycle", "failed", "unhealthy"),
    [
        ({"defaultActionOnFailure": "DO_NOTHING"}, False, False),
        ({"defaultActionOnFailure": "DO_NOTHING", "onFailedHealthCheck": "REPAIR"}, False, True),
        ({"onFailedHealthCheck": "DO_NOTHING"}, True, False),
    ],
)
def test_what_is_repaired(api: Site, lifecycle: dict[str, str], failed: bool, unhealthy: bool) -> None:
    api.with_members(config("one"), instanceLifecyclePolicy=lifecycle)
    old = identity(api)
    api.plane.answers["one"] = False
    if unhealthy:
        api.until_replaced("one", old)
    else:
        api.until(lambda: api.health("one") == "UNHEALTHY")
        api.look()
        assert identity(api) == old and api.members()["one"]["currentAction"] == "NONE"
    api.plane.answers["one"] = True
    api.until_stable()
    old = identity(api)
    api.done("POST", f"{ONE}/stop")
    if failed:
        api.until_replaced("one", old)
    else:
        api.look()
        assert identity(api) == old and api.good("GET", ONE)["status"] == "TERMINATED"


@pytest.mark.parametrize("force", ["NO", "YES"])
def test_the_template_of_a_repair(api: Site, force: str) -> None:
    api.with_members(config("one"), instanceLifecyclePolicy={"forceUpdateOnRepair": force})
    api.made(TEMPLATES, template("second"))
    api.done("POST", f"{WEB}/setInstanceTemplate", SECOND)
    old = identity(api)
    api.plane.answers["one"] = False
    new = api.until_replaced("one", old)
    assert new["version"]["instanceTemplate"].rpartition("/")[2] == ("second" if force == "YES" else "first")


# --- instances that fail


@pytest.mark.parametrize("checked", [True, False])
def test_an_instance_that_somebody_takes_away_comes_back(api: Site, checked: bool) -> None:
    api.with_members(config("one"), **({} if checked else {"autoHealingPolicies": None}))
    for verb, path in (("DELETE", ONE), ("POST", f"{ONE}/stop")):
        old = identity(api)
        api.done(verb, path)
        api.until_replaced("one", old)
        api.until_stable()
        assert api.good("GET", ONE)["networkInterfaces"][0]["networkIP"] == ADDRESS
    # The machine may also lose its power without a word.
    old = identity(api)
    api.plane.power("one", False)
    api.until_replaced("one", old)
    api.until_stable()


def test_without_a_kept_address_a_new_instance_has_another_one(api: Site) -> None:
    api.with_members(config("one", None))
    old = api.good("GET", ONE)
    api.done("POST", f"{WEB}/recreateInstances", {"instances": [url("one")]})
    api.until_replaced("one", old["id"])
    new = api.good("GET", ONE)
    assert new["networkInterfaces"][0]["networkIP"] != old["networkInterfaces"][0]["networkIP"]


def test_a_policy_keeps_the_first_address(api: Site) -> None:
    stateful = {"preservedState": {"internalIPs": {"nic0": {"autoDelete": "NEVER"}}}}
    api.with_members(config("one", None), statefulPolicy=stateful)
    old = api.good("GET", ONE)
    address = old["networkInterfaces"][0]["networkIP"]
    kept = api.members()["one"]["preservedStateFromPolicy"]["internalIPs"]["nic0"]
    assert kept == {"autoDelete": "NEVER", "ipAddress": {"literal": address}}
    api.done("POST", f"{WEB}/recreateInstances", {"instances": [url("one")]})
    api.until_replaced("one", old["id"])
    assert api.good("GET", ONE)["networkInterfaces"][0]["networkIP"] == address


def test_a_creation_that_fails_is_tried_again(api: Site) -> None:
    api.managed()
    api.plane.answers["one"] = True
    api.behave(zone_exhausted=["us-central1-c"])
    api.done("POST", f"{WEB}/createInstances", {"instances": [config("one")]})

    def errors() -> Any:
        return api.members()["one"]["lastAttempt"].get("errors", {}).get("errors")

    (error,) = api.until(errors)
    assert error["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED"
    assert api.members()["one"]["currentAction"] == "CREATING" and api.good("GET", WEB)["currentActions"]["creating"]
    api.behave(zone_exhausted=[])
    api.until_stable()
    assert api.members()["one"]["lastAttempt"] == {}


def test_an_instance_whose_image_is_gone(api: Site) -> None:
    api.made(gce_machines.DISKS, {"name": "spare", "sourceImage": gce_machines.DEBIAN})
    gold = {"name": "gold", "sourceDisk": "zones/us-central1-c/disks/spare"}
    api.made(gce_machines.IMAGES, gold)
    api.made(TEMPLATES, template("golden", disks=[gce_machines.disk("global/images/gold")]))
    api.with_members(config("one"), instanceTemplate="global/instanceTemplates/golden")
    api.done("DELETE", f"{gce_machines.IMAGES}/gold")
    api.done("DELETE", ONE)
    api.until(lambda: api.members()["one"]["lastAttempt"])
    (error,) = api.members()["one"]["lastAttempt"]["errors"]["errors"]
    assert error["code"] == "RESOURCE_NOT_FOUND"
    api.made(gce_machines.IMAGES, gold)
    api.until_stable()


def test_an_instance_of_somebody_else_is_in_the_way(gce: Local, api: Site) -> None:
    api.with_members(config("one"))
    # Somebody makes one of the same name as soon as the old one is gone.
    api.behave(autohealing_stuck=True)
    api.done("DELETE", ONE)
    foreign = api.made(INSTANCES, gce_machines.instance("one", OTHER))
    api.behave(autohealing_stuck=False)
    api.until(lambda: api.members()["one"]["lastAttempt"])
    (error,) = api.members()["one"]["lastAttempt"]["errors"]["errors"]
    assert error["code"] == "RESOURCE_ALREADY_EXISTS" and api.good("GET", ONE)["id"] == foreign["id"]
    api.done("DELETE", ONE)
    api.until_stable()
    assert api.good("GET", ONE)["networkInterfaces"][0]["networkIP"] == ADDRESS


def test_a_reservation_that_is_gone_meanwhile(api: Site) -> None:
    reserved = api.made(ADDRESSES, {**RESERVED, "purpose": "GCE_ENDPOINT"})
    kept = {"internalIPs": {"nic0": {"ipAddress": {"address": reserved["selfLink"]}}}}
    api.with_members({"name": "one", "preservedState": kept}, config("two", OTHER))
    api.behave(zone_exhausted=["us-central1-c"])
    api.done("DELETE", ONE)
    api.until(lambda: api.members()["one"]["lastAttempt"])
    api.done("DELETE", f"{ADDRESSES}/web")
    api.behave(zone_exhausted=[])

    def codes() -> set[str]:
        return {each["code"] for each in api.members()["one"]["lastAttempt"].get("errors", {}).get("errors", ())}

    api.until(lambda: codes() == {"RESOURCE_NOT_FOUND"})
    # Others go on.
    old = identity(api, "two")
    api.done("DELETE", f"{INSTANCES}/two")
    api.until_replaced("two", old)


# --- told to go wrong


def test_autohealing_that_is_stuck(api: Site) -> None:
    api.with_members(config("one"), config("two", OTHER))
    api.behave(autohealing_stuck=True)
    old = identity(api)
    api.plane.answers["one"] = False
    api.until(lambda: api.members()["one"]["currentAction"] == "RECREATING")
    api.look()
    assert identity(api) == old and "one" in api.plane.machines
    # What somebody asks for is done.
    other = identity(api, "two")
    api.done("POST", f"{WEB}/recreateInstances", {"instances": [url("two")]})
    api.until_replaced("two", other)
    api.done("POST", f"{WEB}/recreateInstances", {"instances": [url("one")]})
    api.until_replaced("one", old)
    assert api.plane.answers["one"] is False
    api.until(lambda: api.health("one") == "UNHEALTHY")
    api.plane.answers["one"] = True
    api.behave(autohealing_stuck=False)
    api.until_stable()
    with pytest.raises(ValueError, match="true or false"):
        api.behave(autohealing_stuck="yes")


def test_groups_of_a_zone_that_is_out_do_nothing(api: Site) -> None:
    api.with_members(config("one"))
    old = identity(api)
    api.behave(zone_outage=["us-central1-c"])
    api.plane.answers["one"] = False
    assert api.refused("GET", WEB) == (503, "backendError")
    assert api.refused("POST", f"{WEB}/recreateInstances", {"instances": [url("one")]}) == (503, "backendError")
    api.look()
    assert list(api.plane.machines) == ["one"] and not api.plane.running("one")
    api.behave(zone_outage=[])
    # Its machine boots: it has the time of a new one.
    api.look()
    assert identity(api) == old and api.plane.running("one")
    api.plane.answers["one"] = True
    api.until_stable()
    assert identity(api) == old


def test_another_zone_goes_on(api: Site) -> None:
    api.with_members(config("one"))
    elsewhere = MANAGERS.replace("us-central1-c", "us-central1-f")
    api.made(elsewhere, manager())
    api.behave(zone_outage=["us-central1-c"])
    api.plane.answers["there"] = True
    api.done("POST", f"{elsewhere}/web/createInstances", {"instances": [config("there", OTHER)]})
    api.until_stable(f"{elsewhere}/web")
    assert set(api.plane.machines) == {"one", "there"}
    # An address is the region's: who has it keeps it, wherever its zone has gone.
    taken = {"instances": [config("late")]}
    api.done("POST", f"{elsewhere}/web/createInstances", taken)
    api.until(lambda: api.members(f"{elsewhere}/web")["late"]["lastAttempt"])
    (error,) = api.members(f"{elsewhere}/web")["late"]["lastAttempt"]["errors"]["errors"]
    assert error["code"] == "IP_IN_USE_BY_ANOTHER_RESOURCE"


# --- proactive updates


def test_a_proactive_update_goes_one_by_one(api: Site) -> None:
    api.with_members(config("one"), config("two", OTHER), **PROACTIVE)
    api.made(TEMPLATES, template("second"))
    ids = {name: identity(api, name) for name in ("one", "two")}
    api.plane.answers.clear()
    api.done("PATCH", WEB, SECOND)
    replaced = api.until(lambda: [name for name in ids if identity_or_none(api, name) not in (ids[name], None)])
    assert len(replaced) == 1
    (first,), (second,) = replaced, ids.keys() - set(replaced)
    assert not api.good("GET", WEB)["status"]["isStable"]
    # As long as the first one is not healthy the second one stays.
    api.look()
    assert api.members()[first]["currentAction"] == "VERIFYING" and identity(api, second) == ids[second]
    api.plane.answers |= {first: True, second: True}
    api.until_replaced(second, ids[second])
    found = api.until_stable()
    assert found["status"]["versionTarget"]["isReached"]


def identity_or_none(api: Site, name: str) -> str | None:
    found: str | None = api.members()[name].get("id")
    return found


def test_a_broken_template_stops_a_proactive_update(api: Site) -> None:
    api.with_members(config("one"), config("two", OTHER), **PROACTIVE)
    ids = {name: identity(api, name) for name in ("one", "two")}
    api.made(TEMPLATES, template("second", disks=[gce_machines.disk("global/images/none")]))
    api.done("PATCH", WEB, SECOND)
    api.until(lambda: any(each["lastAttempt"] for each in api.members().values()))
    api.look()
    found = api.members()
    assert sorted(each["currentAction"] for each in found.values()) == ["NONE", "RECREATING"]
    (serving,) = (name for name, each in found.items() if each["currentAction"] == "NONE")
    assert found[serving]["id"] == ids[serving]
    # Back to the first one.
    api.done("PATCH", WEB, {"instanceTemplate": "global/instanceTemplates/first"})
    api.done("POST", f"{WEB}/recreateInstances", {"instances": [url(name) for name in ids if name != serving]})
    api.until_stable()
    assert identity(api, serving) == ids[serving]
