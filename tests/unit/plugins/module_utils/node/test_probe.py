# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packets. That they work on a network is tested in tests/node."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.node import probe

OWN = bytes.fromhex("525400000001")
OTHER = bytes.fromhex("5254000000fe")
VIP4 = ipaddress.ip_address("192.168.7.246")
VIP6 = ipaddress.ip_address("fd00:7::246")


def arp(operation=2, mac=OTHER, sender=VIP4.packed, hardware=1):
    head = struct.pack("!HHBBH", hardware, 0x0800, 6, 4, operation)
    return head + mac + sender + OWN + bytes(4)


def advertisement(options, kind=136):
    return struct.pack("!BBHI", kind, 0, 0, 0x60000000) + VIP6.packed + options


def test_an_arp_probe_names_no_sender():
    packet = probe.arp_probe(OWN, VIP4)
    assert packet == bytes.fromhex("0001080006040001" + "525400000001" + "00000000" + "000000000000" + "c0a807f6")


@pytest.mark.parametrize("operation", [1, 2])
def test_a_reply_and_an_announcement_both_claim_the_address(operation):
    assert probe.parse_arp(arp(operation)) == (VIP4, "52:54:00:00:00:fe")


@pytest.mark.parametrize(
    "packet",
    [arp(1, sender=bytes(4)), arp(3), arp(hardware=6), arp()[:20], b"", probe.arp_probe(OTHER, VIP4)],
    ids=["a probe", "reverse ARP", "not Ethernet", "cut off", "empty", "the probe of a peer"],
)
def test_what_claims_nothing(packet):
    assert probe.parse_arp(packet) is None


def test_a_solicitation_carries_the_way_back():
    packet = probe.solicitation(OWN, VIP6)
    assert packet[0] == 135
    assert packet[8:24] == VIP6.packed
    assert packet[24:] == bytes((1, 1)) + OWN


def test_an_advertisement_with_another_option_before_the_address():
    nonce = bytes((14, 1)) + bytes(6)
    assert probe.parse_advertisement(advertisement(nonce + bytes((2, 1)) + OTHER)) == (VIP6, "52:54:00:00:00:fe")


@pytest.mark.parametrize(
    "packet",
    [advertisement(b""), advertisement(bytes((2, 0)) + OTHER), advertisement(bytes((2, 1)) + OTHER, kind=135), b"\x88"],
    ids=["no address", "an option of no length", "a solicitation", "cut off"],
)
def test_what_advertises_nothing(packet):
    assert probe.parse_advertisement(packet) is None


def test_an_interface_which_is_not_there_is_named_with_those_that_are():
    with pytest.raises(probe.ProbeError, match=r"no interface none0; the node has .*\blo\b"):
        probe.probe([VIP4], "none0")
