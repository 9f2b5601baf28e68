# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import calendar

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base import time_limit
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    CloudError,
    Denied,
    Exhausted,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce import Compute
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import normalise
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.session import StdlibSession
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.tokens import FixedToken
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.scripted import (
    SILENT,
    Script,
    ok,
    reply,
    server,
)

API = "https://api.example/compute/v1"
ROUTES = f"{API}/projects/p/global/routes"
INSTANCE = "projects/p/zones/z/instances/i"
NETWORK = "projects/p/global/networks/n"
NETWORK_URL = f"https://www.googleapis.com/compute/v1/{NETWORK}"
BODY = {"name": "vip", "destRange": "10.200.1.1/32", "network": NETWORK, "nextHopInstance": INSTANCE}
INSERT = f"POST {ROUTES}?requestId=id-1"
DELETE = f"DELETE {ROUTES}/vip?requestId=id-1"
WAIT = f"POST {API}/projects/p/global/operations/op-1/wait"
RUNNING = {"name": "op-1", "status": "RUNNING"}
DONE = {"name": "op-1", "status": "DONE"}


def compute(*exchanges, **keys):
    """A client, its session and its clock."""
    session, clock = Script(*exchanges), Clock()
    client = Compute(session, "p", endpoint=API, clock=clock, sleep=clock.sleep, **keys)
    return client, session, clock


def refusal(status, reason="", message="", **headers):
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return status, {"error": {"code": status, "message": message, "errors": errors}}, headers


def failed(status, code, message="why"):
    operation = {**DONE, "error": {"errors": [{"code": code, "message": message}]}, "httpErrorMessage": "WORD"}
    return {**operation, "httpErrorStatusCode": status} if status else operation


class Fresh:
    """Tokens of which each is good until it is refused."""

    def __init__(self):
        self.number = 1

    def get(self):
        return f"secret{self.number}"

    def invalidate(self, token):
        assert token == self.get()
        self.number += 1
        return True


# --- changes


def test_insert_waits_on_the_server_until_it_is_done():
    warnings = [{"code": "NEXT_HOP_NOT_RUNNING", "message": "m", "data": []}]
    client, session, clock = compute(
        (INSERT, BODY, {"name": "op-1", "status": "PENDING"}),
        (WAIT, None, {**DONE, "warnings": warnings}),
    )
    assert client.insert_route(BODY, "id-1") == warnings
    assert clock.slept == []
    assert session.headers[0] == {"Accept": "application/json", "Content-Type": "application/json"}
    assert session.headers[1] == {"Accept": "application/json"}
    assert not session.exchanges


def test_what_is_done_at_once_is_not_waited_for():
    client, session, _clock = compute((INSERT, BODY, DONE))
    assert client.insert_route(BODY, "id-1") == []
    assert not session.exchanges


def test_delete():
    client, session, _clock = compute((DELETE, None, RUNNING), (WAIT, None, DONE))
    client.delete_route("vip", "id-1")
    assert not session.exchanges


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ({"zone": f"{API}/projects/p/zones/z-a"}, "zones/z-a"),
        ({"region": f"{API}/projects/p/regions/r"}, "regions/r"),
    ],
)
def test_an_operation_is_waited_for_where_it_is(where, path):
    client, session, _clock = compute(
        (INSERT, BODY, {**RUNNING, **where}), (WAIT.replace("global", path), None, {**DONE, **where})
    )
    client.insert_route(BODY, "id-1")
    assert not session.exchanges


def test_a_wait_that_returns_too_early_is_repeated_but_not_in_a_rush():
    client, _session, clock = compute((INSERT, BODY, RUNNING), *[(WAIT, None, RUNNING)] * 7, (WAIT, None, DONE))
    client.insert_route(BODY, "id-1")
    assert clock.slept == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


def test_a_wait_that_has_lasted_is_repeated_at_once():
    def turn():
        clock.now += 10
        return RUNNING

    client, session, clock = compute(
        (INSERT, BODY, RUNNING), (WAIT, None, turn), (WAIT, None, turn), (WAIT, None, DONE)
    )
    client.insert_route(BODY, "id-1")
    assert clock.slept == []
    assert session.timeouts == [10, 10, 10, 10]


def test_a_wait_that_fails_is_repeated():
    client, session, clock = compute(
        (INSERT, BODY, RUNNING),
        (WAIT, None, Lost("no answer in time")),
        (WAIT, None, refusal(503, "backendError")),
        (WAIT, None, refusal(429, "rateLimitExceeded", **{"retry-after": "3"})),
        (WAIT, None, refusal(429, "rateLimitExceeded", **{"retry-after": "3000"})),
        (WAIT, None, (502, "<html>")),
        (WAIT, None, DONE),
    )
    client.insert_route(BODY, "id-1")
    assert clock.slept == pytest.approx([0.1, 0.2, 3, 10, 2.0])
    assert not session.exchanges


@pytest.mark.parametrize(("operation_timeout", "rest_of_the_run"), [(25.0, 60.0), (60.0, 25.0)])
def test_an_operation_that_never_ends(operation_timeout, rest_of_the_run):
    def turn():
        clock.now += 10
        return RUNNING

    client, session, clock = compute(
        (INSERT, BODY, RUNNING), *[(WAIT, None, turn)] * 3, operation_timeout=operation_timeout, timeout=7.0
    )
    says = "create route vip: operation op-1 is not done after 25 s"
    with time_limit.waiting(rest_of_the_run), pytest.raises(Unavailable, match=says) as failure:
        client.insert_route(BODY, "id-1")
    assert failure.value.resource == "vip"
    assert session.timeouts == pytest.approx([7, 10, 10, 5], abs=0.5)
    assert clock.now == 1030


def test_cancelled_between_two_looks():
    def turn():
        wanted.clear()
        return RUNNING

    wanted = [True]
    client, session, _clock = compute((INSERT, BODY, RUNNING), (WAIT, None, turn), cancelled=lambda: not wanted)
    with pytest.raises(Unavailable, match=r"create route vip, waiting for operation op-1: it was cancelled\.$"):
        client.insert_route(BODY, "id-1")
    assert not session.exchanges
    with pytest.raises(Unavailable, match=r"delete route vip: it was cancelled\.$"):
        client.delete_route("vip", "id-1")


def test_an_operation_that_nobody_knows():
    client, _session, _clock = compute((INSERT, BODY, RUNNING), (WAIT, None, refusal(404, "notFound", "not found")))
    with pytest.raises(Lost, match=r"operation op-1: 404 notFound: not found. What became of it is not known"):
        client.insert_route(BODY, "id-1")


def test_an_operation_that_may_not_be_waited_for():
    client, _session, _clock = compute(
        (INSERT, BODY, RUNNING),
        (WAIT, None, refusal(403, "forbidden", "Required 'compute.globalOperations.get' permission for 'p'")),
    )
    with pytest.raises(Denied, match=r"waiting for operation op-1: 403 forbidden: Required 'compute.globalOperations"):
        client.insert_route(BODY, "id-1")


@pytest.mark.parametrize("answer", [{}, {"status": "RUNNING"}, {"status": "RUNNING", "name": 7}])
def test_an_answer_without_an_operation(answer):
    client, _session, _clock = compute((INSERT, BODY, answer))
    with pytest.raises(Lost, match="names no operation"):
        client.insert_route(BODY, "id-1")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "INVALID_USAGE", Invalid),
        (400, "RESOURCE_NOT_READY", Unavailable),
        (400, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", Invalid),
        (403, "QUOTA_EXCEEDED", Quota),
        (403, "PERMISSION_DENIED", Denied),
        (404, "RESOURCE_NOT_FOUND", NotFound),
        (409, "RESOURCE_ALREADY_EXISTS", AlreadyExists),
        (409, "CONFLICT", AlreadyExists),
        (412, "CONDITION_NOT_MET", Stale),
        (429, "RESOURCE_OPERATION_RATE_EXCEEDED", Unavailable),
        (500, "INTERNAL_ERROR", Unavailable),
        (503, "ZONE_RESOURCE_POOL_EXHAUSTED", Exhausted),
        (None, "QUOTA_EXCEEDED", Quota),
        (None, "RESOURCE_NOT_FOUND", NotFound),
        (None, "RESOURCE_ALREADY_EXISTS", AlreadyExists),
        (None, "PERMISSIONS_ERROR", Denied),
        (None, "NEW_WORD", Unavailable),
    ],
)
def test_an_operation_that_is_done_and_failed(status, code, kind):
    client, _session, _clock = compute((INSERT, BODY, RUNNING), (WAIT, None, failed(status, code)))
    with pytest.raises(CloudError) as failure:
        client.insert_route(BODY, "id-1")
    error = failure.value
    assert error.__class__ is kind
    assert (error.resource, error.status, error.code) == ("vip", status or 0, code)
    said = f"{status} {code}" if status else code
    assert str(error).startswith(f"Cannot create route vip: {said}: operation op-1 failed: why.")


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ({**DONE, "httpErrorStatusCode": 409, "httpErrorMessage": "CONFLICT"}, "409: operation op-1 failed: CONFLICT."),
        ({**DONE, "error": {}, "httpErrorStatusCode": 400}, "400: operation op-1 failed: it does not say why."),
        (
            {**DONE, "error": {"errors": [{"code": "A"}, {"code": "B", "message": "b"}]}},
            "A: operation op-1 failed: A; b.",
        ),
    ],
)
def test_a_failed_operation_that_says_little(operation, text):
    client, _session, _clock = compute((DELETE, None, operation))
    with pytest.raises(CloudError) as failure:
        client.delete_route("vip", "id-1")
    assert str(failure.value).startswith(f"Cannot delete route vip: {text}")


# --- refusals


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (refusal(400, "invalid", "Bad."), Invalid, "400 invalid: Bad."),
        # As recorded, in inspec/inspec-gcp#301 and elsewhere.
        (
            refusal(400, "invalid", "Invalid value for field 'zone': 'us-east1'. Unknown zone."),
            NotFound,
            "400 invalid: Invalid value for field 'zone': 'us-east1'. Unknown zone.",
        ),
        (
            refusal(400, "invalid", "Invalid value for field 'region': 'us-east'. Unknown region."),
            NotFound,
            "400 invalid: Invalid value for field 'region': 'us-east'. Unknown region.",
        ),
        (refusal(400, "invalid", "Invalid value for field 'x': 'Unknown zone.'. Too long."), Invalid, "400 invalid: "),
        (
            refusal(400, "resourceNotReady", "Not ready"),
            Unavailable,
            "400 resourceNotReady: Not ready. Try again later.",
        ),
        (
            refusal(400, "badRequest", "There is a peering operation in progress on the local or peer network."),
            Unavailable,
            "400 badRequest: There is a peering operation in progress on the local or peer network. Try again later.",
        ),
        (
            refusal(403, "forbidden", "Required 'compute.routes.create' permission"),
            Denied,
            "403 forbidden: Required 'compute.routes.create' permission. Give the caller the permission.",
        ),
        (refusal(403, "rateLimitExceeded", "Slow"), Unavailable, "403 rateLimitExceeded: Slow. Try again later."),
        (refusal(403, "userRateLimitExceeded", "Slow"), Unavailable, "403 userRateLimitExceeded: Slow."),
        (
            refusal(403, "quotaExceeded", "Quota 'ROUTES' exceeded. Limit: 250.0"),
            Quota,
            "403 quotaExceeded: Quota 'ROU",
        ),
        (
            refusal(403, "accessNotConfigured", "Off"),
            Denied,
            "403 accessNotConfigured: Off. Enable the Compute Engine API in the project.",
        ),
        (
            refusal(403, "insufficientPermissions", "Request had insufficient authentication scopes."),
            Denied,
            "403 insufficientPermissions: Request had insufficient authentication scopes. The machine's access scopes",
        ),
        (
            (
                403,
                {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "m", "details": [{"reason": "WHY"}]}},
            ),
            Denied,
            "403 WHY: m.",
        ),
        (
            (403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "m"}}),
            Denied,
            "403 PERMISSION_DENIED: m.",
        ),
        (refusal(404, "notFound", "'p' was not found"), NotFound, "404 notFound: 'p' was not found."),
        (refusal(409, "alreadyExists", "There is one"), AlreadyExists, "409 alreadyExists: There is one."),
        (refusal(412, "conditionNotMet", "Changed"), Stale, "412 conditionNotMet: Changed."),
        (refusal(429, "quotaExceeded", "Slow"), Unavailable, "429 quotaExceeded: Slow."),
        (refusal(503, "backendError", "Later"), Unavailable, "503 backendError: Later."),
        ((502, "<html>\n<b>Bad  gateway</b>" + 500 * "x"), Unavailable, "502: <html> <b>Bad gateway</b>xxx"),
        ((500, ""), Unavailable, "500: it is empty. Try again later."),
        ((400, "[1]"), Invalid, "400: [1]."),
        ((400, {"error": "invalid_grant"}), Invalid, '400: {"error": "invalid_grant"}.'),
        ((418, {"error": {"errors": "odd", "details": [7]}}), Invalid, "418: "),
        (
            (307, "", {"location": "http://else.example/"}),
            Invalid,
            "307: redirected to http://else.example/, which is not",
        ),
    ],
)
def test_refused(answer, kind, text):
    client, session, _clock = compute((INSERT, BODY, answer))
    with pytest.raises(CloudError) as failure:
        client.insert_route(BODY, "id-1")
    error = failure.value
    assert error.__class__ is kind
    assert (error.resource, error.status) == ("vip", answer[0])
    assert str(error).startswith(f"Cannot create route vip: {text}")
    assert len(str(error)) < 400
    assert not session.exchanges


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), (" 7 ", 7.0), ("soon", None), ("-1", None), (None, None)])
def test_retry_after(value, seconds):
    headers = {} if value is None else {"retry-after": value}
    client, _session, _clock = compute((INSERT, BODY, refusal(429, "rateLimitExceeded", **headers)))
    with pytest.raises(Unavailable) as failure:
        client.insert_route(BODY, "id-1")
    assert failure.value.retry_after == seconds


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"name": "op-1", "status": "RUNN'])
def test_success_that_is_not_the_api_s(text):
    client, _session, _clock = compute((INSERT, BODY, (200, text)))
    with pytest.raises(Lost, match="create route vip: status 200, and an answer that is not the API's"):
        client.insert_route(BODY, "id-1")


@pytest.mark.parametrize("kind", [Lost, Unavailable, Denied])
def test_no_connection(kind):
    client, _session, _clock = compute((INSERT, BODY, kind("https://api.example: because")))
    with pytest.raises(CloudError) as failure:
        client.insert_route(BODY, "id-1")
    assert failure.value.__class__ is kind
    assert str(failure.value) == "Cannot create route vip: https://api.example: because"
    assert failure.value.resource == "vip"


# --- tokens


def test_a_refused_token_is_renewed_once():
    unauthorized = refusal(401, "authError", "Invalid Credentials")
    client, session, _clock = compute((INSERT, BODY, unauthorized), (INSERT, BODY, DONE), tokens=Fresh())
    client.insert_route(BODY, "id-1")
    assert [headers["Authorization"] for headers in session.headers] == ["Bearer secret1", "Bearer secret2"]

    client, session, _clock = compute((INSERT, BODY, unauthorized), (INSERT, BODY, unauthorized), tokens=Fresh())
    with pytest.raises(Denied, match=r"401 authError: Invalid Credentials\. Check the credentials"):
        client.insert_route(BODY, "id-1")
    assert not session.exchanges


@pytest.mark.parametrize("tokens", [None, FixedToken("secret")])
def test_without_another_token_nothing_is_repeated(tokens):
    client, session, _clock = compute((INSERT, BODY, refusal(401, "authError", "Invalid")), tokens=tokens)
    with pytest.raises(Denied, match="401 authError"):
        client.insert_route(BODY, "id-1")
    assert [("Authorization" in headers) for headers in session.headers] == [tokens is not None]


@pytest.mark.parametrize(
    "answer", [refusal(403, "forbidden", "not with secret1"), (400, "<p>Bearer secret1</p>"), (200, "secret1")]
)
def test_a_token_that_the_server_repeats_is_not_in_the_error(answer):
    client, _session, _clock = compute((INSERT, BODY, answer), tokens=Fresh())
    with pytest.raises(CloudError) as failure:
        client.insert_route(BODY, "id-1")
    assert "secret1" not in str(failure.value)


# --- what is there


def listed(query=""):
    return f"GET {ROUTES}?filter=destRange%20%3D%20%2210.200.1.1%2F32%22&maxResults=500{query}"


def test_list_routes():
    ours = {"name": "vip", "destRange": "10.200.1.1/32"}
    also = {"name": "vip-2", "destRange": "10.200.1.1/32"}
    other = {"name": "other", "destRange": "10.200.1.10/32"}
    client, session, _clock = compute(
        (listed(), None, {"items": [ours, other], "nextPageToken": "a/b="}),
        (listed("&pageToken=a%2Fb%3D"), None, (200, {"items": [also]}, {"date": "Sat, 21 Nov 2026 12:00:00 GMT"})),
    )
    # The clock of the first answer: routes may only look younger than they are.
    assert client.list_routes("10.200.1.1/32") == ([ours, also], calendar.timegm((2026, 11, 21, 11, 0, 0)))
    assert not session.exchanges


def test_list_routes_without_any():
    client, _session, _clock = compute((listed(), None, {"kind": "compute#routeList"}))
    assert client.list_routes("10.200.1.1/32")[0] == []


@pytest.mark.parametrize("date", ["", "yesterday", "Sat, 99 Nov 99999999999 11:00:00 GMT"])
def test_a_server_without_a_clock(date, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 5.0)
    client, _session, _clock = compute((listed(), None, (200, {}, {"date": date})))
    assert client.list_routes("10.200.1.1/32") == ([], 5.0)


def test_pages_without_an_end():
    client, session, _clock = compute(
        (listed(), None, {"nextPageToken": "x"}), (listed("&pageToken=x"), None, {"nextPageToken": "x"})
    )
    with pytest.raises(Unavailable, match="list the routes of project p: the API gives the same page"):
        client.list_routes("10.200.1.1/32")
    assert not session.exchanges


def test_list_routes_of_a_project_that_is_not_there():
    client, _session, _clock = compute(
        (listed(), None, refusal(404, "notFound", "The resource 'projects/p' was not found"))
    )
    with pytest.raises(NotFound, match="Cannot list the routes of project p: 404 notFound: The resource 'projects/p'"):
        client.list_routes("10.200.1.1/32")


def test_all_routes():
    line = f"GET {ROUTES}?maxResults=500"
    client, _session, _clock = compute(
        (line, None, {"items": [{"name": "a"}], "nextPageToken": "x"}),
        (f"{line}&pageToken=x", None, {"items": [{"name": "b"}]}),
    )
    assert client.all_routes() == [{"name": "a"}, {"name": "b"}]


def test_named_route():
    line = f"GET {ROUTES}?filter=name%20%3D%20%22a%22&maxResults=500"
    client, _session, _clock = compute(
        (line, None, {"items": [{"name": "ab"}], "nextPageToken": "x"}),
        (f"{line}&pageToken=x", None, {"items": [{"name": "a", "id": "1"}]}),
        (line, None, {}),
    )
    assert client.named_route("a") == {"name": "a", "id": "1"}
    assert client.named_route("a") is None


def test_get():
    client, _session, _clock = compute(
        (f"GET {API}/{INSTANCE}", None, {"name": "i"}),
        (f"GET {API}/{NETWORK}", None, {"name": "n"}),
        (f"GET {API}/{INSTANCE}", None, refusal(404, "notFound", f"The resource '{INSTANCE}' was not found")),
        (f"GET {API}/projects/p/zones/z/instances/a%20b%3Fc", None, refusal(400, "invalid", "no name")),
    )
    assert client.get_instance(INSTANCE) == {"name": "i"}
    assert client.get_network(NETWORK) == {"name": "n"}
    with pytest.raises(NotFound, match=f"Cannot get instance {INSTANCE}: 404 notFound: The resource"):
        client.get_instance(INSTANCE)
    with pytest.raises(Invalid):
        client.get_instance("projects/p/zones/z/instances/a b?c")


def aggregated(collection, project="p"):
    return f"GET {API}/projects/{project}/aggregated/{collection}?returnPartialSuccess=true&maxResults=500"


def test_list_subnetworks():
    ours = {"name": "s", "network": NETWORK_URL, "ipCidrRange": "10.100.0.0/16"}
    other = {"name": "o", "network": NETWORK_URL + "2"}
    nothing = {"warning": {"code": "NO_RESULTS_ON_PAGE"}}
    items = {"regions/r1": {"subnetworks": [other, ours]}, "regions/r2": nothing}
    client, _session, _clock = compute((aggregated("subnetworks"), None, {"items": items}))
    assert client.list_subnetworks(NETWORK) == [ours]


def test_a_network_of_another_project():
    network = "projects/host/global/networks/n"
    client, session, _clock = compute(
        (aggregated("subnetworks", "host"), None, {}),
        (f"GET {API}/projects/host/global/firewalls?maxResults=500", None, {}),
    )
    assert client.list_subnetworks(network) == []
    assert client.list_firewalls(network) == []
    assert not session.exchanges


def test_list_firewalls():
    ours, other = {"name": "a", "network": NETWORK_URL}, {"name": "b", "network": NETWORK_URL + "2"}
    client, _session, _clock = compute(
        (f"GET {API}/projects/p/global/firewalls?maxResults=500", None, {"items": [ours, other]})
    )
    assert client.list_firewalls(NETWORK) == [ours]


def interface(address, network=NETWORK_URL, **more):
    return {"networkIP": address, "network": network, **more}


def test_find_instance_by_address():
    first = {"name": "a", "networkInterfaces": [interface("10.0.0.1"), interface("10.0.0.2", NETWORK_URL + "2")]}
    second = {"name": "b", "networkInterfaces": [interface("10.0.0.2", aliasIpRanges=[{"ipCidrRange": "10.0.0.3/32"}])]}
    page = {"items": {"zones/z1": {"instances": [first]}, "zones/z2": {"instances": [second]}}}
    client, _session, _clock = compute(*[(aggregated("instances"), None, page)] * 3)
    assert client.find_instance_by_address(NETWORK, "10.0.0.1") == first
    assert client.find_instance_by_address(NETWORK, "10.0.0.2") == second
    # An alias is no next hop.
    assert client.find_instance_by_address(NETWORK, "10.0.0.3") is None


def test_find_instance_by_address_in_service_projects():
    """Those first; what cannot be read matters only to who finds nothing elsewhere."""
    found = {"name": "a", "networkInterfaces": [interface("10.0.0.1")]}
    first, second, own = (aggregated("instances").replace("/projects/p/", f"/projects/{name}/") for name in "stp")
    denied = refusal(403, "forbidden", "Required 'compute.instances.list' permission for 'projects/s'")
    page = {"items": {"zones/z": {"instances": [found]}}}
    client, _session, _clock = compute(
        (first, None, denied), (second, None, page), (first, None, denied), (second, None, {}), (own, None, {})
    )
    client.instance_projects = ["s", "t", "s"]
    assert client.find_instance_by_address(NETWORK, "10.0.0.1") == found
    with pytest.raises(Denied, match="list the instances of project s"):
        client.find_instance_by_address(NETWORK, "10.0.0.1")


@pytest.mark.parametrize(
    "silence",
    [
        {"items": {"zones/z2": {"warning": {"code": "UNREACHABLE", "message": "m"}}}},
        {"unreachables": ["projects/p/zones/z2"]},
    ],
)
def test_a_zone_that_does_not_answer_is_not_an_empty_one(silence):
    found = {"name": "a", "networkInterfaces": [interface("10.0.0.1")]}
    items = {"zones/z1": {"instances": [found]}, **silence.get("items", {})}
    client, _session, _clock = compute(*[(aggregated("instances"), None, {**silence, "items": items})] * 2)
    assert client.find_instance_by_address(NETWORK, "10.0.0.1") == found
    with pytest.raises(Unavailable, match="list the instances of project p: no answer for z2"):
        client.find_instance_by_address(NETWORK, "10.0.0.9")


def test_permissions():
    line = f"POST {API}/{INSTANCE}/testIamPermissions"
    body = {"permissions": ["compute.instances.get", "compute.instances.stop"]}
    client, _session, _clock = compute((line, body, {"permissions": ["compute.instances.get"]}), (line, body, {}))
    assert client.test_permissions(INSTANCE, body["permissions"]) == {"compute.instances.get"}
    assert client.test_permissions(INSTANCE, body["permissions"]) == set()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (NETWORK_URL, NETWORK),
        (NETWORK, NETWORK),
        ("https://compute.example/compute/beta/" + NETWORK, NETWORK),
        (None, ""),
    ],
)
def test_normalise(url, path):
    assert normalise(url) == path


# --- the whole, over HTTP


def test_insert_over_http_when_the_warm_connection_is_gone():
    """The request goes out again with the same id, and the API answers with the operation that it has."""
    date = "Date: Sat, 21 Nov 2026 11:00:00 GMT"
    running, done = '{"name": "op-1", "status": "RUNNING"}', '{"name": "op-1", "status": "DONE"}'
    with server([ok("{}", date), SILENT], [ok(running, date), reply("200 OK", done)]) as web:
        client = Compute(StdlibSession(web.url), "p", endpoint=f"{web.url}/compute/v1/", tokens=FixedToken("t"))
        assert client.list_routes("10.200.1.1/32")[1] == calendar.timegm((2026, 11, 21, 11, 0, 0))
        assert client.insert_route(BODY, "id-1") == []
    lines = [request.split(" HTTP/1.1\r\n")[0] for request in web.requests]
    assert lines == [
        "GET /compute/v1/projects/p/global/routes?filter=destRange%20%3D%20%2210.200.1.1%2F32%22&maxResults=500",
        "POST /compute/v1/projects/p/global/routes?requestId=id-1",
        "POST /compute/v1/projects/p/global/routes?requestId=id-1",
        "POST /compute/v1/projects/p/global/operations/op-1/wait",
    ]
    assert all("\r\nAuthorization: Bearer t\r\n" in request for request in web.requests)
