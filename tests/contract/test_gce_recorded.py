# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API of Compute Engine answers as the real one was seen to answer: recorded_gce.json says by whom."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudha.vip.tests.contract.test_gce_emulator import (
    NODE1,
    NODE2,
    PROJECT,
    ROUTES,
    Api,
    held,
    interface_of,
    route,
)
from lab.gce.names import fingerprint
from lab.gce.server import Local

RECORDED: dict[str, dict[str, Any]] = {
    each["name"]: each for each in json.loads((Path(__file__).parent / "recorded_gce.json").read_text())
}
HOST = "https://www.googleapis.com/compute/v1"
CLIENT = f"{PROJECT}/zones/us-central1-f/instances/client1"


@pytest.fixture
def api(gce: Local) -> Api:
    return Api(gce)


def recorded(name: str, part: str, **values: str) -> Any:
    """What was recorded, about what this test is about."""
    text = json.dumps(RECORDED[name][part])
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return json.loads(text)


def refusal(name: str, **values: str) -> tuple[int, Any]:
    """The whole answer."""
    found = {part: recorded(name, part, **values) for part in ("status", "message", "reason")}
    error = {"message": found["message"], "domain": "global", "reason": found["reason"]}
    return found["status"], {"error": {"code": found["status"], "message": found["message"], "errors": [error]}}


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("GET", "zones/mars/instances/node1", None),
        ("GET", "zones/mars/instances", None),
        ("PATCH", "zones/mars/instances/node1/updateNetworkInterface?networkInterface=nic0", {"fingerprint": "AAAA"}),
        ("POST", "zones/mars/instances/node1/stop", None),
        ("POST", "zones/mars/instances/node1/testIamPermissions", {"permissions": ["compute.instances.get"]}),
        ("POST", "zones/mars/operations/operation-1/wait", None),
    ],
)
def test_an_unknown_zone(api: Api, verb: str, path: str, body: object) -> None:
    assert api(verb, f"{PROJECT}/{path}", body) == refusal("unknown zone", zone="mars")


@pytest.mark.parametrize("path", ["subnetworks", "subnetworks/ip-failover-subnet"])
def test_an_unknown_region(api: Api, path: str) -> None:
    assert api("GET", f"{PROJECT}/regions/mars/{path}") == refusal("unknown region", region="mars")


@pytest.mark.parametrize(
    "path",
    [
        "global/routes/floating",
        "global/networks/no",
        "zones/us-central1-a/instances/no",
        "zones/mars",
        "global/firewalls/no",
    ],
)
def test_what_is_not_there(api: Api, path: str) -> None:
    assert api("GET", f"{PROJECT}/{path}") == refusal("not found", path=f"{PROJECT[1:]}/{path}")


def test_what_is_being_deleted(gce: Local, api: Api) -> None:
    api.wait(api.good("POST", ROUTES, route()))
    expected = refusal("deleted while it is being deleted", path=f"{ROUTES[1:]}/floating")
    with held(gce):
        api.good("DELETE", f"{ROUTES}/floating")
        assert api("DELETE", f"{ROUTES}/floating") == expected


def test_the_route_of_a_subnetwork(api: Api) -> None:
    (local,) = api.good("GET", ROUTES)["items"]
    assert local["priority"] == 0 and "nextHopNetwork" in local
    assert api("DELETE", f"{ROUTES}/{local['name']}") == refusal("route of a subnetwork")


def test_a_next_hop_that_may_not_forward(api: Api) -> None:
    expected = [recorded("next hop that may not forward", "warning", url=f"{HOST}{CLIENT}")]
    operation = api.wait(api.good("POST", ROUTES, route(nextHopInstance=CLIENT[1:])))
    assert operation["warnings"] == expected
    assert api.good("GET", f"{ROUTES}/floating")["warnings"] == expected


def test_an_empty_scope(api: Api) -> None:
    items = api.good("GET", f"{PROJECT}/aggregated/instances")["items"]
    assert items["zones/us-central1-c"] == {"warning": recorded("empty scope", "warning", scope="zones/us-central1-c")}
    none = api.good("GET", f"{PROJECT}/aggregated/subnetworks?filter=name=no")["items"]
    assert none == {"regions/us-central1": {"warning": recorded("empty scope", "warning", scope="regions/us-central1")}}


def test_an_alias_range_in_use(api: Api) -> None:
    for instance, text in ((NODE1, "10.100.9.16/28"), (NODE2, "10.100.9.16/29")):
        body = {
            "fingerprint": interface_of(api, instance)["fingerprint"],
            "aliasIpRanges": [{"ipCidrRange": text}],
        }
        ended = api.wait(api.good("PATCH", f"{instance}/updateNetworkInterface?networkInterface=nic0", body))
    assert ended["error"]["errors"] == [recorded("alias range in use", "failure", range="10.100.9.16/29")]
    assert ended.items() >= RECORDED["operation that has failed"]["values"].items()
    assert ended.keys() >= set(RECORDED["operation that has failed"]["fields"])


def test_an_operation(gce: Local, api: Api) -> None:
    begun = RECORDED["operation that has begun"]
    with held(gce):
        operation = api.good("POST", ROUTES, route())
        for answer, more in ((operation, []), (api.good("POST", f"{NODE1}/stop"), ["zone"])):
            assert sorted(answer) == sorted([*begun["fields"], *more])
            assert answer.items() >= begun["values"].items()
    ended = api.wait(operation)
    assert (ended["status"], ended["progress"]) == ("DONE", 100) and "error" not in ended
    for host in RECORDED["hosts"]["examples"]:
        assert operation["selfLink"].startswith(host) and operation["targetLink"].startswith(host)
    form = re.sub("[0-9]", "0", RECORDED["moments"]["examples"][0])
    for moment in ("insertTime", "startTime", "endTime"):
        assert re.sub("[0-9]", "0", ended[moment]) == form


def test_fingerprints() -> None:
    """In the base64 for URLs: of so many, some must have what the other alphabet does not."""
    examples = RECORDED["fingerprints"]["examples"]
    many = [fingerprint() for _each in range(200)]
    for each in examples + many:
        assert re.fullmatch("[-_A-Za-z0-9]{11}=", each), each
        assert len(base64.urlsafe_b64decode(each)) == 8
    assert {"-", "_"} <= set("".join(many))
