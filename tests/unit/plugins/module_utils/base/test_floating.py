# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which addresses can be floating ones."""

from __future__ import annotations

import ipaddress

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.floating import check_floating, never_floats


def said(text):
    network = ipaddress.ip_network(text)
    return never_floats(int(network[0]), int(network[-1]), network.version)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.0.0.0/32", "is in 0.0.0.0/8 (no address of a host)"),
        ("0.255.255.255/32", "is in 0.0.0.0/8"),
        ("127.0.0.0/8", "is in 127.0.0.0/8"),
        ("169.254.169.254/32", "is in 169.254.0.0/16 (link-local)"),
        ("224.0.0.0/4", "is in 224.0.0.0/4 (multicast)"),
        ("239.255.255.255/32", "is in 224.0.0.0/4"),
        ("255.255.255.255/32", "is in 255.255.255.255/32 (broadcast)"),
        ("0.0.0.0/0", "has addresses of 0.0.0.0/8"),
        ("126.0.0.0/7", "has addresses of 127.0.0.0/8"),
        ("240.0.0.0/4", "has addresses of 255.255.255.255/32"),
        ("::/128", "is in ::/127"),
        ("::1/128", "is in ::/127"),
        ("fe80::1/128", "is in fe80::/10 (link-local)"),
        ("febf:ffff::/32", "is in fe80::/10"),
        ("ff02::12/128", "is in ff00::/8 (multicast)"),
        ("::/0", "has addresses of ::/127"),
    ],
)
def test_what_can_never_float(text, words):
    assert said(text).startswith(words) and said(text).endswith("where no client reaches a host: choose another one")


@pytest.mark.parametrize(
    "text",
    [
        *("1.0.0.0/32", "10.200.1.1/32", "126.255.255.255/32", "128.0.0.0/8", "169.253.255.255/32", "169.255.0.0/16"),
        *("223.255.255.255/32", "240.0.0.1/32", "255.255.255.254/32", "::2/128", "2001:db8::1/128", "fd00::/8"),
    ],
)
def test_what_can(text):
    assert said(text) == ""


def test_the_sentence():
    check_floating("10.200.1.1/32", 0x0AC80101, 0x0AC80101)
    with pytest.raises(ValueError, match=r"^'127.0.0.1/32' is in 127.0.0.0/8 \(each host's own loopback\), where"):
        check_floating("127.0.0.1/32", 0x7F000001, 0x7F000001)
