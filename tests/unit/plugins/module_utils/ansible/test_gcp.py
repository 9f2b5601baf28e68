# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import sys
import types

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import gcp
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import OptionError
from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import Denied, Lost, Unavailable

KEY = {
    "type": "service_account",
    "project_id": "my-project",
    "private_key_id": "k3y1d",
    "private_key": "-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n",
    "client_email": "robot@my-project.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


class Failed(Exception):
    pass


class Module:
    """As much of an AnsibleModule as is needed."""

    def __init__(self, **options):
        self.params = dict.fromkeys(gcp.SPEC)
        self.params.update(project="my-project", auth_kind="application", endpoint=gcp.ENDPOINT, timeout=60.0)
        self.params.update(options)
        contents = options.get("service_account_contents")
        self.no_log_values = set(map(str, contents.values())) if isinstance(contents, dict) else {contents}

    def fail_json(self, msg, **more):
        raise Failed(msg)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for option in gcp.SPEC:
        monkeypatch.delenv(f"GCP_{option.upper()}", raising=False)
    # Whatever this machine has must not be found, and nothing be asked.
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nonexistent")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "my-project")


@pytest.mark.parametrize("option", ["timeout", "lease", "settle"])
@pytest.mark.parametrize("value", [-1.0, -0.001, float("nan"), float("inf"), float("-inf"), 1e9])
def test_seconds_of_no_use(option, value):
    text = refused(auth_kind="accesstoken", access_token="t", **{option: value})
    assert text.startswith(f"{option}: {value:g} is not from 0")


def test_seconds_that_may_be_none():
    def client(**options):
        return gcp.compute(Module(auth_kind="accesstoken", access_token="t", **options))

    assert client(settle=0.0, lease=0.3, timeout=0.5)
    assert client(settle=60.0, lease=600.0, timeout=86400.0)
    for option in ("timeout", "lease"):
        assert refused(auth_kind="accesstoken", access_token="t", **{option: 0.0}).startswith(f"{option}: 0 is not")


def refused(**options):
    with pytest.raises(OptionError) as e:
        gcp.compute(Module(**options))
    assert e.value.__cause__ is None
    return str(e.value)


def test_access_token_needs_no_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth", None)
    client = gcp.compute(Module(auth_kind="accesstoken", access_token="sekret\n"))
    assert (client.project, client.endpoint) == ("my-project", gcp.ENDPOINT)
    assert client._tokens.get() == "sekret"
    with pytest.raises(Failed, match="google-auth"):
        gcp.compute(Module(auth_kind="serviceaccount", service_account_contents=KEY))


@pytest.mark.parametrize("token", [None, "", " ", "two words", "two\nlines"])
def test_access_token_that_cannot_be_one(token):
    assert refused(auth_kind="accesstoken", access_token=token).startswith("access_token: ")


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("application", "access_token"),
        ("application", "service_account_file"),
        ("accesstoken", "service_account_contents"),
        ("serviceaccount", "service_account_email"),
        ("machineaccount", "access_token"),
    ],
)
def test_option_of_another_kind(kind, option, monkeypatch):
    assert refused(auth_kind=kind, **{option: "s3kret"}).startswith(f"{option}: only with auth_kind=")
    # From the environment it may be there for something else.
    monkeypatch.setenv(f"GCP_{option.upper()}", "s3kret")
    monkeypatch.setattr(gcp, "GoogleSession", lambda _: None)
    monkeypatch.setattr(gcp, "_credentials", lambda *_: None)
    others = {"accesstoken": {"access_token": "t"}, "serviceaccount": {"service_account_contents": "c"}}.get(kind, {})
    assert gcp.compute(Module(auth_kind=kind, **{option: "s3kret"}, **others))


def test_service_account_without_a_key():
    assert refused(auth_kind="serviceaccount").startswith("service_account_file: ")
    both = refused(auth_kind="serviceaccount", service_account_file="a", service_account_contents="b")
    assert "service_account_contents" in both


@pytest.mark.parametrize(
    "endpoint",
    [
        "compute.googleapis.com",
        "https://compute.googleapis.com",
        "https://compute.googleapis.com/",
        "ftp://compute.googleapis.com/compute/v1",
        "https://user:secret@compute.googleapis.com/compute/v1",
        "https://compute.googleapis.com/compute/v1?x=y",
        "https://compute.googleapis.com/compute v1",
        "https://[compute/compute/v1",
        "https://compute.googleapis.com:99999/compute/v1",
    ],
)
def test_endpoint(endpoint):
    assert refused(endpoint=endpoint).startswith("endpoint: ")


@pytest.mark.parametrize("project", ["", "my project", "projects/p", "My-Project", "419080500002"])
def test_project(project):
    assert refused(project=project).startswith("project: ")


def test_no_credentials():
    pytest.importorskip("google.auth")
    message = refused()
    assert message.startswith("auth_kind: ") and "GOOGLE_APPLICATION_CREDENTIALS" in message


@pytest.mark.parametrize(
    ("contents", "what"),
    [
        ("{", "is not JSON"),
        (3, "is not JSON"),
        ("[]", "is not the key of a service account"),
        ({"type": "authorized_user", "refresh_token": "s3kret"}, "is not the key of a service account"),
        (KEY, "is damaged"),
        ({**KEY, "more": [1, {"private": ["s3kret"]}]}, "is damaged"),
        (json.dumps(KEY), "is damaged"),
        ({key: value for key, value in KEY.items() if key != "client_email"}, "is damaged"),
    ],
)
def test_bad_key(contents, what, tmp_path):
    pytest.importorskip("google.auth")
    message = refused(auth_kind="serviceaccount", service_account_contents=contents)
    assert message.startswith("service_account_contents: ") and what in message
    assert "none" not in message and "s3kret" not in message
    file = tmp_path / "key.json"
    file.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    message = refused(auth_kind="serviceaccount", service_account_file=str(file))
    assert message.startswith(f"service_account_file: {file} ")


def test_key_that_cannot_be_read(tmp_path):
    pytest.importorskip("google.auth")
    message = refused(auth_kind="serviceaccount", service_account_file=str(tmp_path / "no"))
    assert message == f"service_account_file: {tmp_path}/no cannot be read: No such file or directory"


@pytest.mark.parametrize("contents", [KEY, json.dumps(KEY)])
def test_the_parts_of_a_key_are_hidden_and_nothing_else(contents):
    """A project's name that is hidden would be hidden in every path of the result."""
    pytest.importorskip("google.auth")
    module = Module(auth_kind="serviceaccount", service_account_contents=contents)
    with pytest.raises(OptionError):
        gcp.compute(module)
    assert {KEY["private_key"], KEY["private_key_id"]} <= module.no_log_values
    assert not {"my-project", "service_account"} & module.no_log_values


class TestGoogleSession:
    @pytest.fixture
    def answer(self, monkeypatch):
        pytest.importorskip("requests")
        google_auth = pytest.importorskip("google.auth.transport.requests")
        sent = types.SimpleNamespace(error=None)

        def request(method, url, **keys):
            sent.request = (method, url, keys)
            if sent.error:
                raise sent.error
            return types.SimpleNamespace(status_code=200, headers={"date": "now"}, content=b"{}")

        session = types.SimpleNamespace(request=request, mount=lambda scheme, adapter: None)
        monkeypatch.setattr(google_auth, "AuthorizedSession", lambda credentials, auth_request: session)
        sent.session = gcp.GoogleSession("credentials")
        return sent

    def test_asks(self, answer):
        reply = answer.session.request("POST", "https://x/y", b"b", {"A": "b"}, 3)
        assert reply == (200, {"date": "now"}, b"{}")
        method, url, keys = answer.request
        assert (method, url, keys["data"], keys["headers"], keys["timeout"]) == (
            "POST",
            "https://x/y",
            b"b",
            {"A": "b"},
            3,
        )
        # A redirect would take the token to another place.
        assert keys["allow_redirects"] is False

    def test_errors(self, answer):
        import google.auth.exceptions as google
        from requests import exceptions as requests

        for error, kind in (
            (google.RefreshError("invalid_grant: Bad", {"assertion": "s3kret"}), Denied),
            (google.RefreshError("backend", retryable=True), Unavailable),
            (google.TransportError("no route to the token server"), Unavailable),
            (requests.SSLError("self-signed"), Denied),
            (requests.ConnectTimeout("slow"), Unavailable),
            (requests.ProxyError("no"), Unavailable),
            (requests.ReadTimeout("slow"), Lost),
            (requests.ConnectionError("gone"), Lost),
            (requests.ChunkedEncodingError("half"), Lost),
            # What google-auth makes of a token that is none.
            (ValueError("expires_in"), Denied),
            (AttributeError("get"), Denied),
        ):
            answer.error = error
            with pytest.raises(kind) as e:
                answer.session.request("GET", "https://x/y")
            assert e.type is kind and "s3kret" not in str(e.value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("n", "projects/p/global/networks/n"),
        ("global/networks/n", "projects/p/global/networks/n"),
        ("projects/q/global/networks/n", "projects/q/global/networks/n"),
        ("https://www.googleapis.com/compute/v1/projects/q/global/networks/n", "projects/q/global/networks/n"),
        ("//compute.googleapis.com/projects/q/global/networks/n", "projects/q/global/networks/n"),
    ],
)
def test_network(value, path):
    assert gcp.resource_path("network", value, "global/networks", "p") == path


@pytest.mark.parametrize(
    "value", ["a/b", "projects/q/n/", "projects/q/global/subnetworks/n", "global/networks/n/x", "N"]
)
def test_no_network(value):
    with pytest.raises(OptionError, match=r"^network: "):
        gcp.resource_path("network", value, "global/networks", "p")


@pytest.mark.parametrize(
    ("value", "zone", "path"),
    [
        ("i", "z", "projects/p/zones/z/instances/i"),
        ("zones/z/instances/i", None, "projects/p/zones/z/instances/i"),
        ("zones/z/instances/i", "z", "projects/p/zones/z/instances/i"),
        ("https://x/compute/v1/projects/q/zones/z/instances/i", None, "projects/q/zones/z/instances/i"),
    ],
)
def test_instance(value, zone, path):
    assert gcp.instance_path("next_hop_instance", value, "p", zone) == path


@pytest.mark.parametrize(
    ("value", "zone"),
    [
        ("i", None),
        ("z/i", None),
        ("zones/z/instances/i", "y"),
        ("z/i", "z"),
        ("zones/z/instances/I", None),
        ("zones/Z/instances/i", None),
        ("projects/P/zones/z/instances/i", None),
        ("i_1", "z"),
        ("i", "1"),
        ("i-", "z"),
        ("projects/5/zones/z/instances/i", None),
    ],
)
def test_no_instance(value, zone):
    with pytest.raises(OptionError, match=r"^next_hop_instance: "):
        gcp.instance_path("next_hop_instance", value, "p", zone)
