# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clients of Neutron and of Huawei Cloud: the exact requests, and what each answer means."""

from __future__ import annotations

import json

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    CloudError,
    Denied,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds import neutron
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.huaweicloud import HuaweiCloud
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.neutron import Neutron

keystoneauth = pytest.importorskip("keystoneauth1.exceptions")
sdk = pytest.importorskip("openstack.exceptions")


class Reply:
    def __init__(self, body=None, status=200, **headers):
        self.status_code = status
        self.content = b"" if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        self.headers = headers

    @property
    def text(self):
        return self.content.decode()

    def json(self):
        return json.loads(self.content)


class Connection:
    """Answers in turn, as a service of openstacksdk's connection."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __getattr__(self, service):
        if service not in ("network", "compute"):
            raise AttributeError(service)
        return _Adapter(self, service)


class _Adapter:
    def __init__(self, connection, service):
        self.connection = connection
        self.service = service

    def get_endpoint(self):
        return "https://vpc.example.com/v2.0/"

    def get_project_id(self):
        return "p1"

    def request(self, url, method, params=None, json=None, headers=None, raise_exc=True, redirect=True):
        assert not raise_exc
        # It would take the token to another place.
        assert redirect is False
        self.connection.asked.append((self.service, method, url, dict(params or {}), json, headers.get("If-Match")))
        answer = self.connection.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_changes():
    connection = Connection(
        Reply({"port": {"id": "a"}}, 201), Reply({"port": {}}), Reply({"port": {}}), Reply(None, 204)
    )
    client = Neutron(connection)
    assert client.create_port({"name": "vip"}) == {"id": "a"}
    client.update_port("a", {"name": "new"})
    client.update_port("a", {"allowed_address_pairs": []}, 7)
    client.delete_port("a", 8)
    assert connection.asked == [
        ("network", "POST", "/ports", {}, {"port": {"name": "vip"}}, None),
        ("network", "PUT", "/ports/a", {}, {"port": {"name": "new"}}, None),
        # Also where nothing else would change, the revision is compared.
        ("network", "PUT", "/ports/a", {}, {"port": {"allowed_address_pairs": []}}, "revision_number=7"),
        ("network", "DELETE", "/ports/a", {}, None, "revision_number=8"),
    ]


def test_pages(monkeypatch):
    monkeypatch.setattr(neutron, "PAGE", 2)
    pages = [
        Reply({"ports": [{"id": "1"}, {"id": "2"}]}),
        # A server may give fewer than it was asked for, and say that there are more.
        Reply({"ports": [{"id": "3"}], "ports_links": [{"rel": "next", "href": "x"}]}),
        Reply({"ports": [{"id": "3"}, {"id": "4"}]}),
        Reply({"ports": []}),
    ]
    connection = Connection(*pages)
    assert [port["id"] for port in Neutron(connection).list_ports("net")] == ["1", "2", "3", "4"]
    assert [asked[3].get("marker") for asked in connection.asked] == [None, "2", "3", "4"]
    # One that gives the same page for ever is left.
    same = Reply({"servers": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]})
    assert len(Neutron(Connection(same, same)).list_servers()) == 2


def test_floating_ips():
    floating = {"id": "f", "floating_ip_address": "203.0.113.7", "port_id": None, "revision_number": 4}
    connection = Connection(Reply({"floatingips": [floating]}), Reply({}), Reply({}))
    client = Neutron(connection)
    (found,) = client.list_external()
    assert found == {
        "id": "f",
        "address": "203.0.113.7",
        "port_id": None,
        "fixed_ip": None,
        "revision_number": 4,
    }
    client.set_external(found, "vip", "10.0.0.100")
    client.set_external(found, None, None)
    bodies = [asked[4]["floatingip"] for asked in connection.asked[1:]]
    assert bodies == [{"port_id": "vip", "fixed_ip_address": "10.0.0.100"}, {"port_id": None}]
    assert {asked[5] for asked in connection.asked[1:]} == {"revision_number=4"}
    # There are clouds without routers.
    assert Neutron(Connection(Reply({"message": "The resource could not be found."}, 404))).list_external() == []


def test_elastic_ips():
    bound = {"id": "e", "public_ip_address": "203.0.113.7", "port_id": "x", "private_ip_address": "10.0.0.1"}
    connection = Connection(
        Reply({"publicips": [bound, {"id": "g", "public_ip_address": "203.0.113.8"}]}), Reply({}), Reply({})
    )
    client = HuaweiCloud(connection)
    first, second = client.list_external()
    assert first == {"id": "e", "address": "203.0.113.7", "port_id": "x", "fixed_ip": "10.0.0.1"}
    assert (second["port_id"], second["fixed_ip"]) == (None, None)
    client.set_external(second, "vip", "10.0.0.100")
    client.set_external(first, None, None)
    assert [asked[1:5] for asked in connection.asked] == [
        ("GET", "https://vpc.example.com/v1/p1/publicips", {"limit": "1000"}, None),
        ("PUT", "https://vpc.example.com/v1/p1/publicips/g", {}, {"publicip": {"port_id": "vip"}}),
        ("PUT", "https://vpc.example.com/v1/p1/publicips/e", {}, {"publicip": {}}),
    ]


def neutron_error(kind, status, message="No."):
    return Reply({"NeutronError": {"type": kind, "message": message, "detail": ""}}, status)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (neutron_error("RevisionNumberConstraintFailed", 412), Stale),
        (neutron_error("IpAddressAlreadyAllocated", 409), AlreadyExists),
        (neutron_error("OverQuota", 409), Quota),
        (neutron_error("IpAddressGenerationFailure", 409), Quota),
        (neutron_error("PortNotFound", 404), NotFound),
        (neutron_error("PolicyNotAuthorized", 403), Denied),
        (neutron_error("AllowedAddressPairExhausted", 400), Invalid),
        (neutron_error("HTTPInternalServerError", 500), Unavailable),
        (Reply({"message": "slow down"}, 429, **{"Retry-After": "7"}), Unavailable),
        (Reply({"badRequest": {"message": "no", "code": 400}}, 400), Invalid),
        (Reply(b"<html>Bad gateway</html>", 502), Unavailable),
        (Reply({"code": "VPC.0510", "message": "FloatingIp has already associated with port."}, 409), Stale),
        (Reply({"code": "VPC.0512", "message": "busy"}, 409), Unavailable),
        (Reply({"code": "VPC.0705", "message": "outside"}, 400), Invalid),
        (Reply(b"hello"), Lost),
        (Reply([1]), Lost),
        (keystoneauth.ConnectFailure("refused"), Lost),
        (keystoneauth.ConnectTimeout("slow"), Lost),
        (keystoneauth.SSLError("self-signed"), Denied),
        (keystoneauth.Unauthorized("wrong password"), Denied),
        (keystoneauth.ServiceUnavailable("later"), Unavailable),
        (keystoneauth.EndpointNotFound("no network service"), Invalid),
        (sdk.NotSupported("Service 'network' is disabled"), Invalid),
    ],
)
def test_errors(answer, kind):
    with pytest.raises(CloudError) as error:
        HuaweiCloud(Connection(answer)).update_port("a", {"name": "b"}, 3)
    assert error.type is kind
    assert str(error.value).startswith("Cannot update port a: ") and error.value.resource == "a"
    if isinstance(answer, Reply) and "Retry-After" in answer.headers:
        assert error.value.retry_after == 7


def test_what_an_error_says():
    with pytest.raises(Quota) as error:
        Neutron(Connection(neutron_error("OverQuota", 409, "Quota exceeded for resources: ['port'].")))._list(
            "network", "/ports", "ports"
        )
    assert str(error.value) == (
        "Cannot list the ports: 409 OverQuota: Quota exceeded for resources: ['port']. Raise the quota, or delete what "
        "is not needed."
    )
    assert (error.value.status, error.value.code) == (409, "OverQuota")
