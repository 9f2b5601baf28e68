# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.agent.config import ConfigError, load, parse


def problems(data):
    with pytest.raises(ConfigError) as caught:
        parse(data)
    return str(caught.value).splitlines()


def check(**keys):
    return {"checks": [{"name": "web", "type": "http", "url": "http://127.0.0.1/healthz", **keys}]}


def action(**keys):
    whole = {
        "type": "gcp_route",
        "instance": "VI_1",
        "name": "floating-ip-route",
        "destination": "10.200.1.1/32",
        "network": "ip-failover",
        **keys,
    }
    return {
        "instances": [{"name": "VI_1"}],
        "actions": [{key: value for key, value in whole.items() if value is not None}],
    }


PEER = "projects/lab-project/zones/us-central1-b/instances/node2"


def alias(**keys):
    whole = {
        "type": "gcp_alias_ip",
        "instance": "VI_1",
        "name": "database",
        "ranges": ["10.100.9.9/32"],
        "peers": [PEER],
        **keys,
    }
    return {
        "instances": [{"name": "VI_1"}],
        "actions": [{key: value for key, value in whole.items() if value is not None}],
    }


def member(**keys):
    whole = {
        "type": "gcp_route_member",
        "name": "web",
        "destination": "10.200.1.1/32",
        "network": "ip-failover",
        "members": [{"instance": PEER}],
        **keys,
    }
    return {"keepalived": False, "actions": [{key: value for key, value in whole.items() if value is not None}]}


def test_a_member_of_a_set_needs_no_keepalived():
    found = parse(member()).actions[0]
    assert (found.instance, found.check_interval, found.timeout, found.hold_back) == ("", 1, 60, True)
    assert found.members == {PEER: None}
    url = "https://www.googleapis.com/compute/v1/"
    others = [{"instance": url + PEER, "priority": 500}]
    found = parse(member(members=others, hold_back=False, check_interval_s=5)).actions[0]
    assert (found.members, found.hold_back, found.check_interval) == ({PEER: 500}, False, 5)


def test_without_a_name_it_is_the_hosts():
    assert parse({"node": "web1"}).node == "web1"
    assert parse({"node": ""}).node == parse({}).node == os.uname().nodename


def test_defaults():
    config = parse({})
    assert config.fifo == "/run/cloudha-vip/notify"
    assert config.checks == []
    web = parse(check()).checks[0]
    assert (web.interval, web.timeout, web.fall, web.rise) == (0.1, 0.25, 2, 3)
    assert (web.host, web.port, web.path, web.host_header, web.status, web.tls) == (
        "127.0.0.1", 80, "/healthz", "127.0.0.1", [200], False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "header", "server_name"),
    [
        ("https://127.0.0.1", "127.0.0.1", 443, "/", "127.0.0.1", "127.0.0.1"),
        ("http://localhost:8080/a?b=c", "127.0.0.1", 8080, "/a?b=c", "localhost:8080", "localhost"),
        ("https://[FD00:7::0247]:8443/x", "fd00:7::247", 8443, "/x", "[FD00:7::0247]:8443", "FD00:7::0247"),
    ],
)
def test_urls(url, host, port, path, header, server_name):
    found = parse(check(url=url)).checks[0]
    assert (found.host, found.port, found.path, found.host_header, found.tls_server_name) == (
        host, port, path, header, server_name,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("header", "server_name"),
    [
        ("[fd00:7::247]", "fd00:7::247"),
        ("www.example.org", "www.example.org"),
        ("www.example.org:8443", "www.example.org"),
    ],
)
def test_the_name_in_the_certificate_is_that_of_the_host_header(header, server_name):
    assert parse(check(url="https://127.0.0.1/", host_header=header)).checks[0].tls_server_name == server_name


def test_an_ipv6_url_without_a_port_asks_for_its_address_in_the_certificate():
    assert parse(check(url="https://[fd00:7::247]/")).checks[0].tls_server_name == "fd00:7::247"


@pytest.mark.parametrize("name", ["", ".example.org", "a..b", "x" * 64, "www.example.org:443", "www example"])
def test_a_name_that_no_certificate_could_have_is_refused(name):
    (said,) = problems(check(url="https://127.0.0.1/", tls_server_name=name))
    assert said.startswith("checks[0].tls_server_name: ") and "no name that a certificate could have" in said


def test_a_host_header_that_is_no_name_is_refused_where_tls_needs_one():
    (said,) = problems(check(url="https://127.0.0.1/", host_header=":443"))
    assert said.startswith("checks[0].host_header: ") and "tls_server_name" in said
    assert parse(check(url="http://127.0.0.1/", host_header=":443")).checks[0].host_header == ":443"
    assert parse(check(url="https://127.0.0.1/", host_header=":443", tls_server_name="web")).checks


def test_addresses_have_the_kernels_form():
    config = parse({"instances": [{"name": "VI 1", "addresses": ["192.168.7.246/22", "FD00:7::0246/64"]}]})
    assert config.instances[0].addresses == ["192.168.7.246", "fd00:7::246"]


def test_an_action():
    route = parse(action()).actions[0]
    assert (route.type, route.instance, route.name, route.destination, route.network) == (
        "gcp_route", "VI_1", "floating-ip-route", "10.200.1.1/32", "ip-failover",
    )  # fmt: skip
    # What is left out is kept as it is, or asked of the metadata server.
    assert (route.project, route.priority, route.tags, route.description, route.ca_file) == (None,) * 5
    assert (route.check_interval, route.timeout, route.lease, route.settle) == (10, 60, 20, 1)
    assert route.endpoint == "https://compute.googleapis.com/compute/v1"
    assert route.metadata_url == "http://169.254.169.254"
    url = "https://www.googleapis.com/compute/v1/projects/lab-project/global/networks/ip-failover"
    route = parse(action(network=url, priority=7, tags=["client"], endpoint="http://10.0.0.1:80/compute/v1/")).actions[
        0
    ]
    assert (route.network, route.priority, route.tags, route.endpoint) == (
        "projects/lab-project/global/networks/ip-failover", 7, ["client"], "http://10.0.0.1:80/compute/v1",
    )  # fmt: skip


def test_an_action_for_alias_ranges():
    found = parse(alias()).actions[0]
    assert (found.type, found.instance, found.name, found.ranges, found.peers) == (
        "gcp_alias_ip", "VI_1", "database", ["10.100.9.9/32"], [PEER],
    )  # fmt: skip
    assert (found.range_name, found.interface, found.stop_source, found.ca_file) == (None, "nic0", False, None)
    assert (found.check_interval, found.timeout) == (10, 60)
    assert found.endpoint == "https://compute.googleapis.com/compute/v1"
    assert found.metadata_url == "http://169.254.169.254"
    found = parse(
        alias(
            name="The database, main",
            ranges=["10.100.9.9", "10.100.8.0/24"],
            range_name="",
            interface="nic1",
            peers=[f"https://www.googleapis.com/compute/v1/{PEER}", "projects/example.com:prj-1/zones/z/instances/n"],
            on_source_failure="stop",
        )
    ).actions[0]
    assert (found.name, found.ranges) == ("The database, main", ["10.100.9.9/32", "10.100.8.0/24"])
    assert (found.range_name, found.interface, found.stop_source) == ("", "nic1", True)
    assert found.peers == [PEER, "projects/example.com:prj-1/zones/z/instances/n"]
    both = alias() | {"actions": alias()["actions"] + action()["actions"]}
    assert [each.type for each in parse(both).actions] == ["gcp_alias_ip", "gcp_route"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([], "must be an object, not []"),
        ({"checks": [1]}, "checks[0]: must be an object, not 1"),
        ({"fifos": "/x"}, "fifos: is not a known key"),
        ({"fifo": "x"}, "fifo: must be an absolute path, not 'x'"),
        ({"checks": {}}, "checks: must be a list, not {}"),
        (check(interval_ms="fast"), 'checks[0].interval_ms: must be a whole number, not "fast"'),
        (check(fall=True), "checks[0].fall: must be a whole number, not true"),
        (check(timeout_ms=1), "checks[0].timeout_ms: must be from 10 to 600000, not 1"),
        (check(rise=0), "checks[0].rise: must be from 1 to 1000, not 0"),
        (check(port=80), "checks[0].port: is not a known key"),
        (check(type="ping"), "checks[0].type: must be one of http, tcp, command, not 'ping'"),
        (check(url="ftp://127.0.0.1/"), "checks[0].url: must be like http://127.0.0.1:8080/healthz"),
        (check(url="http://127.0.0.1:70000/"), "checks[0].url: the port must be from 1 to 65535, not 70000"),
        (check(url="http://www.example.com/"), "'www.example.com' is not an IP address; to ask for a name"),
        (check(host_header="a\r\nX: y"), "checks[0].host_header: must be printable ASCII"),
        (check(status=[99]), "checks[0].status: must be a list of HTTP status codes, not [99]"),
        (check(name="../web"), "checks[0].name: '../web' must be 1 to 64 letters"),
        (check(name=""), "checks[0].name: '' must be 1 to 64 letters"),
        ({"checks": [{"name": "a", "type": "command", "command": ["ls"]}]}, "checks[0].command: the program must be"),
        ({"checks": [{"name": "a", "type": "command", "command": []}]}, "checks[0].command: must be a list of texts"),
        ({"checks": [{"name": "a", "type": "tcp"}]}, "checks[0].port: is required"),
        ({"checks": check()["checks"] * 2}, "checks: the name 'web' is used more than once"),
        ({"instances": [{"name": "a", "addresses": ["x"]}]}, 'instances[0].addresses[0]: "x" is not an IP address'),
        (
            action(type="alias"),
            "actions[0].type: must be one of gcp_alias_ip, gcp_route, gcp_route_member, health_port, not 'alias'",
        ),
        (action(name="Route_1"), "actions[0].name: 'Route_1' is no name of a route: 1 to 63 small letters"),
        (action(name=None), "actions[0].name: is required"),
        (action(name=""), "actions[0].name: must be a text in one line, not ''"),
        (action(instance=None), "actions[0].instance: is required"),
        (action(instance="VI_2"), "actions[0].instance: 'VI_2' is none of the instances: VI_1"),
        (action() | {"instances": []}, "actions[0].instance: 'VI_1' is none of the instances: there are none"),
        (action(destination="10.200.1.1"), "actions[0].destination: must be an IPv4 range with its length"),
        (action(destination="10.200.1.1/24"), "actions[0].destination: must be an IPv4 range with its length"),
        (action(destination="10.200.1.1/33"), "actions[0].destination: must be an IPv4 range with its length"),
        (action(destination="fd00::1/128"), "actions[0].destination: must be an IPv4 range with its length"),
        (action(network="global/networks/x"), "actions[0].network: must be a name or like projects/PROJECT/global"),
        (action(network="projects/5/global/networks/x"), "actions[0].network: must be a name or like projects/PROJECT"),
        (action(network=None), "actions[0].network: is required"),
        (action(project="A"), "actions[0].project: 'A' is no id of a project"),
        (
            action(project="service", network="projects/host/global/networks/x"),
            "actions[0].project: must be that of the network, host, or be left out, and not 'service'",
        ),
        (action(priority=0), "actions[0].priority: must be from 1 to 65535, not 0"),
        (action(priority=65536), "actions[0].priority: must be from 1 to 65535, not 65536"),
        (action(priority="1"), 'actions[0].priority: must be a whole number, not "1"'),
        (action(tags=["Client"]), "actions[0].tags: must be a list of network tags"),
        (action(endpoint="compute.googleapis.com"), "actions[0].endpoint: must be like https://compute.googleapis.com"),
        (action(endpoint="https://a/b?c=d"), "actions[0].endpoint: must be like https://compute.googleapis.com"),
        (action(metadata_url="http://u@x"), "actions[0].metadata_url: must be like http://169.254.169.254, not"),
        (action(ca_file="ca.pem"), "actions[0].ca_file: must be an absolute path, not 'ca.pem'"),
        (action(check_interval_s=0), "actions[0].check_interval_s: must be from 1 to 3600, not 0"),
        (action(timeout_s=1), "actions[0].timeout_s: must be from 5 to 3600, not 1"),
        (action(lease_s=0), "actions[0].lease_s: must be from 1 to 600, not 0"),
        (action(settle_ms=-1), "actions[0].settle_ms: must be from 0 to 60000, not -1"),
        (action(next_hop="x"), "actions[0].next_hop: is not a known key"),
        (
            action() | {"actions": action()["actions"] * 2},
            "actions: the name 'floating-ip-route' is used more than once",
        ),
        (alias(name="a\nb"), "actions[0].name: must be a text in one line, not 'a\\nb'"),
        (alias(name=" "), "actions[0].name: must be a text in one line, not ' '"),
        (alias(name=5), "actions[0].name: must be a text, not 5"),
        (alias(name=None), "actions[0].name: is required"),
        (alias(instance="VI_2"), "actions[0].instance: 'VI_2' is none of the instances: VI_1"),
        (alias(ranges=None), "actions[0].ranges: is required"),
        (alias(ranges=[]), "actions[0].ranges: must not be empty"),
        (alias(ranges="10.100.9.9"), 'actions[0].ranges: must be a list, not "10.100.9.9"'),
        (alias(ranges=["10.100.9.9", 7]), "actions[0].ranges[1]: must be an IPv4 address, or a range with its length"),
        (alias(ranges=["224.0.0.5"]), "ranges[0]: 224.0.0.5/32 is in 224.0.0.0/4 (multicast)"),
        (action(destination="127.0.0.1/32"), "destination: '127.0.0.1/32' is in 127.0.0.0/8"),
        (alias(ranges=["10.100.9.9/24"]), 'no bits beyond that, such as 10.100.9.0/28, not "10.100.9.9/24"'),
        (alias(ranges=["10.100.9.9/33"]), "actions[0].ranges[0]: must be an IPv4 address"),
        (alias(ranges=["10.100.9.300"]), "actions[0].ranges[0]: must be an IPv4 address"),
        (alias(ranges=["fd00::1/128"]), "actions[0].ranges[0]: must be an IPv4 address"),
        (alias(ranges=["10.1.1.1", "10.1.1.1/32"]), "actions[0].ranges[1]: 10.1.1.1/32 overlaps 10.1.1.1/32"),
        (alias(ranges=["10.1.1.1", "10.1.1.0/24"]), "actions[0].ranges[1]: 10.1.1.0/24 overlaps 10.1.1.1/32"),
        (alias(range_name="Pods"), "actions[0].range_name: 'Pods' is no name of a secondary range: 1 to 63 small"),
        (alias(range_name=1), "actions[0].range_name: must be a text, not 1"),
        (alias(interface="eth0"), "actions[0].interface: must be like nic0, not 'eth0'"),
        (alias(peers=None), "actions[0].peers: is required"),
        (alias(peers=[]), "actions[0].peers: must not be empty"),
        (alias(peers=["node2"]), "actions[0].peers[0]: must be like projects/PROJECT/zones/ZONE/instances/NAME, not"),
        (alias(peers=[PEER, "projects/5/zones/z/instances/n"]), "actions[0].peers[1]: must be like projects/PROJECT"),
        (alias(peers=[f"{PEER}/x"]), "actions[0].peers[0]: must be like projects/PROJECT"),
        (alias(peers=[5]), "actions[0].peers[0]: must be like projects/PROJECT/zones/ZONE/instances/NAME, not 5"),
        (alias(peers=[PEER, PEER]), f"actions[0].peers[1]: {PEER} is there twice"),
        (alias(on_source_failure="kill"), "actions[0].on_source_failure: must be one of fail, stop, not 'kill'"),
        (alias(check_interval_s=0), "actions[0].check_interval_s: must be from 1 to 3600, not 0"),
        (alias(timeout_s=1), "actions[0].timeout_s: must be from 5 to 3600, not 1"),
        (alias(endpoint="compute.googleapis.com"), "actions[0].endpoint: must be like https://compute.googleapis.com"),
        (alias(metadata_url="http://u@x"), "actions[0].metadata_url: must be like http://169.254.169.254, not"),
        (alias(ca_file="ca.pem"), "actions[0].ca_file: must be an absolute path, not 'ca.pem'"),
        (alias(destination="10.200.1.1/32"), "actions[0].destination: is not a known key"),
        (action(ranges=["10.200.1.1"]), "actions[0].ranges: is not a known key"),
        ({"keepalived": "no"}, 'keepalived: must be true or false, not "no"'),
        ({"keepalived": False, "instances": [{"name": "VI_1"}]}, "instances: must be empty without keepalived"),
        (action() | {"keepalived": False, "instances": []}, "actions[0].instance: 'VI_1' is none of the instances"),
        (member(instance="VI_1"), "actions[0].instance: is not a known key"),
        (member(members=None), "actions[0].members: is required"),
        (member(members=[]), "actions[0].members: must not be empty"),
        (member(members=[PEER]), f'actions[0].members[0]: must be an object, not "{PEER}"'),
        (
            member(members=[{"instance": "node2"}]),
            "actions[0].members[0].instance: must be like projects/PROJECT/zones",
        ),
        (member(members=[{"priority": 5}]), "actions[0].members[0].instance: is required"),
        (member(members=[{"instance": PEER}] * 2), f"actions[0].members[1].instance: {PEER} is there twice"),
        (
            member(members=[{"instance": PEER, "priority": 65535}]),
            "actions[0].members[0].priority: must be from 0 to 65534, not 65535",
        ),
        (member(members=[{"instance": PEER, "weight": 1}]), "actions[0].members[0].weight: is not a known key"),
        (member(hold_back="no"), 'actions[0].hold_back: must be true or false, not "no"'),
        (member(name="Web"), "actions[0].name: 'Web' is no name of a route: 1 to 63 small letters"),
        (member(destination="10.200.1.1"), "actions[0].destination: must be an IPv4 range with its length"),
    ],
)
def test_mistakes_name_the_key(data, expected):
    assert [line for line in problems(data) if line.startswith(expected) or expected in line]


def test_all_mistakes_are_told_at_once():
    assert len(problems(check(fall=0, rise=0, name="-") | {"fifo": 7})) == 4
    assert problems(alias(ranges=["x"], peers=[PEER, "y"], interface="z", instance="VI_2", timeout_s=1)) == [
        "actions[0].ranges[0]: must be an IPv4 address, or a range with its length and no bits beyond that, such as "
        '10.100.9.0/28, not "x"',
        "actions[0].interface: must be like nic0, not 'z'",
        'actions[0].peers[1]: must be like projects/PROJECT/zones/ZONE/instances/NAME, not "y"',
        "actions[0].instance: 'VI_2' is none of the instances: VI_1",
        "actions[0].timeout_s: must be from 5 to 3600, not 1",
    ]


def test_the_file_is_named(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(ConfigError, match="No such file"):
        load(str(path))
    path.write_text("{")
    with pytest.raises(ConfigError, match=f"{path}: not JSON"):
        load(str(path))
    path.write_text('{"fifo": 1, "x": 1}')
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    assert [line.startswith(f"{path}: ") for line in str(caught.value).splitlines()] == [True, True]
