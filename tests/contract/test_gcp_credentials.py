# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials of every kind, from google-auth itself to the lab's API, and what is told when they are refused."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse

import pytest

TOKEN = "lab-controller-token"
OPTIONS = {
    "name": "floating-ip-route",
    "project": "lab-project",
    "network": "ip-failover",
    "destination": "10.200.1.1/32",
}


class Tokens:
    """Google's token server: gives a token for whatever it is shown, or refuses."""

    def __init__(self):
        self.asked = []
        self.answer = (200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        tokens = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                tokens.asked.append(dict(urllib.parse.parse_qsl(body)))
                status, answer = tokens.answer
                content = json.dumps(answer).encode()
                self.send_response_only(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def tokens():
    tokens = Tokens()
    yield tokens
    tokens.close()


@pytest.fixture(scope="module")
def private_key():
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def key(tokens, private_key):
    return {
        "type": "service_account",
        "project_id": "lab-project",
        "private_key_id": "0123456789abcdef",
        "private_key": private_key,
        "client_email": "robot@lab-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": tokens.url,
    }


@pytest.fixture
def run(gce, key):
    def run(environment=None, module="gcp_route_info", **options):
        arguments = {**OPTIONS, "endpoint": gce.endpoint, "timeout": 5, **options}
        arguments = {name: value for name, value in arguments.items() if value is not None}
        process = subprocess.run(
            [sys.executable, "-m", f"ansible_collections.cloudha.vip.plugins.modules.{module}"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(("GCP_", "GOOGLE_"))},
                "CLOUDSDK_CONFIG": "/nonexistent",
                "NO_GCE_CHECK": "true",
                **(environment or {}),
            },
        )
        for secret in (TOKEN, key["private_key"].splitlines()[1], key["private_key_id"], "s3kret"):
            assert secret not in process.stdout + process.stderr
        result = json.loads(process.stdout)
        if not result.get("failed"):
            # Neither is anything hidden that is no secret.
            assert "lab-project" in (result["holder"] or result["route"]["network"])
        return result

    options = {"next_hop_instance": "node1", "next_hop_zone": "us-central1-a", "settle": 0}
    result = run(module="gcp_route_failover", auth_kind="accesstoken", access_token=TOKEN, **options)
    assert result["changed"], result
    return run


def test_service_account(run, key, tokens, tmp_path):
    file = tmp_path / "key.json"
    file.write_text(json.dumps(key))
    for options in (
        {"service_account_contents": key},
        {"service_account_contents": json.dumps(key)},
        {"service_account_file": str(file)},
    ):
        assert run(auth_kind="serviceaccount", **options)["exists"]
    assert run({"GCP_AUTH_KIND": "serviceaccount", "GCP_SERVICE_ACCOUNT_FILE": str(file)})["exists"]
    assert run({"GCP_AUTH_KIND": "serviceaccount", "GCP_SERVICE_ACCOUNT_CONTENTS": json.dumps(key)})["exists"]
    # One token for all requests of a run.
    assert len(tokens.asked) == 5


def test_application_default(run, key, tokens, tmp_path):
    file = tmp_path / "adc.json"
    file.write_text(json.dumps(key))
    assert run({"GOOGLE_APPLICATION_CREDENTIALS": str(file)})["exists"]
    # Workload identity federation: a token of another issuer, exchanged for one of Google.
    (tmp_path / "subject").write_text("s3kret")
    federated = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": tokens.url,
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    tokens.answer[1]["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
    file.write_text(json.dumps(federated))
    assert run({"GOOGLE_APPLICATION_CREDENTIALS": str(file)}, auth_kind="application")["exists"]
    assert tokens.asked[-1]["subject_token"] == "s3kret"


def test_machine_account(run, gce):
    metadata = {"GCE_METADATA_HOST": gce.metadata_url["node1"].partition("//")[2]}
    assert run(metadata, auth_kind="machineaccount")["exists"]
    assert gce.requests[-1]["caller"].startswith("vip-agent@")


def test_access_token(run):
    assert run(auth_kind="accesstoken", access_token=TOKEN)["exists"]
    assert run({"GCP_AUTH_KIND": "accesstoken", "GCP_ACCESS_TOKEN": f"{TOKEN}\n"})["exists"]
    environment = {"GCP_AUTH_KIND": "accesstoken", "GCP_ACCESS_TOKEN": TOKEN, "GCP_PROJECT": "nosuch"}
    assert run(environment)["exists"]
    assert "nosuch" in run(environment, project=None)["msg"]


def test_token_that_is_over(run, gce):
    """google-auth gets another one when the API refuses the one it has."""
    metadata = {"GCE_METADATA_HOST": gce.metadata_url["node1"].partition("//")[2]}
    refusals = iter([401])
    gce.hooks.append(lambda moment, entry: gce.cloud.expire(entry["caller"]) if next(refusals, None) else None)
    assert run(metadata, auth_kind="machineaccount")["exists"]


def test_refused(run, key, tokens, tmp_path):
    tokens.answer = (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature.", "debug": "s3kret"})
    result = run(auth_kind="serviceaccount", service_account_contents=key)
    assert result["failed"] and "no access token" in result["msg"] and "Invalid JWT Signature" in result["msg"]
    assert "Check the credentials" in result["msg"]


def test_token_server_that_fails_is_asked_again(run, key, tokens):
    tokens.answer = (503, {"error": "unavailable"})
    timer = threading.Timer(1.0, lambda: setattr(tokens, "answer", (200, {"access_token": TOKEN, "expires_in": 3600})))
    timer.start()
    assert run(auth_kind="serviceaccount", service_account_contents=key, timeout=30)["exists"]
    timer.join()


def test_token_server_that_is_not_there(run, key):
    broken = {**key, "token_uri": "http://127.0.0.1:1/token"}
    result = run(auth_kind="serviceaccount", service_account_contents=broken, timeout=2)
    assert result["failed"] and "no access token" in result["msg"]


def test_without_google_auth(run, key, tmp_path):
    (tmp_path / "google").mkdir()
    (tmp_path / "google/__init__.py").write_text("")
    without = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}"}
    result = run(without, auth_kind="serviceaccount", service_account_contents=key)
    assert result["failed"] and "google-auth" in result["msg"]
    assert run(without, auth_kind="accesstoken", access_token=TOKEN)["exists"]


PLAY = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    group/cloudha.vip.gcp:
      project: lab-project
      name: floating-ip-route
  tasks:
    - cloudha.vip.gcp_route_failover:
        next_hop_instance: zones/us-central1-b/instances/node2
        expected_holder: node1
        settle: 0
      register: move
    - cloudha.vip.gcp_route_info:
      register: seen
      when: not ansible_check_mode
    - ansible.builtin.assert:
        that:
          - move is changed
          - move.holder.endswith('/node2')
          - seen.holder | default(move.holder) == move.holder
"""


def test_as_ansible_runs_it(run, gce, tmp_path):
    """Packed by Ansible, with the action group, the environment, check mode and diff."""
    (tmp_path / "play.yml").write_text(PLAY)
    for check in (["--check"], []):
        done = subprocess.run(
            ["ansible-playbook", "-i", "localhost,", "-c", "local", "--diff", *check, tmp_path / "play.yml"],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env={
                **os.environ,
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "GCP_AUTH_KIND": "accesstoken",
                "GCP_ACCESS_TOKEN": TOKEN,
                "GCP_COMPUTE_ENDPOINT": gce.endpoint,
            },
        )
        assert done.returncode == 0, done.stdout + done.stderr
        # As JSON or as YAML, by the user's configuration.
        said = done.stdout.replace('"', "")
        assert "-    holder: projects/lab-project/zones/us-central1-a/instances/node1" in said
        assert "+    holder: projects/lab-project/zones/us-central1-b/instances/node2" in said
        assert TOKEN not in done.stdout + done.stderr
        route = gce.cloud.routes["floating-ip-route"]
        assert route["nextHopInstance"].endswith("node1" if check else "node2")
