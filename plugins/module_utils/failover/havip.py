# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cloud's highly available virtual IP: reserved, and bound to the members that may hold it.

What the clouds have in common is here: what is wanted, what is there, and in which order it is changed. How a cloud
notes down that a member is bound is in havip_ports.py and havip_ucloudstack.py.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol
else:
    Protocol = object


class PortsApi(Protocol):
    """What is needed of a client of Neutron, and of Huawei Cloud, whose API is like it. Errors are those of errors.py.

    A port is a dictionary with the API's own names: id, name, description, network_id, mac_address, fixed_ips
    [{subnet_id, ip_address}], device_id, device_owner, port_security_enabled, allowed_address_pairs [{ip_address,
    mac_address}] and, where the API has it, revision_number. A subnet: id, name, network_id, cidr.
    An external address (floating IP, EIP) is {id, address, port_id, fixed_ip, revision_number}, "" and None for none.
    """

    def list_networks(self) -> list[dict[str, Any]]:
        """Those that the caller can see: id, name."""

    def list_subnets(self) -> list[dict[str, Any]]:
        """Those that the caller can see."""

    def list_ports(self, network_id: str) -> list[dict[str, Any]]:
        """All ports of the network."""

    def list_servers(self) -> list[dict[str, Any]]:
        """The project's servers: id, name."""

    def list_external(self) -> list[dict[str, Any]]:
        """The project's external addresses."""

    def create_port(self, body: dict[str, Any]) -> dict[str, Any]: ...

    def update_port(self, port_id: str, body: dict[str, Any], revision: int | None = None) -> None:
        """Changes only the keys of body. With a revision, raises Stale if the port has another one by now."""

    def delete_port(self, port_id: str, revision: int | None = None) -> None: ...

    def get_port(self, port_id: str) -> dict[str, Any]: ...

    def set_external(self, external: dict[str, Any], port_id: str | None, fixed_ip: str | None) -> None:
        """Attaches an external address, as it was listed, to a port's address; or with None detaches it."""


class UCloudStackApi(Protocol):
    """What is needed of a client of UCloudStack. Errors are those of errors.py.

    Dictionaries have the API's own names (VIPInfo, VMInstanceInfo, NICInfo, SubnetInfo). Lists are whole: the client
    reads all pages. The client knows the region and, where they are set, the company and the project.
    """

    def describe_vips(self) -> list[dict[str, Any]]: ...

    def describe_vms(self) -> list[dict[str, Any]]: ...

    def describe_nics(self) -> list[dict[str, Any]]: ...

    def describe_subnets(self, vpc_id: str) -> list[dict[str, Any]]:
        """The subnets of a VPC: SubnetID, Name, Network (in CIDR notation). NotFound if there is no such VPC."""

    def allocate_vip(self, parameters: dict[str, Any]) -> str:
        """AllocateVIP with these parameters (Name, VIPType, VPCID, SubnetID, IP, …); returns the VIPID."""

    def update_vip_bind_resource(self, vip_id: str, resource_type: str, resource_ids: list[str]) -> None:
        """Replaces the whole list of resources (VM or ELASTIC_NIC); an empty one unbinds all."""

    def modify_name_and_remark(self, resource_id: str, name: str, remark: str | None) -> None:
        """Remark None: not sent, and so left as it is."""

    def release_vip(self, vip_id: str) -> None: ...
