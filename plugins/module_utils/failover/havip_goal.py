# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wanted of a virtual IP, what it and its members are, and what is needed of the clouds' clients."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol
else:
    Protocol = object

READY, BUSY, FAILED = "ready", "busy", "failed"
# Where nothing tells that a list was changed since it was read, a writer may overwrite what another one has written.
# So a run ends only when the list has stayed as it is for so many seconds: longer than any writer needs between
# reading and writing it.
SETTLE = 1.0


class PortsApi(Protocol):
    """What is needed of a client of Neutron, and of Huawei Cloud, whose API is like it. Errors: see base/errors.py.

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
    """What is needed of a client of UCloudStack. Errors are those of base/errors.py.

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


class Goal:
    """What is wanted. An attribute that is None is left as it is.

    vip_id, address, name: which virtual IP; the first of them that is given decides, and a name that differs is
    changed. network, subnet: where, by id or name. kind: internal or external. members: who shall be bound, each by an
    id, an address or a name. exclusive: nobody else. external: the external address to attach, by id or address; "":
    none. restore_check: whether a member that is unbound gets its source/destination check back, unless another
    virtual IP needs it off. unchecked: whose check is off, too, without being bound; with restore_check on again when
    the virtual IP is deleted. limits: how many members a virtual IP, and virtual IPs a member, may have; None: any
    number. enforce: refuse what is beyond the limits, and not only say so. creation: more parameters for who creates
    it, with the API's names. settle: see SETTLE.
    """

    def __init__(
        self,
        *,
        present: bool = True,
        vip_id: str | None = None,
        address: str | None = None,
        name: str | None = None,
        remark: str | None = None,
        network: str | None = None,
        subnet: str | None = None,
        kind: str | None = None,
        members: Sequence[str] | None = None,
        exclusive: bool = False,
        external: str | None = None,
        restore_check: bool = False,
        unchecked: Sequence[str] = (),
        limits: tuple[int | None, int | None] = (None, None),
        enforce: bool = True,
        creation: dict[str, Any] | None = None,
        settle: float = SETTLE,
    ) -> None:
        self.present = present
        self.vip_id = vip_id
        self.address = address
        self.name = name
        self.remark = remark
        self.network = network
        self.subnet = subnet
        self.kind = kind
        self.members = None if members is None else list(dict.fromkeys(members))
        self.exclusive = exclusive
        self.external = external
        self.restore_check = restore_check
        self.unchecked = list(dict.fromkeys(unchecked))
        self.limits = limits
        self.enforce = enforce
        self.creation = creation or {}
        self.settle = settle

    def label(self) -> str:
        return self.address or self.name or self.vip_id or ""


class Member:
    """Who may hold the address: a port or a machine. data: as the API has it; {} if it is not there any more."""

    __slots__ = ("address", "data", "id", "name")

    def __init__(self, id: str, name: str = "", address: str = "", data: dict[str, Any] | None = None) -> None:  # noqa: A002
        self.id = id
        self.name = name
        self.address = address
        self.data = data or {}

    def __str__(self) -> str:
        name = self.name or self.id
        return f"{name} ({self.address})" if self.address not in ("", name) else name


class Vip:
    """A virtual IP that is there. status: READY, BUSY or FAILED. members: by their ids. external: as the API has it."""

    __slots__ = (
        "address",
        "data",
        "external",
        "id",
        "kind",
        "members",
        "name",
        "network",
        "reason",
        "remark",
        "status",
        "subnet",
    )

    def __init__(
        self,
        id: str,  # noqa: A002
        address: str,
        name: str = "",
        remark: str = "",
        network: str = "",
        subnet: str = "",
        kind: str = "internal",
        status: str = READY,
        reason: str = "",
        data: dict[str, Any] | None = None,
    ) -> None:
        self.id = id
        self.address = address
        self.name = name
        self.remark = remark
        self.network = network
        self.subnet = subnet
        self.kind = kind
        self.status = status
        self.reason = reason
        self.data = data or {}
        self.members: dict[str, Member] = {}
        self.external: list[dict[str, Any]] = []

    def __str__(self) -> str:
        return f"{self.address or self.name or 'new'} ({self.id})" if self.id else self.address or self.name
