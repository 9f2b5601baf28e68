# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a server answers, each client ends in its time, with an error that says what to do."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import google.auth.compute_engine
import google.auth.compute_engine._metadata
import google.oauth2.credentials
import hostile
import openstack
import pytest
from busy import Watch

from ansible_collections.cloudha.vip.plugins.module_utils.ansible.gcp import GoogleSession
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import CloudError, Lost
from ansible_collections.cloudha.vip.plugins.module_utils.clouds import bounded, session
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.cloudpods import Cloudpods, Login
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce import Compute
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_lb import LoadBalancers
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.huaweicloud import HuaweiCloud
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.neutron import Neutron
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.session import StdlibSession
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.tokens import FixedToken, Metadata, MetadataToken
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.ucloudstack import UCloudStack
from ansible_collections.cloudha.vip.plugins.module_utils.node.ask import ask

TIMEOUT = 0.6
# Of a request whose deadline is TIMEOUT, on a machine that is busy; whoever takes longer hangs.
HANG = 30.0


def _compute(session: Any, url: str, **options: Any) -> Any:
    client = Compute(session, "p", endpoint=f"{url}/compute/v1", timeout=TIMEOUT, operation_timeout=TIMEOUT, **options)
    return client.list_routes("10.0.0.1/32")


def _balancers(url: str) -> Any:
    client = LoadBalancers(
        StdlibSession(url), "p", tokens=FixedToken("t0ken"), endpoint=f"{url}/compute/v1", timeout=TIMEOUT
    )
    return client.list_all("projects/p/regions/r/addresses")


def _google(url: str, timeout: float = TIMEOUT) -> Any:
    return _compute(GoogleSession(google.oauth2.credentials.Credentials("t0ken")), url)


def _google_token(url: str) -> Any:
    credentials = google.oauth2.credentials.Credentials(
        None, refresh_token="r3fresh", token_uri=f"{url}/token", client_id="i", client_secret="s3cret"
    )
    return _compute(GoogleSession(credentials), url)


def _google_metadata(url: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(google.auth.compute_engine._metadata, "_GCE_METADATA_HOST", url.partition("//")[2])
        return _compute(GoogleSession(google.auth.compute_engine.Credentials()), url)


def _cloudpods(url: str) -> Any:
    return Cloudpods(StdlibSession, f"{url}/v3", Login("u", "pass-w0rd", project="p"), timeout=TIMEOUT).get_group("g")


def _connect(**options: Any) -> Any:
    connection = openstack.connect(load_envvars=False, load_yaml_config=False, **options)
    bounded.bind(connection.session.session)
    return connection


def _neutron(url: str, kind: Callable[..., Neutron] = Neutron) -> Any:
    connection = _connect(auth_type="none", auth={"endpoint": url}, network_endpoint_override=f"{url}/v2.0")
    client = kind(connection, TIMEOUT)
    client.list_networks()
    return client.list_external()


def _keystone(url: str) -> Any:
    auth = {"auth_url": f"{url}/v3", "username": "u", "password": "pass-w0rd", "project_name": "p"}
    auth.update(user_domain_id="default", project_domain_id="default")
    return Neutron(_connect(auth=auth, region_name="r"), TIMEOUT).list_networks()


def _ask(url: str) -> Any:
    answer = ask(f"{url}/healthz", TIMEOUT)
    if not answer["ok"]:
        raise CloudError(answer["error"])


CLIENTS: dict[str, Callable[[str], Any]] = {
    "the session of the standard library": lambda url: StdlibSession(url).request("GET", f"{url}/x", timeout=TIMEOUT),
    "the metadata server": lambda url: MetadataToken(metadata=Metadata(url, timeout=TIMEOUT)).get(),
    "Google with a given token": lambda url: _compute(StdlibSession(url), url, tokens=FixedToken("t0ken")),
    "google-cloud-compute": _balancers,
    "google-auth": _google,
    "google-auth's token": _google_token,
    "google-auth's metadata server": _google_metadata,
    "Cloudpods": _cloudpods,
    "UCloudStack": lambda url: UCloudStack(
        StdlibSession(url), "public", "pr1vate", endpoint=f"{url}/api", region="r", timeout=TIMEOUT
    ).describe_vips(),
    "Neutron": _neutron,
    "Keystone": _keystone,
    "Huawei Cloud": lambda url: _neutron(url, HuaweiCloud),
    "a service that is asked once": _ask,
}
# Answers that are allowed, however strange.
FINE = {("a service that is asked once", answer) for answer in hostile.ANSWERS} | {
    ("the session of the standard library", answer)
    for answer in hostile.ANSWERS
    if re.match("3[0-9][0-9] ", answer) or not re.search("without end|slowly", answer)
}


def outcome(client: Callable[[str], Any], url: str) -> BaseException | None:
    """What it raised."""
    raised: list[BaseException | None] = []

    def work() -> None:
        try:
            client(url)
            raised.append(None)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    watch = Watch()
    thread.join(HANG)
    watch.holds(raised, f"it hangs for {HANG:.0f} s")
    return raised[0]


@contextlib.contextmanager
def serving(name: str, **options: Any) -> Iterator[hostile.Server]:
    server = hostile.Server(name, **options)
    try:
        yield server
    finally:
        server.close()


def at_once(judge: Callable[[str], str], names: Iterable[str], client: str) -> None:
    """Most of the time all of them wait; but a library's own address of the metadata server is one for the process."""
    with concurrent.futures.ThreadPoolExecutor(1 if client == "google-auth's metadata server" else 6) as pool:
        wrong = [f"{name}: {said}" for name, said in zip(names, pool.map(judge, names), strict=True) if said]
    assert not wrong, wrong


def refusal(client: str, name: str, **options: Any) -> tuple[bool, BaseException | None]:
    """Whether the server was asked, and what the client made of its answer."""
    # On a busy machine the time may be over before the server has the connection.
    for _turn in range(5):
        with serving(name, **options) as server:
            error = outcome(CLIENTS[client], server.url)
            if server.connections:
                return True, error
    return False, None


@pytest.mark.parametrize("client", CLIENTS)
def test_answers_end_with_an_error(client: str) -> None:
    def judge(answer: str) -> str:
        asked, error = refusal(client, answer)
        if asked and not error and (client, answer) in FINE:
            return ""
        return "" if isinstance(error, CloudError) and len(str(error)) < 5000 else f"asked: {asked}, {error!r}"

    at_once(judge, hostile.ANSWERS, client)


@pytest.mark.parametrize("client", CLIENTS)
def test_handshakes_end_with_an_error(client: str) -> None:
    def judge(stall: str) -> str:
        asked, error = refusal(client, stall, tls=True)
        return "" if isinstance(error, CloudError) else f"asked: {asked}, {error!r}"

    at_once(judge, hostile.STALLS, client)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_name_that_nobody_resolves_in_time(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    find = socket.getaddrinfo

    def slowly(host: Any, *arguments: Any, **options: Any) -> Any:
        if "example" in str(host) and not options.get("flags", 0) & socket.AI_NUMERICHOST:
            over.wait(HANG + 30)
        return find(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    try:
        assert isinstance(outcome(CLIENTS[client], "http://vip.example:1"), CloudError)
    finally:
        over.set()


@pytest.mark.parametrize("client", ["google-auth", "Google with a given token", "Neutron"])
@pytest.mark.parametrize("answer", ["a body without end or length", "chunks without end", "a gzip bomb"])
def test_an_answer_has_a_size(client: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all the time in the world, it is the size that ends it."""
    monkeypatch.setattr(session, "ANSWER_LIMIT", 1 << 20)
    monkeypatch.setitem(globals(), "TIMEOUT", 300.0)
    with serving(answer) as server:
        error = outcome(CLIENTS[client], server.url)
        assert isinstance(error, CloudError)
        # keystoneauth does not tell why it found no API.
        assert "longer than" in str(error) or "compressed" in str(error) or client == "Neutron", repr(error)
        assert server.sent < 64 << 20


@pytest.mark.parametrize("client", ["google-auth", "google-auth's token", "Neutron"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n%s",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%X\r\n%s\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: %d\r\n\r\n%s",
    ],
)
def test_ways_to_write_an_answer(client: str, answer: bytes) -> None:
    api = {"version": {"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": "/v2.0"}]}}
    token = {"access_token": "t0ken", "expires_in": 3600}
    body = json.dumps({**api, **token, "networks": [], "floatingips": [], "items": []}) + " " * 200_000
    values = (len(body), body.encode())[answer.count(b"%") == 1 :]
    with serving("no answer, and the end", before=[answer % values] * 9) as server:
        assert outcome(CLIENTS[client], server.url) is None


def test_the_deadline_is_for_all_requests_of_a_call() -> None:
    """A token that comes late leaves less time for the rest."""
    token = json.dumps({"access_token": "t0ken", "expires_in": 3600}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(token) + token
    with serving("nothing", before=[answer]) as server:
        watch = Watch()
        assert isinstance(outcome(CLIENTS["google-auth's token"], server.url), Lost)
        assert server.connections == 2
        watch.at_most(HANG)


def test_how_many() -> None:
    text = " ".join((Path(__file__).parents[2] / "docs/security.md").read_text().split())
    assert (
        f"{len(hostile.ANSWERS)} hostile answers and {len(hostile.STALLS)} handshakes, to {len(CLIENTS)} clients"
        in text
    )
