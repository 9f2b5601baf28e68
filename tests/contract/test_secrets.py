# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret is in anything that a module or Ansible writes, though the API repeats all that it was sent."""

from __future__ import annotations

import html
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import plays
import pytest

from ansible_collections.cloudha.vip.tests.contract import forked

PASSWORD = 'hunter"2/with\\everything+and%41ünd more'
PRIVATE = "pr1vate/key+of=UCloudStack"
GIVEN = "gAAAAABgiven-token_0123456789/+=="
FETCHED = "ya29.fetched-token_9876543210abcdef/+=="
URL_PASSWORD = "url-passw0rd-of-it"
SECRETS = (PASSWORD, PRIVATE, GIVEN, FETCHED, URL_PASSWORD)
PIECE = 16
INSTEAD_OF_THE_LOG = "python/sitecustomize.py"


def _unicode_escapes(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


STYLES = {
    "plain": lambda text: text,
    "json": lambda text: json.dumps({"error": {"message": text, "details": text}, "message": text}),
    "json, every character": lambda text: '{"error": {"message": "%s"}}' % _unicode_escapes(text),
    "url": lambda text: json.dumps({"error": {"message": quote(text, safe="")}, "Message": quote(text), "RetCode": 7}),
    "html": lambda text: f"<html><p>{html.escape(text)}</p></html>",
    "cut": lambda text: json.dumps({"message": text[: len(text) - 9]}),
}
STATUS = dict(zip(STYLES, (400, 403, 500, 403, 401, 400), strict=True))


class Echo:
    """Logs in whoever asks (or not), and answers everything else with the request, as an error."""

    def __init__(self, style: str, logs_in: bool, refusal: int | None = None) -> None:
        self.sent: set[str] = set()
        self.requests = 0
        echo = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                echo.requests += 1
                echo.sent |= {value.split()[-1] for value in (self.headers.get("Authorization"),) if value}
                echo.sent |= {each for key in ("Signature", "assertion") for each in parse_qs(body).get(key, ())}
                status, content, more = echo.well(self.path) if logs_in else (0, {}, {})
                text = json.dumps(content)
                if not status:
                    request = f"{self.command} {self.path}\n{self.headers}\n{body}"
                    status, text = refusal or STATUS[style], STYLES[style](request)
                data = text.encode()
                self.send_response_only(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def well(self, path: str) -> tuple[int, Any, dict[str, str]]:
        if path.endswith("/auth/tokens"):
            endpoints = [
                {"interface": interface, "region_id": "r", "region": "r", "url": self.url, "id": "e"}
                for interface in ("public", "internal")
            ]
            catalog = [
                {"type": kind, "id": kind, "name": kind, "endpoints": endpoints} for kind in ("network", "compute_v2")
            ]
            scope = {"id": "p", "name": "p", "domain": {"id": "d", "name": "d"}}
            token = {
                "project": scope,
                "catalog": catalog,
                "methods": ["password"],
                "expires_at": "2099-01-01T00:00:00Z",
            }
            user = {"id": "u", "name": "operator", "domain": {"id": "d", "name": "d"}}
            return 200, {"token": {**token, "user": user, "roles": []}}, {"X-Subject-Token": FETCHED}
        if path.endswith("/token"):
            return 200, {"access_token": FETCHED, "expires_in": 3600, "token_type": "Bearer"}, {}
        if path in ("/v3", "/v3/"):
            links = [{"rel": "self", "href": f"{self.url}/v3"}]
            return 200, {"version": {"id": "v3.14", "status": "stable", "links": links}}, {}
        if path == "/":
            links = [{"rel": "self", "href": f"{self.url}/v2.0"}]
            return 200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]}, {}
        return 0, {}, {}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


# Of a run; enough to sign a token on a busy machine, so that it gets to what the API repeats.
SECONDS = 3
ROUTE = {"name": "vip", "project": "p", "network": "n", "destination": "10.0.0.1/32", "timeout": SECONDS}
ALIAS = {"ranges": ["10.0.0.9/32"], "project": "p", "timeout": SECONDS}
IMAGE = {"name": "i", "project": "p", "zone": "us-east1-b", "timeout": SECONDS}
BALANCER = {"name": "lb", "project": "p", "region": "r", "timeout": SECONDS}
DNS = {"name": "a.ha.internal", "managed_zone": "z", "project": "p", "timeout": SECONDS}
GROUP = {"name": "web", "project": "p", "zone": "us-east1-b", "timeout": SECONDS}
TOKEN = {"auth_kind": "accesstoken", "access_token": GIVEN}
HAVIP = {"network": "n", "address": "10.0.0.9", "timeout": SECONDS, "api_timeout": 10}
USER = {"username": "operator", "password": PASSWORD, "project_name": "p", "user_domain_id": "default"}
POD = {"group": "g", "username": "operator", "project_name": "p", "timeout": SECONDS}
# For each: the module, its options, URL is the server's; whether the login succeeds.
RUNS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "a route, token": ("gcp_route_info", {**ROUTE, **TOKEN, "endpoint": "URL/compute/v1"}, False),
    "a route, service account": (
        "gcp_route_failover",
        {**ROUTE, "auth_kind": "serviceaccount", "service_account_contents": "KEY", "endpoint": "URL/compute/v1"}
        | {"next_hop_instance": "i", "next_hop_zone": "z"},
        True,
    ),
    "a route, no token": (
        "gcp_route_info",
        {**ROUTE, "auth_kind": "serviceaccount", "service_account_contents": "KEY", "endpoint": "URL/compute/v1"},
        False,
    ),
    "a set of routes": (
        "gcp_route_set",
        {**ROUTE, **TOKEN, "endpoint": "URL/compute/v1", "members": [{"instance": "zones/z/instances/i"}]},
        False,
    ),
    "a set of routes, service account": (
        "gcp_route_set_info",
        {**ROUTE, "auth_kind": "serviceaccount", "service_account_contents": "KEY", "endpoint": "URL/compute/v1"},
        True,
    ),
    "aliases": (
        "alias_ip_info",
        {**ALIAS, **TOKEN, "endpoint": "URL/compute/v1", "instances": ["zones/z/instances/i"]},
        False,
    ),
    "aliases, moved": (
        "alias_ip_move",
        {**ALIAS, **TOKEN, "endpoint": "URL/compute/v1", "target_instance": "i", "target_zone": "z"},
        False,
    ),
    "a load balancer": (
        "gcp_passthrough_lb",
        {**BALANCER, **TOKEN, "endpoint": "URL/compute/v1", "subnetwork": "s", "address": "10.0.0.9"},
        False,
    ),
    "a load balancer, service account": (
        "gcp_passthrough_lb_info",
        {**BALANCER, "auth_kind": "serviceaccount", "service_account_contents": "KEY", "endpoint": "URL/compute/v1"},
        True,
    ),
    "an image": ("gcp_image", {**IMAGE, **TOKEN, "endpoint": "URL/compute/v1"}, False),
    "an image, service account": (
        "gcp_image_info",
        {"project": "p", "auth_kind": "serviceaccount", "service_account_contents": "KEY", "endpoint": "URL/compute/v1"}
        | {"timeout": SECONDS},
        True,
    ),
    "a name": (
        "gcp_dns_name",
        {**DNS, **TOKEN, "endpoint": "URL/compute/v1", "addresses": ["10.0.0.9"]},
        False,
    ),
    "a name, service account": (
        "gcp_dns_name_info",
        {**DNS, "auth_kind": "serviceaccount", "service_account_contents": "KEY", "dns_endpoint": "URL/dns/v1"},
        True,
    ),
    "an autohealing group": (
        "gcp_autohealing_group",
        {**GROUP, **TOKEN, "endpoint": "URL/compute/v1", "metadata": {"db-password": PASSWORD}},
        False,
    ),
    "an autohealing group, service account": (
        "gcp_autohealing_group_info",
        {**GROUP, "auth_kind": "serviceaccount", "service_account_contents": "KEY", "endpoint": "URL/compute/v1"},
        True,
    ),
    "a group, no login": ("cloudpods_instancegroup_info", {**POD, "password": PASSWORD, "auth_url": "URL/v3"}, False),
    "a group": ("cloudpods_instancegroup_vip", {**POD, "password": PASSWORD, "auth_url": "URL/v3"}, True),
    "a group, token": ("cloudpods_instancegroup_info", {**POD, "token": GIVEN, "auth_url": "URL/v3"}, True),
    "OpenStack, no login": (
        "havip_info",
        {**HAVIP, "provider": "openstack", "auth": {**USER, "auth_url": "URL/v3"}},
        False,
    ),
    "OpenStack": (
        "havip_bind",
        {**HAVIP, "provider": "openstack", "cloud": {"region_name": "r", "auth": {**USER, "auth_url": "URL/v3"}}},
        True,
    ),
    "Huawei": (
        "havip_bind",
        {**HAVIP, "provider": "huaweicloud", "user_name": "operator", "password": PASSWORD, "domain_name": "d"}
        | {"region_name": "r", "auth_url": "URL/v3"},
        True,
    ),
    "UCloudStack": (
        "havip_info",
        {**HAVIP, "provider": "ucloudstack", "endpoint": "URL/api", "public_key": "public", "private_key": PRIVATE}
        | {"region_name": "r"},
        False,
    ),
}
# Refused before anything is asked: by Ansible, by the module.
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no such option": ("havip_bind", {"provider": "openstack", "cloud": {"auth": USER}, "nosuch": 1}),
    "no number": ("havip_info", {"provider": "openstack", "cloud": {"auth": USER}, "timeout": "soon"}),
    "another provider's": ("havip_bind", {"provider": "ucloudstack", "cloud": {"auth": USER}, "address": "10.0.0.1"}),
    "a text": ("havip_info", {"provider": "openstack", "cloud": json.dumps({"auth": USER})}),
    "lists": ("havip_info", {"provider": "openstack", "auth": {**USER, "auth_methods": ["v3password", "x"]}}),
    "a password that is a list": ("havip_info", {"provider": "openstack", "auth": {**USER, "password": [PASSWORD]}}),
    "a list of a cloud": ("havip_info", {"provider": "openstack", "cloud": [{"auth": USER}]}),
    "a URL of Google's": ("gcp_route_info", {**ROUTE, **TOKEN, "endpoint": f"https://u:{URL_PASSWORD}@h/compute/v1"}),
    "a URL of Cloud DNS": (
        "gcp_dns_name_info",
        {**DNS, **TOKEN, "dns_endpoint": f"https://u:{URL_PASSWORD}@h/dns/v1"},
    ),
    "a URL of Cloudpods": ("cloudpods_instancegroup_info", {**POD, "auth_url": f"https://u:{URL_PASSWORD}@h/v3"}),
    "a URL of UCloudStack": (
        "havip_info",
        {"provider": "ucloudstack", "endpoint": f"https://u:{URL_PASSWORD}@h/api", "private_key": PRIVATE}
        | {"public_key": "p", "region_name": "r"},
    ),
    "a text that is no suboptions": ("gcp_passthrough_lb", {**BALANCER, **TOKEN, "health_check": "x"}),
    "members that are no suboptions": ("gcp_route_set", {**ROUTE, **TOKEN, "members": ["x"]}),
    "a metadata value that is no text": (
        "gcp_autohealing_group",
        {**GROUP, **TOKEN, "metadata": {"db-password": {"value": PASSWORD}}},
    ),
    "texts that are no suboptions": ("alias_ip_move", {**ALIAS, **TOKEN, "assignments": ["x"]}),
    "a virtual IP, no suboptions": ("cloudpods_instancegroup_vip", {**POD, "password": PASSWORD, "vip": "x"}),
}


@pytest.fixture(scope="module")
def key() -> dict[str, str]:
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    private = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "0123456789abcdef0123",
        "private_key": private,
        "client_email": "robot@p.iam.gserviceaccount.com",
        "token_uri": "URL/token",
    }


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What modules write into the log of the machine: a Python started from now on has this in place of it.

    A forked one has started before, and runs the same program.
    """
    log = tmp_path / "journal"
    log.touch()
    place = tmp_path / "python/systemd"
    place.mkdir(parents=True)
    (place / "__init__.py").touch()
    (place / "journal.py").write_text(
        f"def send(*words, **fields):\n    with open({str(log)!r}, 'a') as f:\n        print(words, fields, file=f)\n"
        "def sendv(*words):\n    send(*words)\n"
    )
    (tmp_path / INSTEAD_OF_THE_LOG).write_text(
        f"import syslog\nopen_log = open\ndef write(*words):\n    with open_log({str(log)!r}, 'a') as f:\n"
        "        print(words, file=f)\nsyslog.syslog = write\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{place.parent}{os.pathsep}{os.environ['PYTHONPATH']}")
    yield log
    assert "Invoked with" in log.read_text()


def filled(value: Any, url: str, key: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(part, url, key) for name, part in value.items()}
    if value == "KEY":
        return filled(key, url, key)
    return value.replace("URL", url) if isinstance(value, str) else value


def run(module: str, options: dict[str, Any], journal: Path) -> tuple[dict[str, Any], str]:
    """A real AnsibleModule; its result, and all that it wrote."""
    arguments = {**options, "_ansible_verbosity": 3, "_ansible_diff": True}
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("GCP_", "OS_", "HW_", "UCLOUD_"))
    }
    process = forked.Module(module, arguments, environment, first=(journal.parent / INSTEAD_OF_THE_LOG).read_text())
    out, err = process.communicate(timeout=90)
    return json.loads(out), out + err


def found(text: str, secrets: set[str]) -> list[str]:
    """Pieces of secrets that somebody can read who undoes what JSON, URLs, HTML and Python do to a text."""
    layers = [text]
    for _layer in range(4):
        last = layers[-1]
        layers.append(html.unescape(last.encode("ascii", "backslashreplace").decode("unicode_escape", "replace")))
    seen = "".join(character for layer in layers for character in layer if character.isascii() and character.isalnum())
    percent = "".join(
        character for layer in layers for character in layer if character.isascii() and character not in " \\"
    )
    return [
        piece
        for secret in secrets
        for kind, where in (
            ("".join(c for c in secret if c.isascii() and c.isalnum()), seen),
            (quote(secret, safe=""), percent),
        )
        for piece in (kind[at : at + PIECE] for at in range(max(1, len(kind) - PIECE + 1)))
        if piece in where
    ]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", RUNS)
def test_what_an_api_repeats(name: str, style: str, key: dict[str, str], journal: Path) -> None:
    module, options, logs_in = RUNS[name]
    # UCloudStack refuses with 200, and a code inside.
    echo = Echo(style, logs_in, 200 if (name, style) == ("UCloudStack", "url") else None)
    try:
        result, said = run(module, filled(options, echo.url, key), journal)
    finally:
        echo.close()
    assert result.get("failed") and echo.requests >= 1 + logs_in, said
    secrets = {*SECRETS, key["private_key"].split("-----")[2], key["private_key_id"], *echo.sent}
    assert not found(said + journal.read_text(), secrets)
    assert "Traceback" not in said and "mistake in the collection" not in said
    # What is no secret can be read.
    assert "operator" in said or "username" not in json.dumps(options)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_at_once(name: str, journal: Path) -> None:
    module, options = REFUSED[name]
    result, said = run(module, options, journal)
    assert result["failed"] and "Traceback" not in said
    if name in ("no such option", "no number") or name.endswith("no suboptions"):
        journal.write_text(f"Invoked with {journal.read_text()}")  # Ansible itself refuses, before it logs
    assert not found(said + journal.read_text(), set(SECRETS))


def test_the_name_of_a_cloud_is_no_secret(journal: Path) -> None:
    result, _said = run("havip_info", {"provider": "openstack", "cloud": "production-cloud"}, journal)
    assert result["invocation"]["module_args"]["cloud"] == "production-cloud" and "production-cloud" in result["msg"]


def test_what_ansible_prints(tmp_path: Path, key: dict[str, str], journal: Path) -> None:
    """With -vvv, differences, and a callback that writes all that it is given."""
    (tmp_path / "callbacks").mkdir()
    (tmp_path / "callbacks/everything.py").write_text(
        "import json\nfrom ansible.plugins.callback import CallbackBase\nclass CallbackModule(CallbackBase):\n"
        "    CALLBACK_VERSION, CALLBACK_NAME, CALLBACK_NEEDS_ENABLED = 2.0, 'everything', True\n"
        "    def v2_runner_on_failed(self, result, ignore_errors=False):\n"
        f"        with open({str(tmp_path / 'callback')!r}, 'a') as f:\n"
        "            json.dump(getattr(result, 'result', None) or result._result, f, default=str)\n"
    )
    echo, names = Echo("json", True), ("OpenStack", "a group", "a route, service account", "UCloudStack")
    tasks = [
        {f"cloudha.vip.{RUNS[name][0]}": filled(RUNS[name][1], echo.url, key), "ignore_errors": True, "name": name}
        for name in names
    ]
    try:
        process = plays.run(
            tmp_path,
            {"ungrouped": {"hosts": {"here": {}}}},
            [{"hosts": "here", "gather_facts": False, "diff": True, "tasks": tasks}],
            ANSIBLE_VERBOSITY="3",
            ANSIBLE_CALLBACK_PLUGINS=str(tmp_path / "callbacks"),
            ANSIBLE_CALLBACKS_ENABLED="everything",
        )
    finally:
        echo.close()
    told = (tmp_path / "callback").read_text()
    assert process.returncode == 0 and told.count("module_args") == len(names), process.stdout[-3000:]
    secrets = {*SECRETS, key["private_key"].split("-----")[2], key["private_key_id"], *echo.sent}
    assert not found(process.stdout + process.stderr + told + journal.read_text(), secrets)
