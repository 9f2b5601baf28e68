# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client for managed instance groups: the exact conversation."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Lost, NotFound, Quota
from ansible_collections.cloudha.vip.plugins.module_utils.clouds import gce_library
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_groups import Groups
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.scripted import Script

# Slow to import, which only the modules that provision pay.
pytest.importorskip("google.cloud.compute_v1")
json_format = pytest.importorskip("google.protobuf.json_format")

API = "http://api.example:8080/compute/v1"
URL = "https://www.googleapis.com/compute/v1/"
GROUP, NODE = "projects/p/zones/r-a/instanceGroupManagers/web", "projects/p/zones/r-a/instances/web1"
TEMPLATES = "projects/p/global/instanceTemplates"
DONE = {"name": "op-1", "status": "DONE"}
KEPT = {
    "internalIPs": {"nic0": {"autoDelete": "NEVER", "ipAddress": {"address": f"{URL}projects/p/regions/r/addresses/a"}}}
}


def groups(*exchanges):
    session, clock = Script(*exchanges), Clock()
    return Groups(session, "p", endpoint=API, clock=clock, sleep=clock.sleep), session


def test_no_more_of_the_library_is_imported_than_is_asked_for():
    code = f"""
import sys
from {gce_library.__name__} import LIBRARY, library
assert library().RegionHealthChecksClient.__name__ == "RegionHealthChecksClient"
assert library().InstanceGroupManagersApplyUpdatesRequest(minimal_action="NONE").minimal_action == "NONE"
assert not hasattr(library(), "nothing") and library() is sys.modules[LIBRARY]
services = {{name.split(".")[4] for name in sys.modules if name.startswith(f"{{LIBRARY}}.services.")}}
assert "region_health_checks" in services and "firewalls" not in services, services
"""
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_the_instances_of_a_group():
    listed = f"POST {API}/{GROUP}/listManagedInstances"
    first = {
        "name": "web1",
        "instance": URL + NODE,
        "currentAction": "CREATING",
        "lastAttempt": {"errors": {"errors": [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": "none left"}]}},
        "version": {"instanceTemplate": f"{URL}{TEMPLATES}/web-1"},
    }
    second = {"name": "web2", "instanceHealth": [{"detailedHealthState": "HEALTHY"}], "instanceStatus": "RUNNING"}
    client, session = groups(
        (listed, None, {"managedInstances": [first], "nextPageToken": "more"}),
        (f"{listed}?pageToken=more", None, {"managedInstances": [second]}),
    )
    assert client.list_managed(GROUP) == [first, second] and session.exchanges == []


def test_what_is_kept_of_instances():
    config = {"name": "web1", "preservedState": KEPT, "fingerprint": "fp==", "status": "EFFECTIVE"}
    client, _session = groups((f"POST {API}/{GROUP}/listPerInstanceConfigs", None, {"items": [config]}))
    assert client.list_configs(GROUP) == [config]


def test_templates_of_a_name():
    wanted = "name%20eq%20%22web-%5B0-9a-f%5D%7B10%7D%22"
    client, _session = groups((f"GET {API}/{TEMPLATES}?filter={wanted}", None, {"items": [{"name": "web-0123456789"}]}))
    assert client.list_templates("web-[0-9a-f]{10}") == [{"name": "web-0123456789"}]


def test_groups_and_zones_that_do_not_answer():
    items = {
        "zones/r-a": {"instanceGroupManagers": [{"name": "web"}]},
        "zones/r-b": {"warning": {"code": "UNREACHABLE"}},
        "regions/r": {"warning": {"code": "NO_RESULTS_ON_PAGE"}},
    }
    query = "returnPartialSuccess=true&maxResults=500"
    client, _session = groups(
        (f"GET {API}/projects/p/aggregated/instanceGroupManagers?{query}", None, {"items": items})
    )
    assert client.list_managers() == ([{"name": "web"}], ["r-b"])


CONFIG = {"name": "web1", "preservedState": KEPT}


@pytest.mark.parametrize(
    ("verb", "argument", "path", "body"),
    [
        ("create_instance", CONFIG, "createInstances?requestId=id", {"instances": [CONFIG]}),
        ("set_config", CONFIG, "updatePerInstanceConfigs?requestId=id", {"perInstanceConfigs": [CONFIG]}),
        (
            # The API takes no request id here.
            "replace_instance",
            NODE,
            "applyUpdatesToInstances",
            {"instances": [URL + NODE], "minimalAction": "NONE", "mostDisruptiveAllowedAction": "REPLACE"},
        ),
        ("recreate_instance", NODE, "recreateInstances?requestId=id", {"instances": [URL + NODE]}),
        ("delete_instance", NODE, "deleteInstances?requestId=id", {"instances": [URL + NODE]}),
    ],
)
def test_changes_of_instances(verb, argument, path, body):
    client, session = groups((f"POST {API}/{GROUP}/{path}", body, DONE))
    getattr(client, verb)(GROUP, argument, "id")
    assert session.exchanges == []


def test_a_change_is_waited_for_in_its_zone():
    running = {"name": "op-1", "status": "RUNNING", "zone": f"{URL}projects/p/zones/r-a"}
    failed = {**running, "status": "DONE", "httpErrorStatusCode": 403}
    failed["error"] = {"errors": [{"code": "QUOTA_EXCEEDED", "message": "too many"}]}
    client, _session = groups(
        (f"POST {API}/{GROUP}/deleteInstances?requestId=id", {"instances": [URL + NODE]}, running),
        (f"POST {API}/projects/p/zones/r-a/operations/op-1/wait", None, failed),
    )
    with pytest.raises(Quota, match="Cannot delete projects/p/zones/r-a/instances/web1: 403 QUOTA_EXCEEDED"):
        client.delete_instance(GROUP, NODE, "id")


def test_a_field_that_there_is_not():
    client, session = groups()
    with pytest.raises(json_format.ParseError, match="nosuch"):
        client.create_instance(GROUP, {"name": "web1", "nosuch": 1}, "id")
    assert session.exchanges == []


def test_what_is_not_there_and_what_is_no_answer():
    gone = {"error": {"code": 404, "message": "why", "errors": [{"reason": "notFound", "message": "why"}]}}
    client, _session = groups((f"POST {API}/{GROUP}/listManagedInstances", None, (404, gone)))
    with pytest.raises(NotFound):
        client.list_managed(GROUP)
    client, _session = groups((f"POST {API}/{GROUP}/listManagedInstances", None, {"managedInstances": [5]}))
    with pytest.raises(Lost, match="an answer that is not the API's"):
        client.list_managed(GROUP)
