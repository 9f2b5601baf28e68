# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import threading
import traceback

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    CloudError,
    Denied,
    Lost,
    NotFound,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.tokens import FixedToken, Metadata, MetadataToken
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.scripted import (
    Script,
    ok,
    reply,
    server,
)

URL = "http://169.254.169.254"
GOOGLE = {"metadata-flavor": "Google"}
TOKEN = f"GET {URL}/computeMetadata/v1/instance/service-accounts/default/token"


def value(path, text, headers=None, status=200):
    return f"GET {URL}/computeMetadata/v1/{path}", None, (status, text, GOOGLE if headers is None else headers)


def token(text, seconds=3600, **more):
    return TOKEN, None, (200, {"access_token": text, "expires_in": seconds, "token_type": "Bearer", **more}, GOOGLE)


def silence():
    return TOKEN, None, Lost("no answer in time")


def tokens(*exchanges):
    clock = Clock()
    session = Script(*exchanges)
    return MetadataToken(metadata=Metadata(URL, session), clock=clock), clock, session


INTERFACES = [
    {"ip": "10.0.0.7", "network": "projects/123/networks/default"},
    {"ip": "10.100.2.1", "network": "projects/456/networks/ip-failover"},
]


@pytest.mark.parametrize("text", ["", "{", "{}x", "[1]", '[{"ip": "10.0.0.1"}]', '[{"network": 7}]', "7"])
def test_an_address_that_the_metadata_server_does_not_say(text):
    session = Script(value("instance/network-interfaces/?recursive=true", text))
    with pytest.raises(Unavailable, match="not the answer it gives"):
        Metadata(URL, session).address("n")


def test_what_the_metadata_server_says():
    session = Script(
        value("project/project-id", "lab-project"),
        value("instance/zone", "projects/123/zones/us-central1-a"),
        value("instance/name", "node1\n"),
        value("instance/network-interfaces/?recursive=true", json.dumps(INTERFACES)),
        value("instance/network-interfaces/?recursive=true", json.dumps(INTERFACES)),
    )
    metadata = Metadata(URL + "/", session)
    assert metadata.project() == "lab-project"
    assert metadata.zone() == "us-central1-a"
    assert metadata.instance() == "node1"
    assert metadata.address("ip-failover") == "10.100.2.1"
    with pytest.raises(NotFound, match="no interface on a network failover"):
        metadata.address("failover")
    assert all(headers == {"Metadata-Flavor": "Google"} for headers in session.headers)


def test_over_http():
    with server([ok("node1", "Metadata-Flavor: Google"), reply("404 Not Found", "<html>")]) as web:
        metadata = Metadata(web.url)
        assert metadata.instance() == "node1"
        with pytest.raises(NotFound, match="instance/zone: 404 not found"):
            metadata.zone()
    assert web.requests[0].startswith("GET /computeMetadata/v1/instance/name HTTP/1.1\r\n")
    assert "Metadata-Flavor: Google\r\n" in web.requests[0]


@pytest.mark.parametrize(
    ("exchange", "kind", "text"),
    [
        (value("instance/name", "x", {}), Denied, "not Google's metadata server"),
        (value("instance/name", "x", GOOGLE, 403), Denied, "status 403"),
        (value("instance/name", "x", GOOGLE, 302), Denied, "status 302"),
        (value("instance/name", "x", GOOGLE, 503), Unavailable, "status 503"),
        (value("instance/name", "x", GOOGLE, 429), Unavailable, "status 429"),
        ((*value("instance/name", "")[:2], Unavailable("cannot connect")), Unavailable, "name: cannot connect"),
    ],
)
def test_metadata_that_cannot_be_had(exchange, kind, text):
    with pytest.raises(CloudError, match=text) as failure:
        Metadata(URL, Script(exchange)).instance()
    assert failure.value.__class__ is kind
    assert str(failure.value).startswith(f"The metadata server at {URL}: instance/name")


def test_one_token_until_shortly_before_its_end():
    source, clock, session = tokens(token("one"), token("two"))
    assert source.get() == "one"
    clock.now += 3374
    assert source.get() == "one"
    clock.now += 1
    assert source.get() == "two"
    assert not session.exchanges


def test_a_token_with_a_short_life_is_not_asked_for_again_and_again():
    source, clock, _session = tokens(token("one", 200), token("two"))
    for _second in range(15):
        assert source.get() == "one"
        clock.now += 10
    assert source.get() == "two"


def test_the_old_token_serves_while_the_metadata_server_is_silent():
    source, clock, session = tokens(token("one"), silence(), silence(), token("two"))
    source.get()
    clock.now += 3400
    assert source.get() == "one"
    # It is not asked for each request: each time would cost its time-out.
    clock.now += 4
    assert source.get() == "one"
    assert len(session.exchanges) == 2
    clock.now += 1
    assert source.get() == "one"
    clock.now += 5
    assert source.get() == "two"


def test_an_ended_token_is_not_used():
    source, clock, _session = tokens(token("one"), silence(), token("two"))
    source.get()
    clock.now += 3600
    with pytest.raises(Lost, match="no answer in time"):
        source.get()
    assert source.get() == "two"


def test_a_refused_token_is_not_used_again():
    source, _clock, _session = tokens(token("one"), silence(), token("two"))
    assert source.invalidate(source.get())
    with pytest.raises(Lost):
        source.get()
    assert source.get() == "two"
    # Another thread was refused the first one, and says so late.
    assert source.invalidate("one")
    assert source.get() == "two"


@pytest.mark.parametrize(
    "text",
    [
        "s3kret",
        '"s3kret"',
        '{"access_token": "s3kret"}',
        '{"access_token": "s3kret", "expires_in": "soon"}',
        '{"access_token": "s3kret", "expires_in": 0}',
        '{"access_token": "s3kret", "expires_in": NaN}',
        '{"access_token": "", "expires_in": 10}',
        '{"access_token": ["s3kret"], "expires_in": 10}',
    ],
)
def test_a_token_that_cannot_be_used(text):
    source, _clock, _session = tokens((TOKEN, None, (200, text, GOOGLE)))
    with pytest.raises(Unavailable, match="gave no token that can be used") as failure:
        source.get()
    error = failure.value
    assert "s3kret" not in "".join(traceback.format_exception(type(error), error, error.__traceback__))


def test_a_machine_without_a_service_account():
    source, _clock, _session = tokens((TOKEN, None, (404, "", GOOGLE)))
    with pytest.raises(Denied, match="has no service account"):
        source.get()


def test_threads_share_one_request():
    source, _clock, session = tokens(token("one"))
    got = []
    threads = [threading.Thread(target=lambda: got.append(source.get())) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == ["one"] * 8
    assert not session.exchanges


def test_a_fixed_token():
    source = FixedToken("secret")
    assert source.get() == "secret"
    assert not source.invalidate("secret")
    assert "secret" not in repr(source)
