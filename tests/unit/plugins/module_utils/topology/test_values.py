# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.topology.values import (
    _nginx_tokens,
    nginx_quote,
    python_problems,
    value_problems,
)


@pytest.mark.parametrize(
    "given",
    [
        {"nginx_port": 80},
        {"nginx_port": "8080"},
        {"nginx_listen_addresses": ["192.0.2.1", "fd00::1"]},
        {"nginx_server_name": "www.example.org *.example.org ~^(www|shop)\\d+\\.example\\.org$"},
        {"nginx_node_name": 'the node 1 ("front"; it\'s #1)'},
        {"nginx_health_path": "/healthz?full=1&x={y}"},
        {"nginx_listen_addresses": ["127.0.0.1"], "nginx_drain_path": "", "vip_agent_verdict_lasts_s": "3"},
        {"nginx_drain_path": "/lvs-check", "nginx_drain_file": "/run/drained"},
        {"health_check_checks": [{"name": "app", "url": "http://www.example.org/x?y=z"}]},
        {"drill_url": ["", "udp://192.0.2.1:7", "https://user:password@[2001:db8::1]:8443/x?y=z"]},
        {"drill_topology": "a pair by another name"},
        {"drill_service": "web@1.service"},
        {"drill_service": "dev-disk-by\\x2duuid.mount"},
        {"drill_addresses": ["192.0.2.1/24", "2001:db8::1/64"]},
        {"vip_agent_memory_max": "1.5G"},
        {"vip_agent_fifo": "/run/cloudha-vip/notify"},
        {"vip_agent_python": "/opt/python-3.12/bin/python3.12"},
        {"vip_interface": ["eth0.100", "br-lan", "wlp0s20f3"]},
        {
            "health_check_checks": [
                {"name": "app", "tcp": "[::1]:5432", "restart": "app", "process": "my app", "weight": 1}
            ]
        },
    ],
)
def test_what_users_write_is_taken(given):
    assert value_problems(given) == []


TWICE = "more than once; leave out all but one"
UNASKED = "is no URL that the script can ask; write it like http://127.0.0.1:8080/healthz?full=1, with no user"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"nginx_port": "0"}, "nginx_port is '0'; use 1 to 65535"),
        ({"nginx_port": "٨٠"}, "nginx_port is '٨٠'; use 1 to 65535"),
        (
            {"nginx_listen_addresses": ["192.0.2.1", "192.0.2.1/24"]},
            "nginx_listen_addresses[1] is '192.0.2.1/24'; write an address without a length, such as 192.0.2.10",
        ),
        ({"nginx_listen_addresses": 2 * ["192.0.2.1"]}, f"nginx_listen_addresses has 192.0.2.1 {TWICE}"),
        ({"nginx_listen_addresses": ["fd00::1", "fd00:0::1"]}, f"nginx_listen_addresses has fd00::1 {TWICE}"),
        (
            {"vip_agent_verdict_lasts_s": 2},
            "vip_agent_verdict_lasts_s is '2', which a mere restart of the agent would outlast; give 3 seconds or more",
        ),
        ({"health_check_checks": [{"url": "http://127.0.0.1?live=1"}]}, f"health_check_checks[0].url {UNASKED}"),
        ({"health_check_checks": [{"url": "http://user@127.0.0.1/"}]}, f"health_check_checks[0].url {UNASKED}"),
        ({"health_check_checks": [{"url": "https://127.0.0.1/"}]}, f"health_check_checks[0].url {UNASKED}"),
        (
            {"drill_addresses": ["fe80::1%eth0"]},
            "drill_addresses[0] is 'fe80::1%eth0'; leave out the % and what follows",
        ),
        (
            {"drill_topology": "../x"},
            "drill_topology is '../x'; use at most 100 characters, no / and no control characters",
        ),
        ({"health_check_user": "root root"}, "health_check_user is 'root root'; write the name of a user"),
        (
            {"health_check_checks": [{"name": "../x"}]},
            "health_check_checks[0].name is '../x'; use letters, digits and . _ - only, and begin with none of . -",
        ),
        (
            {"lvs_real_server_drain_file": "x" * 100},
            f"lvs_real_server_drain_file is '{'x' * 60}...'; "
            "write an absolute path of letters, digits and . / @ + : , = ~ _ - only",
        ),
        (
            {"health_check_checks": ["app"]},
            "health_check_checks[0] is not a dictionary; write the options as the role's documentation shows",
        ),
    ],
)
def test_what_is_something_else_is_named(given, problem):
    assert value_problems(given) == [problem]


def test_a_url_is_not_shown_as_it_may_have_a_password():
    assert "hunter2" not in str(value_problems({"drill_url": "http://user:hunter2@x y/"}))


def test_an_option_without_a_check_is_an_error_of_the_role():
    with pytest.raises(KeyError):
        value_problems({"nginx_something": 1})


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["location /x {", "    return 200;", "}"],
        ['location = /name { return 200 "$server_name; } {"; }'],
        ["map $arg_colour $answer { default grey; blue sky; }", "# a comment with ' and }"],
        ["if (-f /run/cloudha-vip-drained) { return 503; }"],
        ['if ($arg_x = "a b") { return 200 ${arg_x}y; }'],
        ["location ~ \\.(png|jpg)$ { expires 1d; }", "set $x 'a\\'b';"],
    ],
)
def test_whole_lines_of_nginx_are_taken(lines):
    assert value_problems({"nginx_server_extra": lines}) == []


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["return 200;", "}"], "ends a block that it did not begin"),
        (["location / {"], "begins a block that it does not end"),
        (["return 200"], "does not end; end it with ;"),
        (["location / { return 200 }"], "does not end before a }"),
        (['return 200 "x;'], "a quote is not closed"),
        (["return 200 'x\"y;"], "a quote is not closed"),
        (["return\0 200;"], "a control character"),
        ([f"return 200 {'x' * 5000};"], "more than 4,000 bytes"),
    ],
)
def test_lines_that_change_what_follows_are_refused(lines, problem):
    (found,) = value_problems({"nginx_http_extra": lines})
    assert found.startswith("nginx_http_extra ") and problem in found


@pytest.mark.parametrize(
    "word", ["x", '"', "'", ";", "#", "}", "{", "\\", "a b", "a\nb", "\\n", '\\"', "$x", "a" * 300, "é"]
)
def test_a_quoted_word_is_one_word_with_the_same_meaning(word):
    quoted = nginx_quote(word)
    assert list(_nginx_tokens(f"{quoted};")) == [("word", quoted), ("end", ";")]
    inner = quoted[1:-1] if quoted.startswith('"') else quoted
    # nginx takes a backslash away before a quote and before another one; \\n would be a line break.
    meant, position = "", 0
    while position < len(inner):
        if inner[position] == "\\":
            position += 1
            assert inner[position] in '\\"'
        meant += inner[position]
        position += 1
    assert meant == word


def test_a_plain_word_stays_as_it_is():
    assert nginx_quote("www.example.org") == "www.example.org"


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("3.9.0", ""),
        ("3.10.1", ""),
        ("4.0.0", ""),
        ("3.9", ""),
        ("3.8.10", "is Python 3.8.10"),
        ("2.7.18", "is Python 2.7.18"),
    ]
    + [(nothing, "cannot be run") for nothing in ("", "no Python")],
)
def test_which_python_is_too_old(version, says):
    found = python_problems(version, "/usr/bin/python3", "node1", "the guard", "the_option")
    needs = "and the guard needs Python 3.9 or newer; give the path of one as the_option"
    assert found == ([f"/usr/bin/python3 on node1 {says}, {needs}"] if says else [])
