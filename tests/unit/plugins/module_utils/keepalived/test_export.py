# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived import export as export_module
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.conf import parse, without_secrets
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.export import export
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.problems import find_problems
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.render import render
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.settings import settings
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.timers import objective_for, timers

ROLE = Path(__file__).resolve().parents[5] / "roles/keepalived"

# As it is found on many machines.
LEGACY = """
! Configuration File for keepalived
global_defs {
    notification_email {
        notify@example.cn
    }
    router_id nginx_master
}
vrrp_script chk_http_port {
    script "/root/check_httpd.sh"
    interval 2
    weight 2
}
vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 66
    priority 100
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    track_script {
        chk_http_port            #(the check)
    }
    virtual_ipaddress {
        192.168.7.246/22
    }
}
"""


def of(text):
    return export(parse(text)).variables


def instance(text):
    (found,) = of("vrrp_instance a {\n interface eth0\n virtual_router_id 1\n version 3\n" + text + "\n}")[
        "keepalived_instances"
    ]
    return found


def test_a_configuration_which_was_written_by_hand():
    variables, notes = export(parse(LEGACY))
    assert variables == {
        "keepalived_router_id": "nginx_master",
        "keepalived_startup_delay_s": 0,
        "keepalived_global_extra": ["notification_email {", "    notify@example.cn", "}"],
        "keepalived_detection_ms": 4000,
        "keepalived_track_scripts": [
            {
                "name": "chk_http_port",
                "script": "/root/check_httpd.sh",
                "interval": 2,
                "timeout": 2,
                "rise": 1,
                "fall": 1,
                "weight": 2,
                "init_fail": False,
            }
        ],
        "keepalived_instances": [
            {
                "name": "VI_1",
                "interface": "eth0",
                "virtual_router_id": 66,
                "priority": 100,
                "version": 2,
                "nopreempt": False,
                "garp_master_delay": 5,
                "garp_master_refresh": 0,
                "garp_lower_prio_delay": 5,
                "unicast": False,
                "auth_pass": "1111",
                "track_scripts": ["chk_http_port"],
                "addresses": ["192.168.7.246/22"],
            }
        ],
    }
    assert notes == ["vrrp_instance VI_1: state MASTER is left out, as all nodes start as BACKUP"]


def test_a_password_that_must_not_be_shown_is_left_out():
    variables, notes = export(without_secrets(parse(LEGACY)))
    assert "auth_pass" not in variables["keepalived_instances"][0]
    assert "1111" not in str(variables)
    assert any("set no_log to get it" in note for note in notes)


def test_version_3_has_no_password():
    variables, notes = export(parse(LEGACY.replace("router_id", "vrrp_version 3\n router_id")))
    assert "auth_pass" not in variables["keepalived_instances"][0]
    assert "vrrp_instance VI_1: the password is left out, as VRRP version 3 has none" in notes


def test_global_defaults_of_instances():
    found = of(
        "global_defs {\n vrrp_version 3\n vrrp_garp_master_delay 1\n vrrp_garp_master_repeat 3\n vrrp_priority 10\n}\n"
        "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n garp_lower_prio_delay 4\n}"
    )
    assert found["keepalived_global_extra"] == ["vrrp_priority 10"]
    (a,) = found["keepalived_instances"]
    assert (a["priority"], a["garp_master_repeat"], a["garp_lower_prio_delay"]) == (100, 3, 4)
    assert a["garp_lower_prio_repeat"] == 3
    assert "version" not in a
    assert "garp_master_delay" not in a


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("virtual_ipaddress { 10.0.0.1/24 dev eth0 }", "addresses", ["10.0.0.1/24"]),
        ("virtual_ipaddress { 10.0.0.1 }", "addresses", ["10.0.0.1/32"]),
        (
            "virtual_ipaddress { 10.0.0.1/24 dev eth1 scope link label eth1:1 }",
            "addresses",
            [{"address": "10.0.0.1/24", "device": "eth1", "scope": "link", "label": "eth1:1"}],
        ),
        (
            "virtual_ipaddress_excluded {\n fd00::1/64\n 10.0.0.2/24\n}",
            "excluded_addresses",
            ["fd00::1/64", "10.0.0.2/24"],
        ),
        ("unicast_src_ip 10.0.0.8", "source_address", "10.0.0.8"),
        ("unicast_peer {\n 10.0.0.9\n 10.0.0.10\n}", "peers", ["10.0.0.9", "10.0.0.10"]),
        ("unicast_peer {\n 10.0.0.9\n}", "unicast", None),
        ("", "unicast", False),
        ("nopreempt", "nopreempt", None),
        ("", "nopreempt", False),
        ("preempt_delay 5", "preempt_delay", 5),
        ("nopreempt\npreempt_delay 5", "preempt_delay", None),
        ("virtual_routes {\n 0.0.0.0/0 via 10.0.0.1 dev eth1\n}", "routes", ["0.0.0.0/0 via 10.0.0.1 dev eth1"]),
        ("track_script {\n chk weight -2\n}", "track_scripts", [{"name": "chk", "weight": -2}]),
        ("track_interface {\n eth1\n}", "track_interfaces", ["eth1"]),
        ("track_file {\n drain\n}", "track_files", None),
        ('notify "/usr/bin/tell it"', "notify", "/usr/bin/tell it"),
        ('notify "/bin/sh -c \\"echo A B\\""', "notify", "/bin/sh -c 'echo A B'"),
        ("notify_master /usr/bin/tell root", "extra", ["notify_master /usr/bin/tell root"]),
        ("use_vmac\nvmac_xmit_base", "extra", ["use_vmac", "vmac_xmit_base"]),
        ("advert_int 0.19\npriority 254", "detection_ms", None),
        ("check_unicast_src\nstate BACKUP", "extra", None),
    ],
)
def test_options_of_an_instance(text, option, value):
    assert instance(text).get(option) == value


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("", "it announces no address; write addresses: []"),
        ("virtual_ipaddress { 10.0.0.1/24 no_track }", "of the address 10.0.0.1/24, no_track is left out"),
        ("unicast_peer { 10.0.0.1 min_ttl 64 }", "unicast_peer 10.0.0.1 min_ttl 64 has no variable"),
        ("track_script { chk weight 2 reverse }", "track_script chk weight 2 reverse has no variable"),
    ],
)
def test_what_is_lost_is_told(text, note):
    notes = export(parse("vrrp_instance a {\n version 3\n" + text + "\n}")).notes
    assert [found for found in notes if note in found]


def test_instances_with_different_timers_keep_their_own():
    text = "".join(
        f"vrrp_instance {name} {{\n version 3\n priority 254\n advert_int {s}\n}}\n"
        for name, s in (("a", 0.1), ("b", 0.1), ("c", 0.29))
    )
    found = of(text)
    assert found["keepalived_detection_ms"] == 310
    assert [i.get("detection_ms") for i in found["keepalived_instances"]] == [None, None, 900]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("priority", [254, 253, 200, 100, 1])
def test_an_objective_gives_the_interval_again(version, priority):
    for steps in (*range(1, 60), 100, 150, 255):
        advert_int_s = steps if version == 2 else steps / 100
        assert (
            timers(objective_for(advert_int_s, priority, version), [priority], version)["advert_int_s"] == advert_int_s
        )


def test_what_has_no_variable_is_kept_as_it_is():
    text = "static_routes {\n    10.0.0.0/8 via 192.168.7.1\n}\nvirtual_server group g {\n    delay_loop 3\n}\n"
    assert of(text)["keepalived_extra_config"] == text


def test_the_drain_file_is_the_role_s_own():
    found = of(
        "track_file drain {\n file /run/cloudha-vip/drain\n weight 1\n}\ntrack_file x {\n file /x\n init_file 3\n}"
    )
    assert found["keepalived_track_files"] == [{"name": "x", "file": "/x", "weight": 1, "init": 3}]


@pytest.mark.parametrize(
    ("text", "check", "extra"),
    [
        ("TCP_CHECK {\n connect_timeout 3\n}", {"type": "tcp", "timeout": 3}, None),
        (
            "HTTP_GET {\n url {\n  path /healthz\n  status_code 204\n }\n nb_get_retry 3\n connect_timeout 1\n}",
            {"type": "http", "path": "/healthz", "status_code": 204, "retry": 3},
            None,
        ),
        ('MISC_CHECK {\n misc_path "/bin/x y"\n misc_timeout 1\n}', {"type": "misc", "command": "/bin/x y"}, None),
        (
            "HTTP_GET {\n url {\n  path /\n  digest 00\n }\n}",
            None,
            ["HTTP_GET {", "    url {", "        path /", "        digest 00", "    }", "}"],
        ),
        ("SMTP_CHECK {\n}", None, ["SMTP_CHECK {", "}"]),
    ],
)
def test_checks_of_real_servers(text, check, extra):
    (server,) = of("virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 81 {\n" + text + "\n}\n}")[
        "keepalived_virtual_servers"
    ]
    (real,) = server["real_servers"]
    assert (real["address"], real["port"]) == ("10.0.0.2", 81)
    assert (real.get("check"), real.get("extra")) == (check, extra)


# With the role


@pytest.fixture(scope="module")
def spec():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]


def options(spec, *path):
    for name in path:
        spec = spec[name]["options"]
    return spec


def test_the_defaults_are_those_of_the_role(spec):
    check = ("keepalived_virtual_servers", "real_servers", "check")
    assert {name: spec[name]["default"] for name in export_module.GLOBALS} == export_module.GLOBALS
    for table, path in (
        (export_module.SCRIPT, ("keepalived_track_scripts",)),
        (export_module.FILE, ("keepalived_track_files",)),
        (export_module.PROCESS, ("keepalived_track_processes",)),
        (export_module.INSTANCE, ("keepalived_instances",)),
        (export_module.SYNC_GROUP, ("keepalived_sync_groups",)),
        (export_module.VIRTUAL_SERVER, ("keepalived_virtual_servers",)),
        (export_module.REAL_SERVER, check[:2]),
        (export_module.CHECK, check),
    ):
        theirs = options(spec, *path)
        assert {n: o.ours for n, o in table.items()} == {n: theirs[n].get("default") for n in table}, path


PAIR = {
    "keepalived_instances": [
        {
            "name": "web",
            "interface": "eth0",
            "virtual_router_id": 66,
            "addresses": ["192.168.7.246/22", "192.168.7.245/22"],
        }
    ]
}
BARE = {"keepalived_instances": [{**PAIR["keepalived_instances"][0], "addresses": []}]}
EVERYTHING = {
    "keepalived_detection_ms": 5000,
    "keepalived_router_id": "here",
    "keepalived_rt_priority": 10,
    "keepalived_script_user": "nobody",
    "keepalived_notify_fifo": "/run/cloudha-vip/notify",
    "keepalived_startup_delay_s": 2.5,
    "keepalived_global_extra": ["vrrp_garp_interval 0.001"],
    "keepalived_extra_config": "static_routes {\n    10.0.0.0/8 via 192.168.7.1\n}\n",
    "keepalived_track_scripts": [
        {
            "name": "http",
            "script": "/usr/bin/check --url 'http://x/ y'",
            "weight": -2,
            "init_fail": False,
            "timeout": 3,
        },
        {"name": "other", "script": "/bin/true", "user": "daemon"},
    ],
    "keepalived_track_files": [{"name": "web", "file": "/run/cloudha-vip/check/web", "init": 1, "overwrite": True}],
    "keepalived_track_processes": [{"name": "p", "process": "nginx -x", "delay": 0.5, "full_command": True}],
    "keepalived_sync_groups": [
        {"name": "g", "instances": ["web", "db"], "notify": "/usr/bin/tell g", "track_scripts": ["other"]},
    ],
    "keepalived_instances": [
        {
            "name": "web",
            "interface": "eth0",
            "virtual_router_id": 66,
            "version": 2,
            "auth_pass": "s3cr-t_8",
            "addresses": [{"address": "192.168.7.246/22", "label": "eth0:web", "scope": "global"}],
            "excluded_addresses": ["fd00:7::246/64"],
            "nopreempt": False,
            "preempt_delay": 5,
            "track_scripts": [{"name": "http", "weight": -5}],
            "track_files": ["web"],
            "track_interfaces": ["eth1"],
            "routes": ["0.0.0.0/0 via 192.168.7.1 dev eth0"],
            "rules": ["from 10.0.0.0/8 table 100"],
            "garp_master_refresh": 60,
            "notify_master": "/usr/bin/tell master",
            "extra": ["use_vmac vrrp.66"],
        },
        {
            "name": "db",
            "interface": "eth1",
            "virtual_router_id": 67,
            "detection_ms": 300,
            "addresses": ["fd00:8::246/64"],
            "unicast": False,
            "source_address": "fd00:8::247",
        },
    ],
    "keepalived_virtual_servers": [
        {
            "address": "192.168.7.246",
            "port": 80,
            "lvs_sched": "rr",
            "quorum_up": "/usr/bin/tell up",
            "sorry_server": {"address": "127.0.0.1", "port": 80},
            "real_servers": [
                {
                    "address": "192.168.7.1",
                    "port": 80,
                    "check": {"type": "http", "path": "/healthz", "virtualhost": "w"},
                },
                {"address": "192.168.7.2", "port": 80, "weight": 3, "check": {"type": "misc", "command": "/bin/x y"}},
                {"address": "192.168.7.3", "port": 80, "inhibit_on_failure": True, "check": {"type": "tcp"}},
                {"address": "192.168.7.4", "port": 80, "extra": ["SMTP_CHECK {", "    retry 2", "}"]},
            ],
        },
        {
            "fwmark": 7,
            "persistence_timeout": 30,
            "sorry_server": {"address": "192.168.7.9", "port": 80},
            "real_servers": [{"address": "192.168.7.1", "port": 80, "check": {"type": "tcp"}}],
        },
    ],
}
INTERFACES = {
    "node1": {"eth0": ["192.168.7.247/22"], "eth1": ["fd00:8::247/64"]},
    "node2": {"eth0": ["192.168.7.248/22"], "eth1": ["fd00:8::248/64"]},
}


def write(nodes, host, spec):
    """keepalived.conf as the role writes it."""
    return render(settings(nodes, host, spec), "/run/cloudha-vip/drain")


@pytest.mark.parametrize("given", [PAIR, BARE, EVERYTHING], ids=["a pair", "no addresses", "everything"])
def test_what_the_role_wrote_gives_the_variables_which_write_the_same(given, spec):
    nodes = {host: {**given, "interfaces": interfaces} for host, interfaces in INTERFACES.items()}
    if "keepalived_sync_groups" in given:  # IPv6 needs an instance of its own
        nodes["node2"] = {**nodes["node2"], "keepalived_instances": [dict(i) for i in given["keepalived_instances"]]}
        nodes["node2"]["keepalived_instances"][1]["source_address"] = "fd00:8::248"
    assert find_problems(nodes, spec) == []
    written = {host: write(nodes, host, spec) for host in nodes}
    exported = {host: export(parse(text)) for host, text in written.items()}
    again = {host: {**found.variables, "interfaces": INTERFACES[host]} for host, found in exported.items()}
    assert [found.notes for found in exported.values()] == [[], []]
    assert find_problems(again, spec) == []
    assert {host: write(again, host, spec) for host in again} == written


def test_servers_of_a_mark_have_no_port(spec):
    """keepalived refuses the configuration if its sorry server has one."""
    nodes = {"node1": {**EVERYTHING, "interfaces": INTERFACES["node1"]}}
    server = write(nodes, "node1", spec).partition("virtual_server fwmark 7 {")[2]
    assert "    sorry_server 192.168.7.9\n" in server
    assert "    real_server 192.168.7.1 {\n" in server


def test_the_variables_of_a_pair_are_as_a_person_would_write_them(spec):
    nodes = {host: {**PAIR, "interfaces": interfaces} for host, interfaces in INTERFACES.items()}
    assert of(write(nodes, "node2", spec)) == {
        "keepalived_router_id": "node2",
        "keepalived_instances": [
            {
                "name": "web",
                "interface": "eth0",
                "virtual_router_id": 66,
                "priority": 253,
                "source_address": "192.168.7.248",
                "peers": ["192.168.7.247"],
                "addresses": ["192.168.7.246/22"],
                "excluded_addresses": ["192.168.7.245/22"],
            }
        ],
    }
