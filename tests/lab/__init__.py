# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: a data centre on one Linux machine, made of real parts.

Rooms, from the ground up:

- ``image``: the disk every machine boots from, cached by the hash of its inputs
- ``keeper``: one process that owns every namespace, mount and process of a lab
- ``fabric``: the layer-2 network: bridge, ports, port security, partitions
- ``vpc``: the layer-3 network: a router that obeys the cloud's API
- ``machine``: systemd machines (nspawn): power, hang, repair
- ``topology``: which machines a topology needs, their addresses, and what the cloud knows of them
- ``site``: a lab as its own inside sees it: the network, and machines that have power or not
- ``gce``, ``api``: the cloud's API, its process in a lab, and how it is told to misbehave
- ``openstack``, ``huaweicloud``: real Keystone and Neutron, and what Huawei documents in front of them
- ``faults``: what can be broken, and mended
- ``inventory``: how Ansible and SSH reach them
- ``lab``: the verbs: up, down, status, fault, repair, clean
- ``cli``: the command line
"""

from __future__ import annotations


class LabError(Exception):
    """What went wrong in the lab, in words its user can act on."""
