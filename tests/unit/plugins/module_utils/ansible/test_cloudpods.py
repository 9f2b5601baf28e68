# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import types

import pytest
from ansible.module_utils.basic import AnsibleFallbackNotFound

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import cloudpods
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import OptionError
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds import recorded
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.scripted import Script

URL = "https://keystone.example/v3"


def client(**options):
    params = {
        **dict.fromkeys(cloudpods.SPEC),
        "auth_url": URL,
        "endpoint_type": "internalURL",
        "validate_certs": True,
        **options,
    }
    return cloudpods.client(types.SimpleNamespace(params=params))


@pytest.mark.parametrize("value", [-1.0, 0.0, float("nan"), float("inf"), 1e9])
def test_seconds_of_no_use(value):
    with pytest.raises(
        OptionError, match=f"^timeout: {value:g} is not from 0.001 to 86400 seconds$".replace("+", r"\+")
    ):
        client(timeout=value)


def test_a_token_comes_before_a_user(monkeypatch):
    told = recorded.answer("auth", "password token, project scope")
    body = {
        "auth": {
            "identity": {"methods": ["token"], "token": {"id": "t0ken"}},
            "scope": {"project": {"name": "system", "domain": {"name": "Default"}}},
        }
    }
    session = Script((f"POST {URL}/auth/tokens", body, told))
    made = []
    monkeypatch.setattr(cloudpods, "StdlibSession", lambda url, **keys: made.append((url, keys)) or session)
    options = {"token": " t0ken\n", "username": "u", "project_name": "system", "project_domain": "Default"}
    asked = client(**options, ca_cert="ca", client_cert="cert", client_key="key", validate_certs=False)
    assert asked.project()["name"] == "system"
    assert made == [(URL, {"ca_file": "ca", "verify": False, "client_cert": "cert", "client_key": "key"})]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "username: give it, or token"),
        ({"username": "u"}, "password: the user u needs one"),
        ({"token": "a b"}, "token: it is not one line"),
        ({"token": "t", "client_key": "k"}, "client_key: only together with client_cert"),
        ({"token": "t", "auth_url": "keystone.example/v3"}, "auth_url: 'keystone.example/v3' is not a URL"),
        ({"token": "t", "auth_url": "ftp://keystone/v3"}, "auth_url: .* is not a URL"),
        ({"token": "t", "auth_url": f"{URL}?x=1"}, "auth_url: .* has a query"),
        ({"token": "t", "compute_endpoint": "https://u:pass@host"}, r"compute_endpoint: 'https://\*\*\*@host'"),
    ],
)
def test_options_that_cannot_be_used(options, words):
    with pytest.raises(OptionError, match=words):
        client(**options)


def test_a_catalog_with_something_that_is_no_url(monkeypatch):
    status, body, headers = recorded.answer("auth", "password token, project scope")
    text = {"id": "T", "token": {**body["token"], "catalog": [dict(body["token"]["catalog"][0])]}}
    endpoint = {"interface": "internal", "region_id": "r", "url": "region.example"}
    text["token"]["catalog"][0]["endpoints"] = [endpoint]
    asked = client(token="t")
    asked._keystone = Script(
        (f"POST {URL}/auth/tokens", asked._login.body(), (status, text, headers)),
    )
    with pytest.raises(OptionError, match=r"compute_endpoint: the catalog.s URL cannot be used"):
        asked.get_group("web")


@pytest.mark.parametrize(("value", "verify"), [("true", False), ("1", False), ("Yes", False), ("no", True), ("", True)])
def test_climcs_variable_says_the_opposite(monkeypatch, value, verify):
    monkeypatch.setenv("YUNION_INSECURE", value)
    assert cloudpods._secure_fallback("YUNION_INSECURE") is verify
    monkeypatch.delenv("YUNION_INSECURE")
    with pytest.raises(AnsibleFallbackNotFound):
        cloudpods._secure_fallback("YUNION_INSECURE")
