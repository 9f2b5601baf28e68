# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
import types

import pytest
import yaml
from ansible.module_utils.common.parameters import _list_no_log_values

from ansible_collections.cloudha.vip.plugins.doc_fragments.havip import ModuleDocFragment
from ansible_collections.cloudha.vip.plugins.module_utils.ansible import havip
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.providers.provider import Provider
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.run import OptionError
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.huaweicloud import HuaweiCloud
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.neutron import Neutron
from ansible_collections.cloudha.vip.plugins.modules import havip_bind, havip_info

OPTIONS = tuple(havip.BIND_SPEC)


def connect(module):
    return havip.PROVIDERS[module.params["provider"]].connect(module)


class Failed(Exception):
    pass


class Module:
    """As much of an AnsibleModule as is needed."""

    def __init__(self, provider, **options):
        self.params = dict.fromkeys(OPTIONS)
        self.params.update(
            provider=provider, state="present", exclusive=False, settle=1.0, api_timeout=30.0, timeout=60.0
        )
        self.params.update(options)
        self.no_log_values = set()

    def fail_json(self, msg, **more):
        raise Failed(msg)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for variable in ("HW_REGION_NAME", "HW_PROJECT_ID", "UCLOUD_REGION", "UCLOUD_PROJECT_ID"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def connected(monkeypatch):
    """What openstacksdk was told."""
    openstack = pytest.importorskip("openstack")
    told = []
    connection = types.SimpleNamespace(session=types.SimpleNamespace(session=types.SimpleNamespace(mount=print)))
    monkeypatch.setattr(openstack, "connect", lambda **settings: told.append(settings) or connection)
    return told


AUTH = {"auth_url": "https://id.example.com/v3", "username": "ops", "password": "sekret", "project_name": "web"}
HUAWEI = {"user_name": "ops", "password": "sekret", "domain_name": "account", "region_name": "cn-north-4"}


def test_openstack(connected):
    module = Module("openstack", cloud="production", region_name="r1", validate_certs=False, ca_cert="/ca")
    assert connect(module).__class__ is Neutron
    module = Module("openstack", auth=AUTH)
    connect(module)
    assert connected == [
        {"cloud": "production", "region_name": "r1", "verify": False, "cacert": "/ca", "api_timeout": 30.0},
        {"auth": AUTH, "api_timeout": 30.0},
    ]
    module = Module("openstack", cloud={"auth": AUTH, "token": "t0ken"})
    connect(module)
    assert connected[-1]["auth"] == AUTH


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        # A server may be called as the project is.
        ({"auth": AUTH}, {"sekret"}),
        ({"cloud": {"auth": AUTH, "token": "t0ken"}}, {"sekret", "t0ken"}),
        ({"cloud": "production"}, set()),
        ({"cloud": '{"auth": {"password": "sekret"}}'}, {'{"auth": {"password": "sekret"}}'}),
        ({"auth": {"auth_methods": ["v3password", "v3totp"], "password": "sekret"}}, {"sekret"}),
        ({"auth": {"password": ["one", {"two": "three"}], "username": {"a": ["b"]}}}, {"one", "three"}),
        ({"auth": {"password": 1234567, "user_id": 7, "x": None, "y": True}}, {"1234567"}),
        ({"auth": {"application_credential_secret": "sekret", "application_credential_id": "i"}}, {"sekret"}),
        ({"cloud": {"profile": "p", "auth": {"passcode": "p1n", "auth_url": "https://x"}}}, {"p1n"}),
        ({"cloud": {"auth": [{"private_key": "k3y", "public": "p"}]}}, {"k3y"}),
        # Nothing is shown that is secret elsewhere.
        ({"auth": {"username": "same", "password": "same"}}, {"same"}),
        ({"auth": {"username": "same"}, "private_key": "same"}, {"same"}),
    ],
)
def test_only_secrets_are_hidden(options, hidden):
    module = Module("openstack", **options)
    # As Ansible does with options that may not be logged.
    module.no_log_values = _list_no_log_values(havip.INFO_SPEC, options)
    havip.hide(module)
    assert module.no_log_values == hidden


def test_huawei(connected, monkeypatch):
    assert connect(Module("huaweicloud", **HUAWEI)).__class__ is HuaweiCloud
    assert connected.pop() == {
        "auth": {
            "auth_url": "https://iam.cn-north-4.myhuaweicloud.com/v3",
            "username": "ops",
            "password": "sekret",
            "user_domain_name": "account",
            "project_name": "cn-north-4",
            "project_domain_name": "account",
        },
        "region_name": "cn-north-4",
        "load_envvars": False,
        "load_yaml_config": False,
        "api_timeout": 30.0,
    }
    monkeypatch.setenv("HW_PROJECT_ID", "p1")
    monkeypatch.setenv("HW_REGION_NAME", "from-the-environment")
    connect(Module("huaweicloud", **{**HUAWEI, "region_name": None}))
    assert connected[-1]["auth"]["project_id"] == "p1" and "project_name" not in connected[-1]["auth"]
    assert connected[-1]["region_name"] == "from-the-environment"
    connect(Module("huaweicloud", cloud="hw"))
    assert connected[-1]["cloud"] == "hw" and "auth" not in connected[-1]


def test_a_login_that_cannot_be(connected, monkeypatch):
    for option in ("password", "domain_name"):
        with pytest.raises(OptionError, match=f"^{option}: a login at Huawei Cloud needs"):
            connect(Module("huaweicloud", **{**HUAWEI, option: None}))
    with pytest.raises(OptionError, match=r"^region_name: "):
        connect(Module("huaweicloud", **{**HUAWEI, "region_name": None}))
    monkeypatch.setitem(sys.modules, "openstack", None)
    with pytest.raises(Failed, match="openstacksdk"):
        connect(Module("openstack", cloud="production"))


def test_a_configuration_that_is_not_there(monkeypatch, tmp_path):
    pytest.importorskip("openstack")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "none.yaml"))
    with pytest.raises(OptionError, match=r"^cloud: there is no way to log in: .*nosuch.* clouds\.yaml"):
        connect(Module("openstack", cloud="nosuch"))


STACK = {"endpoint": "https://console.example.com/api", "public_key": "pub", "private_key": "priv", "region_name": "cn"}


def test_ucloudstack(monkeypatch):
    client = connect(Module("ucloudstack", **STACK, company_id=5))
    assert (client.endpoint, client.region, client.company_id, client.project_id) == (
        "https://console.example.com/api",
        "cn",
        5,
        None,
    )
    monkeypatch.setenv("UCLOUD_REGION", "other")
    assert connect(Module("ucloudstack", **{**STACK, "region_name": None})).region == "other"
    for option in ("endpoint", "public_key", "private_key"):
        with pytest.raises(OptionError, match=f"^{option}: provider=ucloudstack needs it"):
            connect(Module("ucloudstack", **{**STACK, option: None}))
    for endpoint in ("console.example.com", "ftp://x/api", "https://user@x/api", "https:///api"):
        with pytest.raises(OptionError, match=r"^endpoint: .* is not the URL"):
            connect(Module("ucloudstack", **{**STACK, "endpoint": endpoint}))


@pytest.mark.parametrize(
    ("provider", "option", "value"),
    [
        ("openstack", "private_key", "x"),
        ("openstack", "user_name", "x"),
        ("openstack", "vip_type", "internal"),
        ("huaweicloud", "remark", "x"),
        ("huaweicloud", "bandwidth", 1),
        ("ucloudstack", "external", ""),
        ("ucloudstack", "cloud", "x"),
        ("ucloudstack", "restore_source_check", False),
    ],
)
def test_options_of_another_provider(provider, option, value):
    with pytest.raises(OptionError, match=f"^{option}: not with provider={provider}, only with "):
        havip.check_options(Module(provider, **{option: value}))


@pytest.mark.parametrize("option", ["timeout", "api_timeout", "settle"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e9])
def test_seconds_of_no_use(option, value):
    with pytest.raises(OptionError) as e:
        havip.check_options(Module("openstack", **{option: value}))
    assert str(e.value).startswith(f"{option}: {value:g} is not from 0")


def test_variables_of_another_provider_are_no_mistake(monkeypatch):
    monkeypatch.setenv("HW_USER_NAME", "ops")
    havip.check_options(Module("ucloudstack", user_name="ops"))


def test_goals():
    goal = havip.goal(Module("huaweicloud", address="10.0.0.100", members=["a", "a"]).params)
    assert (goal.limits, goal.enforce, goal.members) == ((10, 8), False, ["a"])
    goal = havip.goal(Module("ucloudstack", name="x", max_members=7, bandwidth=5).params)
    assert (goal.limits, goal.enforce, goal.creation) == ((7, 5), True, {"Bandwidth": 5})
    assert havip.goal(Module("openstack", address="FD00::0:1").params).address == "fd00::1"
    for options, said in (
        ({}, "name: say which"),
        ({"name": "x", "exclusive": True}, "exclusive: give members"),
        ({"address": "10.0.0"}, "address: '10.0.0' is not"),
    ):
        with pytest.raises(OptionError, match=f"^{said}"):
            havip.goal(Module("openstack", **options).params)


def test_the_table_has_all_that_is_documented():
    fragment = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert {*yaml.safe_load(havip_bind.DOCUMENTATION)["options"], *fragment} == set(havip.BIND_SPEC)
    assert {*yaml.safe_load(havip_info.DOCUMENTATION)["options"], *fragment} == set(havip.INFO_SPEC)
    assert fragment["provider"]["choices"] == list(havip.PROVIDERS)


def test_a_new_cloud_is_an_entry(monkeypatch):
    """Its options are known, are refused with another provider, and reach its goal; nothing else changes."""
    toy = Provider(
        "toy",
        procedure=None,
        connect=lambda module: ("client", module.params["toy_token"]),
        login={"toy_token": {"type": "str", "no_log": True}},
        binding={"toy_colour": {"type": "str"}},
        goal=lambda params: {"creation": {"Colour": params["toy_colour"]}},
        secrets=lambda params: [{"toy_token": params.get("toy_token")}],
        most_members=2,
    )
    monkeypatch.setitem(havip.PROVIDERS, "toy", toy)
    spec = havip._compose(havip.BIND_SPEC, toy.login, toy.binding)
    monkeypatch.setattr(havip, "BIND_SPEC", spec)
    module = Module("toy", name="x", toy_token="sekret", toy_colour="red")
    assert havip.check_options(module).connect(module) == ("client", "sekret")
    assert module.no_log_values == {"sekret"}
    goal = havip.goal(module.params)
    assert (goal.creation, goal.limits, goal.enforce) == ({"Colour": "red"}, (2, None), True)
    with pytest.raises(OptionError, match=r"^toy_colour: not with provider=openstack, only with toy$"):
        havip.check_options(Module("openstack", name="x", toy_colour="red"))
    with pytest.raises(OptionError, match=r"^bandwidth: not with provider=toy, only with ucloudstack$"):
        havip.check_options(Module("toy", name="x", bandwidth=5))


def test_two_clouds_cannot_mean_different_things_by_an_option():
    with pytest.raises(ValueError, match="bandwidth"):
        havip._compose(havip.BIND_SPEC, {"bandwidth": {"type": "str"}})
