# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client for load balancers: the exact conversation, and the traps of google-cloud-compute."""

from __future__ import annotations

import json

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    Denied,
    Invalid,
    Lost,
    NotFound,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce import Compute
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_lb import LoadBalancers, Watcher
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_library import resource_manager
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.tokens import FixedToken
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.scripted import Script

# Slow to import, which only the modules for load balancers pay.
compute_v1 = pytest.importorskip("google.cloud.compute_v1")
json_format = pytest.importorskip("google.protobuf.json_format")

API = "http://api.example:8080/compute/v1"
URL = "https://www.googleapis.com/compute/v1/"
PLACE = "projects/p/regions/r"
ADDRESS, SERVICE, RULE = (f"{PLACE}/{each}/web" for each in ("addresses", "backendServices", "forwardingRules"))
CHECK, GLOBAL_CHECK = f"{PLACE}/healthChecks/web", "projects/p/global/healthChecks/web"
FIREWALL, GROUP = "projects/p/global/firewalls/web", "projects/p/zones/r-a/instanceGroups/g"
NODE = "projects/p/zones/r-a/instances/node1"
RUNNING, DONE = {"name": "op-1", "status": "RUNNING"}, {"name": "op-1", "status": "DONE"}


def balancers(*exchanges, kind=LoadBalancers, **keys):
    session, clock = Script(*exchanges), Clock()
    client = kind(session, "p", endpoint=API, clock=clock, sleep=clock.sleep, **keys)
    return client, session


def refusal(status, reason):
    error = {"code": status, "message": "why", "errors": [{"reason": reason, "message": "why"}]}
    return status, {"error": error}


# --- reads: the library's requests, our session


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (ADDRESS, {"name": "web", "address": "10.0.0.9", "users": [URL + RULE], "id": "12345678901234567890"}),
        (SERVICE, {"backends": [{"group": URL + GROUP, "failover": True}], "failoverPolicy": {"failoverRatio": 0.1}}),
        (RULE, {"IPAddress": "10.0.0.9", "IPProtocol": "L3_DEFAULT", "allPorts": True, "allowGlobalAccess": False}),
        (CHECK, {"type": "HTTP", "checkIntervalSec": 5, "httpHealthCheck": {"port": 80, "requestPath": "/"}}),
        (GLOBAL_CHECK, {"type": "TCP", "tcpHealthCheck": {"port": 6000}, "logConfig": {"enable": False}}),
        (FIREWALL, {"allowed": [{"IPProtocol": "tcp", "ports": ["80"]}], "disabled": False, "direction": "INGRESS"}),
        (GROUP, {"name": "g", "network": URL + "projects/p/global/networks/n", "size": 1}),
    ],
)
def test_a_resource_is_read_as_it_is(path, body):
    """Also what is no, none or zero, if the API says so."""
    client, session = balancers((f"GET {API}/{path}", None, body))
    assert client.get(path) == body
    assert session.exchanges == []


def test_pages_are_put_together():
    addresses = f"GET {API}/{PLACE}/addresses"
    client, _session = balancers(
        (addresses, None, {"items": [{"name": "a"}], "nextPageToken": "more & more"}),
        (f"{addresses}?pageToken=more%20%26%20more", None, {"items": [{"name": "b"}]}),
    )
    assert client.list_all(f"{PLACE}/addresses") == [{"name": "a"}, {"name": "b"}]


def test_the_same_page_again_and_again():
    addresses, page = f"GET {API}/{PLACE}/addresses", {"items": [{"name": "a"}], "nextPageToken": "more"}
    client, session = balancers((addresses, None, page), *[(f"{addresses}?pageToken=more", None, page)] * 9)
    with pytest.raises(Unavailable, match="the same page again and again"):
        client.list_all(f"{PLACE}/addresses")
    assert len(session.exchanges) == 8


@pytest.mark.parametrize("answer", [{"items": 5}, {"items": [5]}, {"items": [{"name": ["a"]}]}])
def test_an_answer_that_is_none(answer):
    client, _session = balancers((f"GET {API}/{PLACE}/addresses", None, answer))
    with pytest.raises(Lost, match="Cannot read projects/p/regions/r/addresses: an answer that is not the API's"):
        client.list_all(f"{PLACE}/addresses")


def test_an_empty_list():
    client, _session = balancers((f"GET {API}/{PLACE}/forwardingRules", None, {"kind": "compute#forwardingRuleList"}))
    assert client.list_all(f"{PLACE}/forwardingRules") == []


def test_groups_and_zones_that_do_not_answer():
    items = {
        "zones/r-a": {"instanceGroups": [{"name": "g"}]},
        "zones/r-b": {"warning": {"code": "UNREACHABLE"}},
        "zones/r-c": {"warning": {"code": "NO_RESULTS_ON_PAGE"}},
    }
    line = f"GET {API}/projects/p/aggregated/instanceGroups?returnPartialSuccess=true&maxResults=500"
    client, _session = balancers((line, None, {"items": items}))
    assert client.list_groups() == ([{"name": "g"}], ["r-b"])


def test_members():
    line = f"POST {API}/{GROUP}/listInstances"
    client, _session = balancers((line, {}, {"items": [{"instance": URL + NODE, "status": "RUNNING"}]}), (line, {}, {}))
    assert client.list_members(GROUP) == [NODE]
    assert client.list_members(GROUP) == []


def test_health():
    line, asked = f"POST {API}/{SERVICE}/getHealth", {"group": URL + GROUP}
    state = {"instance": URL + NODE, "healthState": "UNHEALTHY", "ipAddress": "10.0.0.2", "port": 80}
    client, _session = balancers((line, asked, {"healthStatus": [state]}), (line, asked, {}))
    assert client.get_health(SERVICE, GROUP) == [state]
    assert client.get_health(SERVICE, GROUP) == []


def test_quotas():
    quotas = [{"metric": "FORWARDING_RULES", "limit": 15.0, "usage": 1.0}]
    client, _session = balancers(
        (f"GET {API}/{PLACE}", None, {"quotas": quotas}), (f"GET {API}/projects/p", None, {"name": "p"})
    )
    assert client.get_quotas(PLACE) == quotas


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (refusal(404, "notFound"), NotFound, f"Cannot read {ADDRESS}: 404 notFound: why"),
        (refusal(403, "forbidden"), Denied, "403 forbidden: why. Give the caller the permission"),
        (refusal(400, "invalid"), Invalid, "400 invalid: why"),
        (refusal(503, "backendError"), Unavailable, "503 backendError: why. Try again later"),
        (refusal(429, "rateLimitExceeded"), Unavailable, "429 rateLimitExceeded"),
        ((200, "<html>"), Lost, "an answer that is not the API's"),
        (Unavailable("no way there"), Unavailable, f"Cannot read {ADDRESS}: no way there"),
        (Lost("the connection was lost"), Lost, f"Cannot read {ADDRESS}: the connection was lost"),
    ],
)
def test_errors_are_those_of_all_clients(answer, kind, words):
    """The library would retry, and raise others."""
    client, session = balancers((f"GET {API}/{ADDRESS}", None, answer))
    with pytest.raises(kind) as raised:
        client.get(ADDRESS)
    assert raised.type is kind and words in str(raised.value) and session.exchanges == []


def test_an_unknown_region_is_not_there():
    message = "Invalid value for field 'region': 'x'. Unknown region."
    error = {"error": {"code": 400, "message": message, "errors": [{"reason": "invalid", "message": message}]}}
    client, _session = balancers((f"GET {API}/{ADDRESS}", None, (400, error)))
    with pytest.raises(NotFound, match="Unknown region"):
        client.get(ADDRESS)


def test_the_token_is_ours_and_the_time_too():
    client, session = balancers((f"GET {API}/{ADDRESS}", None, {}), tokens=FixedToken("sekret"), timeout=7)
    client.get(ADDRESS)
    assert session.headers == [{"Accept": "application/json", "Authorization": "Bearer sekret"}]
    assert session.timeouts == [7]


# --- reads without the library


def watcher(*exchanges):
    return balancers(*exchanges, kind=Watcher)


def test_a_watcher_reads_the_same_and_does_without_the_library(monkeypatch):
    monkeypatch.setattr(LoadBalancers, "_library", property(lambda self: pytest.fail("not without it")))
    service = {"name": "web", "backends": [{"group": URL + GROUP}], "failoverPolicy": {"failoverRatio": 0.1}}
    health = {"instance": URL + NODE, "healthState": "UNHEALTHY"}
    addresses, members = (
        f"{line}?maxResults=500" for line in (f"{API}/{PLACE}/addresses", f"{API}/{GROUP}/listInstances")
    )
    client, session = watcher(
        (f"GET {API}/{SERVICE}", None, service),
        (f"GET {addresses}", None, {"items": [{"name": "a"}], "nextPageToken": "more"}),
        (f"GET {addresses}&pageToken=more", None, {"items": [{"name": "b"}]}),
        (f"POST {members}", {}, {"items": [{"instance": URL + NODE}]}),
        (f"POST {API}/{SERVICE}/getHealth", {"group": URL + GROUP}, {"healthStatus": [health]}),
        (f"POST {API}/{SERVICE}/getHealth", {"group": URL + GROUP}, {}),
    )
    assert client.get(SERVICE) == service
    assert client.list_all(f"{PLACE}/addresses") == [{"name": "a"}, {"name": "b"}]
    assert client.list_members(GROUP) == [NODE]
    assert client.get_health(SERVICE, GROUP) == [health] and client.get_health(SERVICE, GROUP) == []
    assert session.exchanges == []


@pytest.mark.parametrize("answer", [{"items": 5}, {"items": [5]}, {"items": [{"name": ["a"]}]}])
def test_a_watcher_gets_an_answer_that_is_none(answer):
    client, _session = watcher((f"GET {API}/{PLACE}/addresses?maxResults=500", None, answer))
    with pytest.raises(Lost, match=r"Cannot read projects/p/regions/r/addresses: an answer that is not the API's"):
        client.list_all(f"{PLACE}/addresses")


@pytest.mark.parametrize(
    "answer", [{"backends": {}}, {"backends": [5]}, {"backends": [{"group": 5}]}, {"failoverPolicy": []}]
)
def test_a_watcher_gets_a_resource_that_is_none(answer):
    client, _session = watcher((f"GET {API}/{SERVICE}", None, answer))
    with pytest.raises(Lost, match="an answer that is not the API's"):
        client.get(SERVICE)


def test_another_universe_is_no_matter_of_the_library(monkeypatch):
    """With this variable it refuses credentials that name none."""
    monkeypatch.setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "apis.example")
    client, _session = balancers((f"GET {API}/{ADDRESS}", None, {"name": "web"}))
    assert client.get(ADDRESS) == {"name": "web"}


# --- changes: the library's types, our requests


def test_an_operation_is_waited_for_at_the_endpoint_that_was_given():
    """The first trap: the library would poll it at Google's own."""
    body = {"name": "web", "address": "10.0.0.9"}
    client, session = balancers(
        (f"POST {API}/{PLACE}/addresses?requestId=id", body, {**RUNNING, "region": URL + PLACE}),
        (f"POST {API}/{PLACE}/operations/op-1/wait", None, DONE),
    )
    client.insert(ADDRESS, body, "id")
    assert session.exchanges == []


def test_the_library_polls_elsewhere():
    """Why we do not let it."""
    client = compute_v1.AddressesClient(
        credentials=pytest.importorskip("google.auth.credentials").AnonymousCredentials(),
        client_options={"api_endpoint": "http://api.example:8080"},
    )
    assert client.transport._host == "http://api.example:8080"
    assert "api.example" not in client.transport._region_operations_client.transport._host


def test_an_empty_list_is_sent():
    """The second trap: the library leaves it out, and the last backend stays."""
    body = {"backends": [], "fingerprint": "YWJj"}
    client, session = balancers((f"PATCH {API}/{SERVICE}?requestId=id", body, DONE))
    client.patch(SERVICE, body, "id")
    assert session.exchanges == []
    theirs = json_format.MessageToDict(compute_v1.BackendService.pb(compute_v1.BackendService(backends=[])))
    assert "backends" not in theirs, "the library has learned it: then it may make the changes"


def test_what_is_no_is_sent_too():
    body = {"failoverPolicy": {"dropTrafficIfUnhealthy": False, "failoverRatio": 0.0}, "fingerprint": "YWJj"}
    client, session = balancers((f"PATCH {API}/{SERVICE}?requestId=id", body, DONE))
    client.patch(SERVICE, body, "id")
    body = {"failoverPolicy": None}
    session.exchanges.append((f"PATCH {API}/{SERVICE}?requestId=id", body, DONE))
    client.patch(SERVICE, body, "id")
    assert session.exchanges == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (ADDRESS, {"adress": "10.0.0.9"}),
        (SERVICE, {"backends": [{"failOver": True}]}),
        (RULE, {"ipAddress": "10.0.0.9"}),
        (CHECK, {"httpHealthCheck": {"prot": 80}}),
        (FIREWALL, {"allowed": [{"protocol": "tcp"}]}),
    ],
)
def test_a_wrong_field_is_found_before_it_is_sent(path, body):
    client, session = balancers()
    with pytest.raises(json_format.ParseError):
        client.insert(path, body, "id")
    assert session.headers == []


@pytest.mark.parametrize(
    ("verb", "arguments", "line", "body"),
    [
        ("delete", (RULE,), f"DELETE {API}/{RULE}", None),
        ("add_members", (GROUP, [NODE]), f"POST {API}/{GROUP}/addInstances", {"instances": [{"instance": URL + NODE}]}),
        (
            "remove_members",
            (GROUP, [NODE]),
            f"POST {API}/{GROUP}/removeInstances",
            {"instances": [{"instance": URL + NODE}]},
        ),
        ("set_target", (RULE, SERVICE), f"POST {API}/{RULE}/setTarget", {"target": URL + SERVICE}),
        ("insert", (FIREWALL, {"name": "web"}), f"POST {API}/projects/p/global/firewalls", {"name": "web"}),
        ("patch", (GLOBAL_CHECK, {"timeoutSec": 1}), f"PATCH {API}/{GLOBAL_CHECK}", {"timeoutSec": 1}),
    ],
)
def test_a_change_is_one_request_with_its_id(verb, arguments, line, body):
    client, session = balancers((f"{line}?requestId=id", body, DONE))
    getattr(client, verb)(*arguments, "id")
    assert session.exchanges == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(412, "conditionNotMet"), Stale),
        (refusal(409, "alreadyExists"), AlreadyExists),
        (refusal(400, "memberAlreadyExists"), AlreadyExists),
        (refusal(400, "resourceInUseByAnotherResource"), Invalid),
        (refusal(400, "resourceNotReady"), Unavailable),
        ({**DONE, "error": {"errors": [{"code": "IP_IN_USE_BY_ANOTHER_RESOURCE", "message": "m"}]}}, AlreadyExists),
    ],
)
def test_a_refused_change(answer, kind):
    client, _session = balancers((f"PATCH {API}/{SERVICE}?requestId=id", {}, answer))
    with pytest.raises(kind, match=f"Cannot change {SERVICE}"):
        client.patch(SERVICE, {}, "id")


# --- permissions


def test_permissions_are_the_resource_managers():
    asked = {"permissions": ["compute.addresses.create", "compute.firewalls.create"]}
    there = Script(
        ("POST http://m.example/v1/projects/p:testIamPermissions", asked, {"permissions": asked["permissions"][:1]})
    )
    client, _session = balancers()
    client.projects = Compute(there, "p", endpoint="http://m.example/v1")
    assert client.project_permissions("p", asked["permissions"]) == {"compute.addresses.create"}
    assert json.dumps(there.exchanges) == "[]"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://compute.googleapis.com/compute/v1", "https://cloudresourcemanager.googleapis.com/v1"),
        ("https://compute-net.p.googleapis.com/compute/v1/", "https://cloudresourcemanager-net.p.googleapis.com/v1"),
        ("https://compute.apis.example/compute/v1", "https://cloudresourcemanager.apis.example/v1"),
        ("http://127.0.0.1:8080/compute/v1", "http://127.0.0.1:8080/v1"),
    ],
)
def test_where_the_resource_manager_is(endpoint, expected):
    assert resource_manager(endpoint) == expected
