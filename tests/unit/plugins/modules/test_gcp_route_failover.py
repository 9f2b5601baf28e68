# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    CloudError,
    Denied,
    Invalid,
    Lost,
    Quota,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.modules import gcp_route_failover
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.failover.cloud import (
    DESTINATION,
    NAME,
    NETWORK,
    URL,
    A,
    B,
)
from ansible_collections.cloudha.vip.tests.unit.plugins.modules.gcp_run import Cloud, runner

WHERE = {"destination": DESTINATION, "network": "ip-failover"}
TO_A = {"next_hop_instance": "node1", "next_hop_zone": "us-central1-a"}
TO_B = {"next_hop_instance": "zones/us-central1-b/instances/node2"}


@pytest.fixture
def there():
    return Cloud().put(NAME, A, description="the floating address", tags=["client"], priority=700)


@pytest.fixture
def run(there, monkeypatch, capsys):
    return runner(gcp_route_failover, there, monkeypatch, capsys)


def only(cloud):
    assert cloud.names() == [NAME]
    return cloud.named(NAME)


def test_moves_and_keeps_what_is_omitted(run, there):
    result = run(**WHERE, **TO_B)
    assert (result["changed"], result["address"]) == (True, DESTINATION)
    assert (result["previous_holder"], result["holder"]) == (A, B)
    assert [step["name"] for step in result["steps"]] == [
        "insert temporary route",
        "delete route",
        "insert route",
        "delete temporary route",
    ]
    assert all(step["ms"] == 2000 and step["attempts"] == 1 for step in result["steps"])
    assert result["elapsed_ms"] >= 8000 and 2000 <= result["moved_ms"] < 3000
    assert (result["diff"]["before"]["holder"], result["diff"]["after"]["holder"]) == (A, B)
    route = only(there)
    assert route["nextHopInstance"] == URL + B
    assert (route["description"], route["tags"], route["priority"]) == ("the floating address", ["client"], 700)


def test_second_run_changes_nothing(run, there):
    run(**WHERE, **TO_B)
    there.requests.clear()
    result = run(**WHERE, **TO_B)
    assert (result["changed"], result["steps"], there.mutations) == (False, [], [])
    assert result["previous_holder"] == result["holder"] == B
    assert result["diff"]["before"] == result["diff"]["after"]


def test_check_mode(run, there):
    result = run(**WHERE, **TO_B, _ansible_check_mode=True)
    assert there.mutations == []
    really = run(**WHERE, **TO_B)
    assert result["changed"]
    assert [step["name"] for step in result["steps"]] == [step["name"] for step in really["steps"]]
    for key in ("address", "holder", "previous_holder", "diff"):
        assert result[key] == really[key], key
    assert not run(**WHERE, **TO_B, _ansible_check_mode=True)["changed"]


def test_adopts_by_name_alone(run, there):
    assert run(**TO_B)["holder"] == B
    assert only(there)["nextHopInstance"] == URL + B


@pytest.mark.parametrize(
    ("option", "value", "field"),
    [
        ("priority", 500, "priority"),
        ("tags", ["a", "b"], "tags"),
        ("tags", ["x" * 63], "tags"),
        ("description", "x" * 2048, "description"),
        ("description", "another", "description"),
    ],
)
def test_changes_what_is_given(run, there, option, value, field):
    result = run(**{option: value})
    assert result["changed"] and result["holder"] == A
    assert only(there)[field] == value
    assert not run(**{option: value})["changed"]


def test_empties_what_is_given_empty(run, there):
    run(tags=[], description="")
    assert not only(there).get("tags") and not only(there).get("description")


def test_next_hop_by_address(run, there):
    assert run(next_hop_address="10.100.2.2")["holder"] == B
    assert only(there)["nextHopIp"] == "10.100.2.2"


def test_makes_a_route(run, there):
    there.routes.clear()
    result = run(**WHERE, **TO_A)
    assert (result["previous_holder"], result["holder"]) == (None, A)
    assert only(there)["priority"] == 1000
    assert len(result["steps"]) == 1


@pytest.mark.parametrize("where", [WHERE, {}])
def test_absent(run, there, where):
    there.check = lambda: None  # Here it is wanted that there is no route.
    there.put(f"{NAME}-tmp-dead-1", B, 699, description=f"cloudha.vip: temporary, for the route {NAME} {{}}")
    preview = run(**where, state="absent", _ansible_check_mode=True)
    assert there.mutations == []
    result = run(**where, state="absent")
    assert result["changed"] and preview["changed"] and there.names() == []
    assert (result["previous_holder"], result["holder"]) == (B, None)
    assert preview["diff"] == result["diff"]
    again = run(**where, state="absent")
    assert (again["changed"], again["steps"], again["holder"]) == (False, [], None)


def test_absent_finds_a_leftover_without_its_route(run, there):
    there.check = lambda: None
    there.routes.clear()
    there.put(f"{NAME}-tmp-dead-1", B, 699, description=f"cloudha.vip: temporary, for the route {NAME} {{}}")
    assert run(state="absent")["changed"] and there.names() == []


@pytest.mark.parametrize("holder", ["node1", A, URL + A, "zones/us-central1-a/instances/node1", "10.100.2.1"])
def test_expected_holder(run, there, holder):
    assert run(**TO_B, expected_holder=holder)["changed"]
    # It is there already, so the wish is met, whoever had it before.
    assert not run(**TO_B, expected_holder=holder)["changed"]


@pytest.mark.parametrize("holder", ["node3", "node", "10.100.2.3", B.replace("node2", "node3")])
@pytest.mark.parametrize("check_mode", [False, True])
def test_another_holder_than_expected(run, there, holder, check_mode):
    result = run(**TO_B, expected_holder=holder, _ansible_check_mode=check_mode)
    assert result["failed"] and not result.get("changed") and there.mutations == []
    assert f"10.200.1.1/32 goes to {A}" in result["msg"] and holder in result["msg"]
    assert result["problems"]


def test_exclusive(run, there):
    there.put("stranger", "10.100.2.3", 10)
    result = run(**TO_B)
    assert result["failed"] and "stranger" in result["msg"] and "exclusive" in result["msg"]
    assert there.mutations == []
    assert run(**TO_B, exclusive=True)["holder"] == B
    assert only(there)["nextHopInstance"] == URL + B


ELSEWHERE = [
    {"destination": "10.200.1.9/32", "network": "ip-failover"},
    {"destination": "10.200.1.9/32"},
    {"destination": DESTINATION, "network": "other"},
    {"network": "other"},
]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("wish", [TO_B, {"state": "absent"}])
@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_name_that_is_for_something_else(run, there, where, wish, check_mode):
    result = run(**where, **wish, _ansible_check_mode=check_mode)
    assert result["failed"] and not result.get("changed") and there.mutations == []
    assert NAME in result["msg"] and NETWORK in result["msg"] and "another n" in result["msg"]
    if "destination" in where and where["destination"] != DESTINATION:
        assert f"is for {DESTINATION}" in result["msg"] and "10.200.1.9/32" in result["msg"]
    assert only(there)["nextHopInstance"] == URL + A


def test_the_name_is_looked_for_only_where_the_list_does_not_have_it(run, there):
    run(**WHERE, **TO_B)
    assert "named" not in [verb for verb, _target in there.requests]
    there.check = lambda: None
    run(**WHERE, state="absent")
    there.requests.clear()
    assert not run(**WHERE, state="absent")["changed"]
    run(**WHERE, **TO_A)
    assert [verb for verb, _target in there.requests].count("named") == 2


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "Floating"}, ["name", "Floating", "a-z"]),
        ({"destination": "10.200.1.1"}, ["destination", "10.200.1.1/32"]),
        ({"destination": "10.200.1.1/24"}, ["destination", "10.200.1.0/24"]),
        ({"destination": "example.com/32"}, ["destination", "CIDR"]),
        ({"destination": "10.100.7.7/32"}, ["destination", "10.100.0.0/16", "ip-failover-subnet", "outside"]),
        ({"network": "other"}, ["network", "projects/p/global/networks/other", "does not exist"]),
        ({"network": "regions/r/subnetworks/s"}, ["network:", "global/networks/NAME"]),
        ({"priority": 0}, ["priority", "0", "no room"]),
        ({"priority": 65536}, ["priority", "65536", "65535"]),
        ({"priority": -1}, ["priority", "-1"]),
        ({"next_hop_instance": "node9"}, ["next hop", "node9", "does not exist"]),
        ({"next_hop_zone": None}, ["next_hop_instance", "node2", "zone"]),
        (
            {"next_hop_instance": "zones/us-central1-a/instances/node2"},
            ["next_hop_instance", "us-central1-a", "us-central1-b"],
        ),
        ({"next_hop_instance": "no-forward"}, ["next hop", "no-forward", "canIpForward"]),
        ({"next_hop_instance": "off"}, ["next hop", "off", "TERMINATED", "start"]),
        ({"next_hop_instance": "elsewhere"}, ["next hop", "elsewhere", "no interface", "ip-failover"]),
        (
            {"next_hop_instance": None, "next_hop_zone": None, "next_hop_address": "10.100.9.9"},
            ["10.100.9.9", "primary"],
        ),
        ({"next_hop_instance": None, "next_hop_zone": None, "next_hop_address": "node2"}, ["next hop", "node2"]),
        ({"next_hop_address": "10.100.2.1"}, ["mutually exclusive", "next_hop_address"]),
        ({"name": "new", "destination": None}, ["destination: give it", "new"]),
        ({"name": "new", "network": None}, ["network: give it", "new"]),
        ({"name": "new", "next_hop_instance": None, "next_hop_zone": None}, ["next hop", "none is given"]),
        ({"description": "x" * 2049}, ["description", "2048"]),
        ({"tags": ["Bad Tag"]}, ["tags: 'Bad Tag'", "a-z"]),
        ({"tags": ["web", ""]}, ["tags: ''"]),
        ({"tags": ["1web"]}, ["tags: '1web'"]),
        ({"tags": ["web-"]}, ["tags: 'web-'"]),
        ({"tags": ["w\u00e9b"]}, ["tags: 'w\u00e9b'"]),
        ({"tags": ["x" * 64]}, ["tags: 'xxx"]),
        ({"description": "cloudha.vip: temporary, for the route x "}, ["description"]),
    ],
)
def test_bad_input(run, there, options, words, check_mode):
    there.add_instance("projects/p/zones/us-central1-b/instances/node2", "10.100.2.2")
    there.add_instance("projects/p/zones/us-central1-b/instances/no-forward", "10.100.2.4", canIpForward=False)
    there.add_instance("projects/p/zones/us-central1-b/instances/off", "10.100.2.5", status="TERMINATED")
    there.add_instance(
        "projects/p/zones/us-central1-b/instances/elsewhere",
        "10.100.2.6",
        networkInterfaces=[{"network": URL + NETWORK + "2", "networkIP": "10.100.2.6"}],
    )
    to_b = {"next_hop_instance": "node2", "next_hop_zone": "us-central1-b"}
    result = run(**{**WHERE, **to_b, **options}, _ansible_check_mode=check_mode)
    assert result["failed"] and not result.get("changed")
    assert there.mutations == [] and there.named(NAME)["nextHopInstance"].endswith("node1")
    for word in words:
        assert word in result["msg"], result["msg"]


def test_priority_that_leaves_no_room(run, there):
    there.routes.clear()
    there.put(NAME, A, 0)
    result = run(**TO_B)
    assert result["failed"] and "no room" in result["msg"] and "priority from 1" in result["msg"]
    assert there.mutations == []


def fail_once(error, verb):
    """The first request of this kind fails."""
    errors = [error]

    def fault(phase, this, _target):
        if phase == "before" and this == verb and errors:
            raise errors.pop()

    return fault


@pytest.mark.parametrize("verb", ["list", "network", "insert", "delete"])
def test_what_passes_is_tried_again(run, there, verb):
    there.fault = fail_once(Unavailable("rate limit", status=403, code="rateLimitExceeded", retry_after=3), verb)
    result = run(**WHERE, **TO_B)
    assert result["changed"] and only(there)["nextHopInstance"] == URL + B
    assert sum(step["attempts"] for step in result["steps"]) == (5 if verb in ("insert", "delete") else 4)


@pytest.mark.parametrize("verb", ["list", "all"])
def test_check_mode_tries_again(run, there, verb):
    there.fault = fail_once(Unavailable("rate limit"), verb)
    where = WHERE if verb == "list" else {}
    assert run(**where, **TO_B, _ansible_check_mode=True)["changed"]


def test_an_error_tells_what_there_is_now(run, there):
    def fault(phase, verb, target):
        if (phase, verb, target) == ("before", "insert", NAME):
            raise Quota("Cannot create route: QUOTA_EXCEEDED", resource=NAME, status=403, code="QUOTA_EXCEEDED")

    there.fault = fault
    result = run(**WHERE, **TO_B)
    assert result["failed"] and result["changed"]
    assert [step["name"] for step in result["steps"]] == ["insert temporary route", "delete route"]
    assert result["error"]["code"] == "QUOTA_EXCEEDED" and result["error"]["resource"] == NAME
    assert "-tmp-" in result["msg"] and "run it again" in result["msg"]
    there.fault = lambda *_: None
    assert run(**WHERE, **TO_B)["holder"] == B and only(there)["priority"] == 700


def test_denied_changes_nothing(run, there):
    def fault(phase, verb, _target):
        if verb == "insert":
            raise Denied("Required 'compute.routes.create' permission", status=403, code="forbidden")

    there.fault = fault
    result = run(**WHERE, **TO_B)
    assert result["failed"] and not result["changed"] and "compute.routes.create" in result["msg"]
    assert only(there)["nextHopInstance"] == URL + A


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("error", [Unavailable("503", status=503), Unavailable("501", status=501), Lost("lost")])
def test_a_question_for_permissions_without_an_answer_keeps_no_move(run, there, error, check_mode):
    def fault(_phase, verb, _target):
        if verb == "permissions":
            raise error

    there.fault = fault
    result = run(**WHERE, **TO_B, _ansible_check_mode=check_mode)
    assert result["changed"] and result["holder"] == B and len(result["steps"]) == 4
    assert result["notes"] == [f"the caller's permissions were not checked: {error}"]
    assert [verb for verb, _target in there.requests].count("permissions") == 1
    there.fault = lambda *_: None
    assert run(**WHERE, **TO_A)["notes"] == []


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("error", [Invalid("400", status=400), CloudError("odd")])
def test_a_question_for_permissions_that_fails_is_no_change(run, there, error, check_mode):
    def fault(_phase, verb, _target):
        if verb == "permissions":
            raise error

    there.fault = fault
    result = run(**WHERE, **TO_B, _ansible_check_mode=check_mode)
    assert result["failed"] and not result.get("changed") and there.mutations == []
    assert "nothing was changed" in result["msg"] and "may have taken effect" not in result["msg"]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("permission", ["compute.routes.delete", "compute.globalOperations.get"])
def test_who_may_do_a_part_does_nothing(run, there, permission, check_mode):
    there.missing = {permission}
    result = run(**WHERE, **TO_B, _ansible_check_mode=check_mode)
    assert result["failed"] and not result.get("changed") and there.mutations == []
    assert permission in result["msg"] and "nothing was changed" in result["msg"]


def test_nothing_to_do_asks_for_no_permissions(run, there):
    there.missing = {"compute.routes.delete"}
    assert not run(**WHERE, **TO_A)["changed"]


def test_what_is_not_known_counts_as_changed(run, there):
    def fault(phase, verb, _target):
        if verb == "insert":
            raise Lost("the connection was lost")

    there.fault = fault
    result = run(**WHERE, **TO_B, timeout=5)
    assert result["failed"] and result["changed"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_one_timeout_for_all(run, there, check_mode):
    """Also where the options leave out what the route has, so that it is looked for before the move begins."""
    began = there.clock.now

    def fault(_phase, verb, _target):
        if verb != "all" or there.clock.now < began + 40:
            raise Unavailable("not now", status=503)

    there.fault = fault
    result = run(**TO_B, _ansible_check_mode=check_mode)
    assert result["failed"] and not result.get("changed") and "not now" in result["msg"]
    assert 40 < there.clock.now - began <= 60


def test_every_failure_has_its_steps(run, there):
    def fault(_phase, _verb, _target):
        raise errors.pop()

    errors = [Unavailable("not now"), Denied("no"), KeyError("odd")]
    for option in ({"network": "regions/r/subnetworks/s"}, {"priority": 0}):
        result = run(**{**WHERE, **TO_B, **option})
        assert result["failed"] and result["steps"] == [], option
    there.fault = fault
    for _error in tuple(errors):
        result = run(**TO_B, timeout=0.01, _ansible_check_mode=True)
        assert result["failed"] and result["steps"] == [], result
    assert errors == []


def test_events_with_verbosity(run):
    assert "events" not in run(**TO_B)
    assert [event["event"] for event in run(**TO_A, _ansible_verbosity=2)["events"]].count("done") == 4
