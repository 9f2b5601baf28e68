# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A login that hangs ends within the timeout of the task, for every module and every way to log in."""

from __future__ import annotations

import json
import os
import socket
import threading
import time

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.cloudha.vip.plugins.modules import (
    alias_ip_info,
    alias_ip_move,
    cloudpods_instancegroup_info,
    cloudpods_instancegroup_vip,
    gcp_autohealing_group,
    gcp_autohealing_group_info,
    gcp_dns_name,
    gcp_dns_name_info,
    gcp_image,
    gcp_image_info,
    gcp_passthrough_lb,
    gcp_passthrough_lb_info,
    gcp_route_failover,
    gcp_route_info,
    gcp_route_set,
    gcp_route_set_info,
    havip_bind,
    havip_info,
)

# Slow to import, which is not what is measured.
google_auth = pytest.importorskip("google.auth")
google_metadata = pytest.importorskip("google.auth.compute_engine._metadata")
google_credentials = pytest.importorskip("google.oauth2.credentials")
openstack = pytest.importorskip("openstack")
compute = pytest.importorskip("google.cloud.compute_v1")

TIMEOUT = 0.3
# Shorter than any time that a request has by itself: 10 seconds for Google, 30 for the others.
SLACK = 1.0


class Silent:
    """A server that takes every connection, reads what it is sent, and says nothing."""

    def __init__(self):
        self.asked = threading.Event()
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                connection, _peer = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            if connection.recv(65536):
                self.asked.set()
            self.over.wait(60)

    def close(self):
        self.over.set()
        self.listener.close()


@pytest.fixture
def server():
    server = Silent()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for prefix in ("OS_", "HW_", "UCLOUD_", "GCP_", "GOOGLE_", "YUNION_"):
        for name in [name for name in os.environ if name.startswith(prefix)]:
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_GCE_CHECK", "true")


ROUTE = {"project": "p", "name": "r", "destination": "10.9.0.1/32", "network": "n"}
IMAGE = {"project": "p", "name": "i", "zone": "r-1-a"}
BALANCER = {"project": "p", "name": "lb", "region": "r"}
DNS = {"project": "p", "managed_zone": "z", "name": "a.ha.internal"}
GROUP = {"project": "p", "name": "web", "zone": "us-east1-b"}
RANGES = {"project": "p", "ranges": ["10.9.0.1/32"]}
TARGET = {"target_instance": "zones/z-a/instances/i"}
MEMBERS = [{"instance": "zones/z-a/instances/i"}]
INSTANCE = {"next_hop_instance": "zones/z-a/instances/i"}
VIP = {"network": "net", "address": "10.0.0.9"}


def given_token(server, monkeypatch):
    return {"auth_kind": "accesstoken", "access_token": "t", "endpoint": f"{server.url}/compute/v1"}


def metadata(server, monkeypatch):
    monkeypatch.setattr(google_metadata, "_GCE_METADATA_HOST", server.address)
    monkeypatch.setattr(google_metadata, "_METADATA_ROOT", f"{server.url}/computeMetadata/v1/", raising=False)
    return {"auth_kind": "machineaccount"}


def oauth(server, monkeypatch):
    found = google_credentials.Credentials(
        None, refresh_token="r", token_uri=f"{server.url}/token", client_id="i", client_secret="s"
    )
    monkeypatch.setattr(google_auth, "default", lambda **_: (found, "p"))
    return {"auth_kind": "application"}


def search(server, monkeypatch):
    """For credentials, which may ask the metadata server, or a program."""
    monkeypatch.setattr(google_auth, "default", lambda **_: server.asked.set() or server.over.wait(60))
    return {"auth_kind": "application"}


def keystone(server, monkeypatch):
    auth = {"auth_url": f"{server.url}/v3", "username": "u", "password": "pass-w0rd", "project_name": "p"}
    auth.update(user_domain_id="default", project_domain_id="default")
    return {"provider": "openstack", "auth": auth, "region_name": "r"}


def profile(server, monkeypatch):
    """Of a cloud, which its vendor serves."""
    auth = {"auth_url": f"{server.url}/v3", "username": "u", "password": "pass-w0rd"}
    return {"provider": "openstack", "cloud": {"profile": server.url, "auth": auth}}


def huawei(server, monkeypatch):
    user = {"user_name": "u", "password": "pass-w0rd", "domain_name": "d"}
    return {"provider": "huaweicloud", **user, "region_name": "r", "auth_url": f"{server.url}/v3"}


def ucloudstack(server, monkeypatch):
    keys = {"public_key": "k", "private_key": "pr1vate"}
    return {"provider": "ucloudstack", **keys, "region_name": "r", "endpoint": f"{server.url}/api"}


def cloudpods(server, monkeypatch):
    return {"auth_url": f"{server.url}/v3", "username": "u", "password": "pass-w0rd", "project_name": "p"}


GOOGLE = (given_token, metadata, oauth, search)
CASES = [
    *((gcp_route_failover, {**ROUTE, **INSTANCE}, login) for login in GOOGLE),
    *((gcp_route_info, ROUTE, login) for login in GOOGLE),
    *((gcp_route_set, {**ROUTE, "members": MEMBERS}, login) for login in GOOGLE),
    *((gcp_route_set_info, ROUTE, login) for login in GOOGLE),
    *((gcp_passthrough_lb, {**BALANCER, "subnetwork": "s", "address": "10.0.0.9"}, login) for login in GOOGLE),
    *((gcp_passthrough_lb_info, BALANCER, login) for login in GOOGLE),
    *((gcp_image, IMAGE, login) for login in GOOGLE),
    *((gcp_image_info, {"project": "p"}, login) for login in GOOGLE),
    *((gcp_dns_name, {**DNS, "addresses": ["10.0.0.9"]}, login) for login in GOOGLE),
    *((gcp_dns_name_info, DNS, login) for login in GOOGLE),
    *((gcp_autohealing_group, GROUP, login) for login in GOOGLE),
    *((gcp_autohealing_group_info, GROUP, login) for login in GOOGLE),
    *((alias_ip_move, {**RANGES, **TARGET}, login) for login in GOOGLE),
    *((alias_ip_info, RANGES, login) for login in GOOGLE),
    *((havip_bind, VIP, login) for login in (keystone, profile, huawei, ucloudstack)),
    *((havip_info, {"network": "net"}, login) for login in (keystone, profile, huawei, ucloudstack)),
    (cloudpods_instancegroup_vip, {"group": "g", "state": "absent"}, cloudpods),
    (cloudpods_instancegroup_info, {"group": "g"}, cloudpods),
]


def case(module, options, login, check_mode):
    words = (module.__name__.rpartition(".")[2], login.__name__, *(["check"] if check_mode else []))
    return pytest.param(module, options, login, check_mode, id="-".join(words))


@pytest.mark.parametrize(
    ("module", "options", "login", "check_mode"),
    [
        case(*each, mode)
        for each in CASES
        for mode in (False, True)
        if not (mode and each[0].__name__.endswith("_info"))
    ],
)
def test_a_login_that_hangs_ends_in_time(module, options, login, check_mode, server, monkeypatch, capsys):
    arguments = {**options, **login(server, monkeypatch), "timeout": TIMEOUT, "_ansible_check_mode": check_mode}
    begun = time.monotonic()
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    took = time.monotonic() - begun
    result = json.loads(capsys.readouterr().out)
    assert server.asked.is_set(), result["msg"]
    assert result["failed"] and not result.get("changed"), result
    assert took < TIMEOUT + SLACK, result["msg"]
