# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cloud's highly available virtual IP: reserved, and bound to the members that may hold it.

What the clouds have in common is here: what is wanted, what is there, and in which order it is changed. How a cloud
notes down who is bound is in havip_ports.py and havip_ucloudstack.py. Rules, which docs/havip.md explains, and which
the tests check after each request:

1. Everything that can be checked is checked before anything is changed.
2. A binding is merged into what is there. What others have bound is taken away only when that is asked for, and what
   has nothing to do with this address never.
3. Where the API compares revisions, a change is made to what was seen, or not at all. Elsewhere the list is read
   immediately before it is written, and looked at until it has stayed as it is for a while.
4. External addresses are detached before members are unbound, and all members are before a virtual IP is deleted.
   Otherwise members would answer to an address that the cloud may give to somebody else.
5. There is nothing to clean up after a run that was killed: whatever it left is the beginning of the next one.
"""

from __future__ import annotations

import functools
import ipaddress

from ..base.errors import AlreadyExists
from .engine import Pause, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence
    from typing import Any, Protocol

    from .engine import Memory
else:
    Protocol = object

CREATE = "create virtual IP"
UPDATE = "update virtual IP"
DELETE = "delete virtual IP"
BIND = "bind member"
UNBIND = "unbind member"
MEMBERS = "update members"
CHECK_OFF = "switch source/destination check off"
CHECK_ON = "switch source/destination check on"
ATTACH = "attach external address"
DETACH = "detach external address"

READY, BUSY, FAILED = "ready", "busy", "failed"
POLL = 1.0  # seconds between two looks at a virtual IP that the cloud is busy with
# Where nothing tells that a list was changed since it was read, a writer may overwrite what another one has written.
# So a run ends only when the list has stayed as it is for so many seconds: longer than any writer needs between
# reading and writing it.
SETTLE = 1.0
_BINDING = (BIND, UNBIND, MEMBERS, CHECK_OFF, CHECK_ON)


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


class Survey:
    """What is there. vips: all that can be seen. vip: the one that is meant, if it is there. wanted: the members that
    the goal names. loose: who still allows the address although it is no virtual IP any more. external: the external
    address that the goal names. locked: whether the API compares revisions.
    """

    def __init__(self, goal: Goal) -> None:
        self.goal = goal
        self.vips: list[Vip] = []
        self.vip: Vip | None = None
        self.wanted: list[Member] = []
        self.loose: list[Member] = []
        self.external: dict[str, Any] | None = None
        self.network = ""  # its id
        self.subnet: dict[str, Any] = {}
        self.locked = False
        self.signature: Hashable = None  # of all that says who is bound
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def target(self) -> dict[str, Member]:
        """Who shall be bound."""
        if not self.goal.present:
            return {}
        wanted = {member.id: member for member in self.wanted}
        if self.goal.members is not None and self.goal.exclusive:
            return wanted
        return {**(self.vip.members if self.vip else {}), **wanted}

    def attach(self) -> dict[str, Any] | None:
        """The external address that is to be attached."""
        here = {each["id"] for each in self.vip.external} if self.vip else set()
        return self.external if self.goal.present and self.external and self.external["id"] not in here else None

    def detach(self) -> list[dict[str, Any]]:
        """The external addresses that are to be detached."""
        if not self.vip or (self.goal.present and self.goal.external is None):
            return []
        keep = self.external["id"] if self.goal.present and self.external else None
        return [each for each in self.vip.external if each["id"] != keep]

    def state(self) -> str:
        """In a sentence, what is there."""
        if self.vip is None:
            text = f"there is no virtual IP {self.goal.label()}"
            return f"{text}, but {_listed(self.loose)} may use its address" if self.loose else text
        text = f"virtual IP {self.vip} is bound to {_listed(self.vip.members.values()) or 'nobody'}"
        addresses = ", ".join(each["address"] for each in self.vip.external)
        return f"{text}, with the external address {addresses}" if addresses else text

    def to_diff(self) -> dict[str, Any]:
        vip = self.vip
        if vip is None:
            return {"members": sorted(map(str, self.loose))} if self.loose else {}
        return {
            "id": vip.id,
            "address": vip.address,
            "name": vip.name,
            "remark": vip.remark,
            "members": sorted(map(str, vip.members.values())),
            "external": sorted(each["address"] for each in vip.external),
        }

    def wanted_diff(self) -> dict[str, Any]:
        """to_diff() of the wanted state."""
        goal = self.goal
        if not goal.present:
            return {}
        before = self.to_diff() if self.vip else {"id": None, "address": goal.address, "name": "", "remark": ""}
        external = {each["id"]: each["address"] for each in self.vip.external} if self.vip else {}
        for each in self.detach():
            del external[each["id"]]
        if self.external:
            external[self.external["id"]] = self.external["address"]
        return {
            **before,
            "name": before["name"] if goal.name is None else goal.name,
            "remark": before["remark"] if goal.remark is None else goal.remark,
            "members": sorted(map(str, self.target().values())),
            "external": sorted(external.values()),
        }


class Havip:
    """The procedure. What is a cloud's own is in its subclasses: look(), and the steps that create, change and delete.

    look() fills in all of a Survey but vip and what choose() does.
    """

    def look(self, client: Any, goal: Goal, memory: Memory) -> Survey:
        raise NotImplementedError

    def create(self, s: Survey) -> Step:
        raise NotImplementedError

    def update(self, s: Survey, vip: Vip, name: str, remark: str | None) -> Step:
        raise NotImplementedError

    def delete(self, vip: Vip) -> Step:
        raise NotImplementedError

    def rebind(self, s: Survey, vip: Vip, target: dict[str, Member]) -> Iterator[Step]:
        """What is to be done so that these members are bound, and no others."""
        raise NotImplementedError

    def external(self, vip: Vip, external: dict[str, Any], attach: bool) -> Step:
        raise NotImplementedError

    def release(self, s: Survey) -> Iterator[Step]:
        """Unbind those who allow an address that is no virtual IP any more."""
        return iter(())

    def complaints(self, s: Survey) -> list[str]:
        """What is wrong with what is there, and what to do about it."""
        said = [
            f"virtual IP {vip} failed: {vip.reason}; delete it, and create it again"
            for vip in s.vips
            if vip.status == FAILED
        ]
        for vip in s.vips:
            if len(vip.members) < 2:
                who = _listed(vip.members.values()) or "nobody"
                said.append(f"virtual IP {vip} is bound to {who}: nobody can take it over; bind another member")
        return said

    def observe(self, client: Any, goal: Goal, memory: Memory) -> Survey:
        s = self.look(client, goal, memory)
        if s.vip and not goal.present:
            # Whoever makes another one of this name or address meanwhile keeps it.
            memory.facts["vip"] = (s.vip.id, s.vip.address)
        seen = memory.facts.get("sight")
        since = None  # when the look ended that saw it first; unknown until the next one
        if seen and seen[0] == s.signature:
            since = memory.now if seen[1] is None else seen[1]
        memory.facts["sight"] = (s.signature, since)
        return s

    def plan(self, s: Survey, goal: Goal, memory: Memory) -> Iterator[Step | Pause]:
        return self._present(s, goal, memory) if goal.present else self._absent(s, memory)

    @staticmethod
    def wanted_diff(s: Survey) -> dict[str, Any]:
        return s.wanted_diff()

    def _present(self, s: Survey, goal: Goal, memory: Memory) -> Iterator[Step | Pause]:
        vip = s.vip
        if vip is None:
            yield self.create(s)
            # As it will be, for who wants to know all steps.
            vip = Vip("", goal.address or "", goal.name or "", goal.remark or "", s.network)
        elif vip.status == BUSY:
            yield Pause(POLL, f"virtual IP {vip} is {vip.reason}")
        name = vip.name if goal.name is None else goal.name
        if name != vip.name or (goal.remark is not None and goal.remark != vip.remark):
            yield self.update(s, vip, name, goal.remark)
        yield from self.rebind(s, vip, s.target())
        for each in s.detach():
            yield self.external(vip, each, attach=False)
        attach = s.attach()
        if attach:
            yield self.external(vip, attach, attach=True)
        if any(key[0] in _BINDING for key in (*memory.done, *memory.conflicts)):  # type: ignore[index]
            yield from self._settle(s, memory)

    def _absent(self, s: Survey, memory: Memory) -> Iterator[Step | Pause]:
        vip = s.vip
        if vip is None:
            yield from self.release(s)
            return
        if vip.status == BUSY:
            yield Pause(POLL, f"virtual IP {vip} is {vip.reason}")
        for each in s.detach():
            yield self.external(vip, each, attach=False)
        if vip.status != FAILED:  # then nobody is bound to anything that works, and deleting it unbinds them
            yield from self.rebind(s, vip, {})
            yield from self._settle(s, memory)
        yield self.delete(vip)

    def _settle(self, s: Survey, memory: Memory) -> Iterator[Pause]:
        """Wait until what was seen has stayed as it is for long enough."""
        if s.locked:
            return
        since = memory.facts["sight"][1]
        left = s.goal.settle - (0.0 if since is None else memory.now - since)
        if left > 0:
            yield Pause(left, f"whether somebody else changes the members of {s.vip} at the same time")


# --- checks that all clouds have in common


def choose(s: Survey, memory: Memory) -> None:
    """Find the virtual IP that is meant, and say what is wrong with that."""
    goal = s.goal
    mine = memory.facts.get("vip")
    if mine:
        found = [vip for vip in s.vips if vip.id == mine[0]]
    elif goal.vip_id:
        found = [vip for vip in s.vips if vip.id == goal.vip_id]
        if not found and goal.present:
            s.problems.append(f"vip_id: there is no virtual IP {goal.vip_id}{_known(s)}")
    elif goal.address:
        found = [vip for vip in s.vips if vip.address == goal.address]
        twins = [vip for vip in s.vips if goal.name is not None and vip.name == goal.name]
        if not found and twins and goal.present:
            s.problems.append(
                f"address: the virtual IP {goal.name} is {twins[0]}, and the address of one cannot be changed. Leave "
                "out the address, choose another name, or delete that one first"
            )
    else:
        found = [vip for vip in s.vips if vip.name == goal.name]
    if len(found) > 1:
        s.problems.append(
            f"name: {len(found)} virtual IPs are {goal.label()}: {', '.join(map(str, found))}. Say which by "
            "vip_id or address"
        )
    s.vip = found[0] if len(found) == 1 else None
    if s.vip and goal.vip_id and goal.address and s.vip.address != goal.address:
        s.problems.append(
            f"address: the virtual IP {s.vip.id} is {s.vip.address}, and not {goal.address}; the address of one cannot "
            "be changed"
        )
    if s.vip and s.vip.status == FAILED and goal.present:
        s.problems.append(
            f"the cloud says that virtual IP {s.vip} failed: {s.vip.reason}. Delete it (state=absent), and run this "
            "again"
        )


def check_limits(s: Survey, held: dict[str, set[str]]) -> None:
    """held: by a member's id, the addresses of all virtual IPs that the machine has."""
    per_vip, per_member = s.goal.limits
    target = s.target()
    new = [member for member in s.wanted if not (s.vip and member.id in s.vip.members)]
    said = []
    if per_vip is not None and len(target) > per_vip and new:
        said.append(
            f"members: virtual IP {s.vip or s.goal.label()} would have {len(target)} members, and may have {per_vip}"
        )
    for member in new if per_member is not None else ():
        count = len(held.get(member.id, set()) | {s.vip.address if s.vip else s.goal.address or ""})
        if count > per_member:  # type: ignore[operator]
            said.append(f"members: {member} would have {count} virtual IPs, and may have {per_member}")
    (s.problems if s.goal.enforce else s.warnings).extend(said)


def check_external(s: Survey, externals: Iterable[dict[str, Any]]) -> None:
    """Find the external address that is wanted, and say what is wrong with that."""
    goal = s.goal
    if not goal.present or not goal.external:
        return
    externals = list(externals)
    s.external = next((each for each in externals if goal.external in (each["id"], each["address"])), None)
    if s.external is None:
        known = ", ".join(each["address"] for each in externals) or "none"
        s.problems.append(f"external: there is no external address {goal.external} in the project; there are: {known}")
        return
    port = s.external["port_id"]
    if port and not (s.vip and port == s.vip.id):
        s.problems.append(
            f"external: {s.external['address']} is on port {port}"
            + (f" ({s.external['fixed_ip']})" if s.external.get("fixed_ip") else "")
            + "; detach it there first"
        )
    others = [each["address"] for each in s.vip.external if each["id"] != s.external["id"]] if s.vip else []
    if others and not goal.exclusive:
        s.problems.append(
            f"external: virtual IP {s.vip} has the external address {', '.join(others)}, and can have only one; with "
            "exclusive=true that one is replaced"
        )


@functools.lru_cache(4096)  # a network has many ports, and each is compared with each virtual IP
def host(text: str | None) -> str:
    """An address as it is compared: without /32 and /128, and IPv6 in its short form. "" for a network."""
    try:
        interface = ipaddress.ip_interface(str(text).strip())
    except ValueError:
        return ""
    return str(interface.ip) if interface.network.prefixlen == interface.network.max_prefixlen else ""


def inside(address: str, cidr: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False


def taken(address: str) -> AlreadyExists:
    return AlreadyExists(f"There is a virtual IP {address} by now.", resource=address)


def _known(s: Survey) -> str:
    return f"; there are: {', '.join(map(str, s.vips))}" if 0 < len(s.vips) <= 20 else ""


def _listed(members: Iterable[Member]) -> str:
    return ", ".join(sorted(map(str, members)))
