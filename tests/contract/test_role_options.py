# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles that hand variables to a cloud's module describe them as the module does, and refuse what it would refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import plays
import pytest
import yaml

from ansible_collections.cloudha.vip.plugins.module_utils.ansible import cloudpods, gcp
from ansible_collections.cloudha.vip.plugins.module_utils.ansible.havip import BIND_SPEC

ROOT = Path(__file__).resolve().parents[2]
# The options of the modules that a role leaves to them, or works out. The rest are variables of the role.
OF_NO_ROLE = {
    "havip": {
        "state",
        "address",
        "members",
        "vip_id",
        "vip_type",
        "exclusive",
        "restore_source_check",
        "remark",
        "settle",
        "timeout",
    }
    | {"api_timeout", "client_cert", "client_key", "max_members", "max_vips", "enforce_limits"},
    "cloudpods": {"compute_endpoint", "client_cert", "client_key"},
    "gcp_route": {"scopes"},
    "gcp_alias_ip": {"scopes"},
    "gcp_lb": {"scopes"},
    "gcp_image": {"scopes"},
    "gcp_autohealing": {"scopes"},
    "gcp_route_set": {"scopes"},
}
MODULES = {
    "havip": BIND_SPEC,
    "cloudpods": cloudpods.SPEC,
    "gcp_route": gcp.SPEC,
    "gcp_alias_ip": gcp.SPEC,
    "gcp_lb": gcp.SPEC,
    "gcp_image": gcp.SPEC,
    "gcp_autohealing": gcp.SPEC,
    "gcp_route_set": gcp.SPEC,
}
OTHER_NAMES = {
    "cloudpods_domain_name": "domain",
    "cloudpods_project_name": "project",
    "cloudpods_region_name": "region",
}


def entries(role: str) -> dict[str, dict[str, Any]]:
    """The options of each entry point."""
    spec = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    return {name: entry["options"] for name, entry in spec.items()}


@pytest.mark.parametrize("role", MODULES)
def test_a_variable_is_described_as_the_option_that_it_becomes(role: str) -> None:
    prefix = role.partition("_")[0]
    wanted = {}
    for option, spec in MODULES[role].items():
        if option not in OF_NO_ROLE[role]:
            name = f"{prefix}_" + OTHER_NAMES.get(f"{prefix}_{option}", option)
            wanted[name] = {key: spec[key] for key in ("type", "elements", "choices", "no_log") if key in spec}
            if option == "provider":
                del wanted[name]["choices"]  # the module names its clouds, and the role knows none
    assert len(wanted) > 5
    for entry, options in entries(role).items():
        found = {
            name: {key: options[name][key] for key in ("type", "elements", "choices", "no_log") if key in options[name]}
            for name in wanted
            if name in options
        }
        assert found == {name: wanted[name] for name in found}
        assert entry not in ("main", "check") or found.keys() == wanted.keys()


@pytest.mark.parametrize("role", MODULES)
def test_no_variable_is_missing_from_the_specification(role: str) -> None:
    text = "\n".join(
        path.read_text()
        for name in (role, *(["gcp"] if role.startswith("gcp") else []))
        for path in (ROOT / "roles" / name).glob("*/*.yml")
        if path.parent.name in ("tasks", "vars")
    )
    read = set(re.findall(r"\b([a-z]\w+)(?: is (?:un)?defined| \| default\()", text))
    read |= set(re.findall(r"host_values\(hostvars, '(\w+)'\)", text))
    # What the role itself, or a task of it, has made.
    made = set(re.findall(r"^\s*(\w+):", text, re.MULTILINE)) | set(re.findall(r"register: (\w+)", text))
    known = {name for options in entries(role).values() for name in options}
    # havip refuses to be given more than one address.
    # The common part of Google's roles works with the address, of which the image knows nothing.
    known |= {
        "ansible_play_hosts",
        *(["vip_address"] if role == "gcp_image" else []),
        *(["vip_addresses"] if role == "havip" else []),
    }
    assert len(read - made) > 5 and read - made - known == set()


BAD = [
    ("havip", {"havip_validate_certs": "maybe"}, "havip_validate_certs"),
    ("havip", {"havip_quantity": "two"}, "havip_quantity"),
    ("havip", {"havip_charge_type": "Week"}, "value of havip_charge_type must be one of: Dynamic, Month, Year"),
    ("cloudpods", {"cloudpods_granularity": "many"}, "cloudpods_granularity"),
    ("gcp_route", {"gcp_route_priority": "first"}, "gcp_route_priority"),
    (
        "gcp_alias_ip",
        {"gcp_auth_kind": "password"},
        "value of gcp_auth_kind must be one of: application, machineaccount",
    ),
    ("gcp_lb", {"gcp_lb_scheme": "private"}, "value of gcp_lb_scheme must be one of: internal, external"),
    ("gcp_lb", {"gcp_lb_objective_s": "3.5"}, "gcp_lb_objective_s"),
]
SECRETS = {"havip_private_key": "Hush-1", "cloudpods_password": "Hush-2", "gcp_access_token": "Hush-3"}


def test_a_bad_value_is_refused_before_anything(tmp_path: Path) -> None:
    says = {f"{role}-{entry}-{n}": text for n, (role, _values, text) in enumerate(BAD) for entry in ("check", "main")}
    hosts = {
        f"{role}-{entry}-{n}": {"role": role, "entry": entry, **variables}
        for n, (role, variables, _text) in enumerate(BAD)
        for entry in ("check", "main")
    }
    task = {"ansible.builtin.include_role": {"name": "cloudha.vip.{{ role }}", "tasks_from": "{{ entry }}"}}
    play = {"hosts": "vip_nodes", "gather_facts": False, "tasks": [task]}
    done = plays.run(
        tmp_path,
        {"vip_nodes": {"hosts": hosts}},
        [play],
        SECRETS,
        ANSIBLE_VERBOSITY="3",
        ANSIBLE_CALLBACK_RESULT_FORMAT="json",
    )
    failed = dict(re.findall(r"^fatal: \[([\w-]+)\]: FAILED! => (\{.*?^\})", done.stdout, re.MULTILINE | re.DOTALL))
    assert failed.keys() == hosts.keys(), done.stdout[-3000:] + done.stderr
    errors = {host: " ".join(json.loads(text)["argument_errors"]) for host, text in failed.items()}
    assert {host: text for host, text in errors.items() if says[host] not in text} == {}
    assert set(re.findall(r"^TASK \[cloudha\.vip\.\w+ : (\w+)", done.stdout, re.MULTILINE)) == {"Validating"}
    assert "Hush" not in done.stdout + done.stderr


GOOGLE = {
    "gcp_zone": "d",
    "gcp_instance": "e",
    "gcp_instance_project": "f",
    "gcp_project": "g",
    "gcp_endpoint": "h",
    "gcp_auth_kind": "accesstoken",
    "gcp_access_token": "Hush-3",
    "gcp_service_account_file": "/i",
    "gcp_service_account_contents": {"key": "Hush-6"},
    "gcp_service_account_email": "j",
}
# Every variable of a role, and what its module must get. The module refuses them together, before it asks anybody.
WHOLE: dict[str, dict[str, Any]] = {
    "havip": {
        "vip_address": "192.0.2.9/24",
        "havip_provider": "ucloudstack",
        "havip_cloud": "a",
        "havip_auth": {"username": "b"},
        "havip_auth_type": "c",
        "havip_interface": "internal",
        "havip_validate_certs": True,
        "havip_ca_cert": "/d",
        "havip_client_cert": "/t",
        "havip_client_key": "/u",
        "havip_timeout": 61.0,
        "havip_api_timeout": 31.0,
        "havip_region_name": "e",
        "havip_auth_url": "f",
        "havip_user_name": "g",
        "havip_password": "Hush-4",
        "havip_domain_name": "h",
        "havip_project_name": "i",
        "havip_project_id": "j",
        "havip_endpoint": "k",
        "havip_public_key": "l",
        "havip_private_key": "Hush-1",
        "havip_company_id": 7,
        "havip_network": "m",
        "havip_subnet": "n",
        "havip_member": "o",
        "havip_name": "p",
        "havip_remark": "v",
        "havip_max_members": 4,
        "havip_max_vips": 6,
        "havip_enforce_limits": False,
        "havip_settle": 2.0,
        "havip_external": "q",
        "havip_source_check_off": ["r"],
        "havip_segment": "s",
        "havip_bandwidth": 8,
        "havip_charge_type": "Month",
        "havip_quantity": 9,
        "havip_expected": "ucloudstack",
    },
    "cloudpods": {
        "vip_address": "192.0.2.9/24",
        "cloudpods_group": "a",
        "cloudpods_guest": "b",
        "cloudpods_eip_bandwidth": 7,
        "cloudpods_eip_line": "c",
        "cloudpods_eip_charge_type": "traffic",
        "cloudpods_network_id": "d",
        "cloudpods_granularity": 8,
        "cloudpods_force_dispersion": False,
        "cloudpods_timeout": 121.0,
        "cloudpods_auth_url": "e",
        "cloudpods_username": "f",
        "cloudpods_password": "Hush-2",
        "cloudpods_token": "Hush-5",
        "cloudpods_domain": "g",
        "cloudpods_project": "h",
        "cloudpods_project_domain": "i",
        "cloudpods_region": "j",
        "cloudpods_endpoint_type": "adminURL",
        "cloudpods_validate_certs": False,
        "cloudpods_ca_cert": "/k",
    },
    "gcp_route": {
        "vip_address": "10.200.1.1/32",
        "vip_interface": "eth0",
        "gcp_route_name": "a",
        "gcp_network": "b",
        "gcp_route_priority": 7,
        "gcp_route_tags": ["c"],
        **GOOGLE,
        # It has been looked at in this run.
        "gcp_route_seen": {"holder": None},
    },
    "gcp_alias_ip": {
        "vip_address": "10.100.9.9/32",
        "vip_interface": "eth0",
        "gcp_alias_range_name": "a",
        "gcp_alias_interface": "nic7",
        **GOOGLE,
        "gcp_alias_ip_seen": {"ranges": [{"holder": None}]},
    },
    "gcp_lb": {
        "vip_address": "10.100.3.1/32",
        "vip_interface": "eth0",
        "gcp_lb_name": "a",
        "gcp_lb_region": "k",
        "gcp_region": "not this one",
        "gcp_network": "b",
        "gcp_subnetwork": "c",
        "gcp_lb_address_name": "reserved",
        "gcp_lb_scheme": "internal",
        "gcp_lb_protocols": ["tcp", "udp"],
        "gcp_lb_ports": ["80", "443"],
        "gcp_lb_global_access": True,
        "gcp_lb_objective_s": 7,
        "gcp_lb_check_url": "http://127.0.0.1:81/m",
        "gcp_lb_health_check": {"host": "n"},
        "gcp_lb_backups": ["node1"],
        "gcp_lb_failover_ratio": 0.5,
        "gcp_lb_drop_if_unhealthy": True,
        "gcp_lb_draining_timeout_s": 8,
        "gcp_lb_session_affinity": "client_ip",
        "gcp_lb_tracking_mode": "per_session",
        "gcp_lb_persistence": "always_persist",
        "gcp_lb_idle_timeout_s": 601,
        "gcp_lb_target_tags": ["o"],
        "gcp_lb_allow_replace": True,
        **GOOGLE,
        # It has been checked in this run.
        "gcp_lb_checked": {},
    },
    "gcp_image": {
        "gcp_image_source": "projects/x/global/images/family/y",
        "gcp_image_prefix": "a",
        "gcp_autohealing_name": "not this one",
        "gcp_image_family": "k",
        "gcp_image_machine_type": "l",
        "gcp_machine_type": "not this one",
        "gcp_image_disk_size_gb": 11,
        "gcp_image_address": "10.100.2.9",
        "gcp_image_tags": ["c"],
        "gcp_tags": ["not this one"],
        "gcp_image_metadata": {"m": "Something"},
        "gcp_metadata": {"not": "this one"},
        "gcp_image_labels": {"o": "p"},
        "gcp_image_external_address": True,
        "gcp_image_roles": ["nginx"],
        "gcp_image_variables": {"nginx_port": 81},
        "gcp_network": "b",
        "gcp_subnetwork": "q",
        **{name: value for name, value in GOOGLE.items() if name not in ("gcp_instance", "gcp_instance_project")},
        "gcp_image_named": "a-1",
        "gcp_image_checked": {},
    },
    "gcp_autohealing": {
        "vip_address": "10.200.1.1/32",
        "vip_interface": "eth0",
        "gcp_autohealing_name": "a",
        "gcp_image_named": "a-1",
        "gcp_image_source": "projects/x/global/images/family/y",
        "gcp_address": "10.100.2.9",
        "gcp_autohealing_objective_s": 7,
        "gcp_autohealing_check_url": "http://127.0.0.1:81/m",
        "gcp_autohealing_health_check": {"host": "n"},
        "gcp_autohealing_initial_delay_s": 61,
        "gcp_autohealing_machine_type": "l",
        "gcp_machine_type": "not this one",
        "gcp_autohealing_can_ip_forward": True,
        "gcp_autohealing_tags": ["c"],
        "gcp_tags": ["not this one"],
        "gcp_autohealing_service_account": "o@p.iam.gserviceaccount.com",
        "gcp_autohealing_metadata": {"q": "Something"},
        "gcp_metadata": {"not": "this one"},
        "gcp_autohealing_labels": {"s": "t"},
        "gcp_autohealing_disk_size_gb": "11",
        "gcp_autohealing_timeout_s": 601,
        "gcp_network": "b",
        "gcp_subnetwork": "q",
        **GOOGLE,
        # It has been looked at in this run.
        "gcp_autohealing_told": {"node1": {"exists": False}},
    },
}


# What the module is to get for variables that have no option of their name.
WORKED_OUT: dict[str, dict[str, Any]] = {
    "havip": {"address": "192.0.2.9", "members": ["o"], "provider": "ucloudstack", "vip_type": "external"},
    "cloudpods": {
        "group": "a",
        "members": ["b"],
        "vip": {"ip_addr": "192.0.2.9", "network_id": "d"},
        "eip": {"bandwidth": 7, "bgp_type": "c", "charge_type": "traffic"},
    },
    "gcp_route": {
        "name": "a",
        "destination": "10.200.1.1/32",
        "network": "b",
        "priority": 7,
        "tags": ["c"],
        "next_hop_instance": "projects/f/zones/d/instances/e",
    },
    "gcp_alias_ip": {
        "assignment": [
            {
                "ranges": ["10.100.9.9/32"],
                "range_name": "a",
                "interface": "nic7",
                "instances": ["projects/f/zones/d/instances/e"],
            }
        ]
    },
    "gcp_lb": {
        "name": "a",
        "region": "k",
        "network": "b",
        "subnetwork": "c",
        "address": "10.100.3.1",
        "address_name": "reserved",
        "scheme": "internal",
        "protocols": ["tcp", "udp"],
        "ports": ["80", "443"],
        "global_access": True,
        "health_check": {
            "interval_s": 2,
            "timeout_s": 2,
            "unhealthy_threshold": 2,
            "type": "http",
            "port": 81,
            "path": "/m",
            "host": "n",
        },
        "groups": [{"name": "a-e", "zone": "d", "instances": ["projects/f/zones/d/instances/e"], "failover": True}],
        "failover": {"ratio": 0.5, "drop_if_unhealthy": True, "drain": True},
        "draining_timeout_s": 8,
        "session_affinity": "client_ip",
        "tracking_mode": "per_session",
        "persistence": "always_persist",
        "idle_timeout_s": 601,
        "firewall": {"target_tags": ["o"]},
        "allow_replace": True,
    },
    "gcp_image": {
        "name": "a-1",
        "state": "present",
        "family": "k",
        "source_image": "projects/x/global/images/family/y",
        "zone": "d",
        "network": "b",
        "subnetwork": "q",
        "machine_type": "l",
        "disk_size_gb": 11,
        "address": "10.100.2.9",
        "external_address": True,
        "tags": ["c"],
        "labels": {"o": "p"},
    },
    "gcp_autohealing": {
        "name": "a-e",
        "zone": "d",
        "instances": [{"name": "e", "address": "10.100.2.9"}],
        "image": "projects/g/global/images/a-1",
        "network": "b",
        "subnetwork": "q",
        "machine_type": "l",
        "can_ip_forward": True,
        "tags": ["c"],
        "service_account": "o@p.iam.gserviceaccount.com",
        "labels": {"s": "t"},
        "disk_size_gb": 11,
        "initial_delay_s": 61,
        "timeout": 601,
        "health_check": {
            "interval_s": 2,
            "timeout_s": 2,
            "unhealthy_threshold": 2,
            "type": "http",
            "port": 81,
            "path": "/m",
            "host": "n",
        },
        "firewall": {"target_tags": ["c"]},
    },
}


def within(found: Any, wanted: Any) -> Any:
    """found, without what wanted does not name."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return {key: within(found.get(key), value) for key, value in wanted.items()}
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [within(*both) for both in zip(found, wanted, strict=True)]
    return found


@pytest.mark.parametrize("role", WHOLE)
def test_the_module_gets_each_variable(tmp_path: Path, role: str) -> None:
    """As its invocation shows. The module's own tests show what it does with each."""
    task = {"ansible.builtin.include_role": {"name": f"cloudha.vip.{role}"}}
    play = {"hosts": "vip_nodes", "gather_facts": False, "tasks": [task]}
    groups = {"vip_nodes": {"hosts": {"node1": WHOLE[role]}}}
    done = plays.run(tmp_path, groups, [play], ANSIBLE_VERBOSITY="3", ANSIBLE_CALLBACK_RESULT_FORMAT="json")
    failed = re.findall(r"^fatal: [^\n]*FAILED! => (\{.*?^\})", done.stdout, re.MULTILINE | re.DOTALL)
    assert failed, done.stdout[-3000:] + done.stderr
    got = json.loads(failed[0])["invocation"]["module_args"]
    prefix = role.partition("_")[0]
    wanted = dict(WORKED_OUT[role])
    for option in MODULES[role]:
        name = f"{prefix}_" + OTHER_NAMES.get(f"{prefix}_{option}", option)
        if name in WHOLE[role]:
            shown = re.sub(r'"Hush-\d"', '"VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"', json.dumps(WHOLE[role][name]))
            wanted[option] = json.loads(shown)
    assert within(got, wanted) == wanted
    elsewhere = {"vip_addresses", "cloudpods_eip"}  # each stands for others that are given here
    # Another module gets these, where one node exists at a time.
    elsewhere |= {"gcp_autohealing_single", "gcp_dns_name", "gcp_dns_zone", "gcp_autohealing_dns_ttl_s"}
    # For the check only.
    elsewhere |= {"gcp_image_stand_in", "gcp_image_disk_size_gb"}
    assert entries(role)["main"].keys() - WHOLE[role].keys() <= elsewhere
    assert "Hush" not in done.stdout + done.stderr
