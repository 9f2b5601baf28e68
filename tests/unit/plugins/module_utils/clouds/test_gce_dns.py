# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client of Cloud DNS, conversation by conversation."""

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    Denied,
    Lost,
    NotFound,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_dns import Dns, endpoint_beside
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.scripted import Script
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.test_gce import refusal

API = "https://api.example/dns/v1"
ZONE = f"{API}/projects/p/managedZones/z"
RECORDS = f"GET {ZONE}/rrsets?name=a.ha.internal."
CHANGES = f"GET {ZONE}/changes?sortBy=changeSequence&sortOrder=descending&maxResults=50"
CHANGE = f"POST {ZONE}/changes"
OLD = {"name": "a.ha.internal.", "type": "A", "ttl": 30, "rrdatas": ["10.0.0.1"]}
NEW = {**OLD, "rrdatas": ["10.0.0.2"]}


def dns(*exchanges):
    session = Script(*exchanges)
    return Dns(session, "p", endpoint=API), session


def test_what_is_there():
    page = f"{RECORDS}&maxResults=500"
    client, session = dns(
        (f"GET {ZONE}", None, {"name": "z"}),
        (page, None, {"rrsets": [OLD], "nextPageToken": "more"}),
        (f"{page}&pageToken=more", None, {"rrsets": [NEW]}),
        (CHANGES, None, {"changes": [{"id": "3", "status": "pending"}, {"id": "2", "status": "done"}]}),
        (CHANGES, None, {}),
        (f"POST {ZONE}:testIamPermissions", {"permissions": ["a", "b"]}, {"permissions": ["b"]}),
    )
    assert client.zone("z") == {"name": "z"} and client.records("z", "a.ha.internal.") == [OLD, NEW]
    assert [each["id"] for each in client.pending("z")] == ["3"] and client.pending("z") == []
    assert client.zone_permissions("z", ["a", "b"]) == {"b"} and not session.exchanges


def test_a_change_has_only_what_it_does():
    both = {"kind": "dns#change", "additions": [NEW], "deletions": [OLD]}
    client, session = dns(
        (CHANGE, both, {"id": "1", "status": "pending"}),
        (CHANGE, {"kind": "dns#change", "additions": [NEW]}, {"id": "2", "status": "done"}),
        (CHANGE, {"kind": "dns#change", "deletions": [OLD]}, {"id": "3", "status": "done"}),
    )
    assert client.change_records("z", [OLD], [NEW])["id"] == "1"
    assert client.change_records("z", [], [NEW])["id"] == "2"
    assert client.change_records("z", [OLD], [])["id"] == "3" and not session.exchanges


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(412, "conditionNotMet", "Precondition not met for 'entity.change.deletions[0]'"), Stale),
        (
            refusal(409, "alreadyExists", "The resource 'entity.change.additions[0]' named 'a' already exists"),
            AlreadyExists,
        ),
        (refusal(404, "notFound", "The 'entity.change.deletions[0]' resource named 'a' does not exist."), NotFound),
        (refusal(503, "backendError"), Unavailable),
        (refusal(403, "rateLimitExceeded"), Unavailable),
        (Lost("no answer"), Lost),
    ],
)
def test_a_change_that_is_refused(answer, kind):
    client, session = dns((CHANGE, {"kind": "dns#change", "deletions": [OLD], "additions": [NEW]}, answer))
    with pytest.raises(kind, match="change the records of the managed zone z"):
        client.change_records("z", [OLD], [NEW])
    assert not session.exchanges, "it is not sent again"


def test_the_api_does_not_name_the_missing_permission():
    forbidden = refusal(403, "forbidden", "Forbidden")
    change = {"kind": "dns#change", "additions": [NEW]}
    lines = ((f"GET {ZONE}", None), (f"{RECORDS}&maxResults=500", None), (CHANGES, None), (CHANGE, change))
    client, _session = dns(*((*line, forbidden) for line in lines))
    for ask, permission in (
        (lambda: client.zone("z"), r"dns\.managedZones\.get"),
        (lambda: client.records("z", "a.ha.internal."), r"dns\.resourceRecordSets\.list"),
        (lambda: client.pending("z"), r"dns\.changes\.list"),
        (lambda: client.change_records("z", [], [NEW]), r"dns\.changes\.create"),
    ):
        with pytest.raises(Denied, match=f"It takes {permission}.* on projects/p/managedZones/z"):
            ask()


def test_refusals_name_this_service():
    client, _session = dns(
        (f"GET {ZONE}", None, refusal(403, "accessNotConfigured", "off")),
        (f"GET {ZONE}", None, refusal(403, "forbidden", "insufficient authentication scopes")),
        (f"GET {ZONE}", None, refusal(401, "authError", "Invalid Credentials")),
    )
    for words in ("Enable the Cloud DNS API", "or ndev.clouddns.readwrite", "Check the credentials"):
        with pytest.raises(Denied, match=words) as caught:
            client.zone("z")
    assert "It takes" not in str(caught.value)


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        ("https://compute.googleapis.com/compute/v1", "https://dns.googleapis.com/dns/v1"),
        ("https://compute-psc.p.googleapis.com/compute/v1", "https://dns-psc.p.googleapis.com/dns/v1"),
        ("https://compute.example.universe/compute/v1/", "https://dns.example.universe/dns/v1"),
        ("http://199.36.153.8/compute/v1", "http://199.36.153.8/dns/v1"),
        ("http://127.0.0.1:8080/compute/v1", "http://127.0.0.1:8080/dns/v1"),
    ],
)
def test_the_endpoint_that_goes_with_that_of_compute_engine(compute, expected):
    assert endpoint_beside(compute) == expected
