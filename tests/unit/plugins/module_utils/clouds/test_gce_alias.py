# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client's requests for alias ranges, conversation by conversation."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import AlreadyExists, Stale, Unavailable
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.test_gce import (
    API,
    DONE,
    INSTANCE,
    RUNNING,
    aggregated,
    compute,
    failed,
    refusal,
)

PATCH = f"PATCH {API}/{INSTANCE}/updateNetworkInterface?networkInterface=nic1&requestId=id-1"
ZONE = {"zone": f"{API}/projects/p/zones/z"}
WAIT = f"POST {API}/projects/p/zones/z/operations/op-1/wait"
BODY = {"aliasIpRanges": [], "fingerprint": "abc="}


def test_an_interface_is_patched_also_with_an_empty_list():
    client, session, _clock = compute((PATCH, BODY, {**RUNNING, **ZONE}), (WAIT, None, {**DONE, **ZONE}))
    client.update_network_interface(INSTANCE, "nic1", BODY, "id-1")
    assert not session.exchanges


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(412, "conditionNotMet", "fingerprint"), Stale),
        (failed(412, "CONDITION_NOT_MET"), Stale),
        (failed(400, "IP_IN_USE_BY_ANOTHER_RESOURCE"), AlreadyExists),
        (refusal(503, "backendError"), Unavailable),
    ],
)
def test_refused(answer, kind):
    client, _session, _clock = compute((PATCH, BODY, answer))
    with pytest.raises(kind, match=f"update the interface nic1 of {INSTANCE}"):
        client.update_network_interface(INSTANCE, "nic1", BODY, "id-1")


def test_stop():
    client, session, _clock = compute((f"POST {API}/{INSTANCE}/stop?requestId=id-1", None, DONE))
    client.stop_instance(INSTANCE, "id-1")
    assert not session.exchanges


def test_a_subnetwork():
    path = "projects/host/regions/r/subnetworks/s"
    client, session, _clock = compute((f"GET {API}/{path}", None, {"name": "s"}))
    assert client.get_subnetwork(path) == {"name": "s"}
    assert not session.exchanges


def test_zones_that_do_not_answer_are_told():
    found = {"name": "a"}
    items = {
        "zones/z1": {"instances": [found]},
        "zones/z3": {"warning": {"code": "UNREACHABLE", "message": "m"}},
        "zones/z2": {"warning": {"code": "UNREACHABLE", "message": "m"}},
    }
    client, _session, _clock = compute((aggregated("instances"), None, {"items": items}))
    assert client.list_instances() == ([found], ["z2", "z3"])


@pytest.mark.parametrize(("status", "may"), [(404, True), (403, False)])
def test_whether_operations_of_a_zone_may_be_followed(status, may):
    line = f"GET {API}/projects/p/zones/z/operations/cloudha-vip-none"
    client, _session, _clock = compute((line, None, refusal(status, "x")))
    assert client.may_follow_operations("zones/z") is may
