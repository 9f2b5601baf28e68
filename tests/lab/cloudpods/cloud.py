# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region's resources and what can be done to them. Every method is called with ``lock`` held."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv4Address
from uuid import uuid4

from lab.cloudpods import world as given
from lab.cloudpods.behaviour import Behaviour
from lab.cloudpods.errors import ApiError, bad_input, bad_status, conflict, missing, nested, not_found, not_here
from lab.cloudpods.identity import Caller, Identity
from lab.cloudpods.names import LONGEST, kept, latin, same
from lab.cloudpods.queries import Row
from lab.cloudpods.tasks import Tasks
from lab.emulation.behaviour import Fault

GROUP = "instancegroup"
_DEFAULT_VPC = "Default"
# What a group may be given when it is made; the real service has more, and ignores what it does not know.
_SETTINGS = ("name", "granularity", "force_dispersion", "zone_id", "service_type", "parent_id", "sched_strategy")


class Cloud:
    """Networks, servers, groups, their members and VIPs, EIPs: rows, the oldest first.

    A row has the columns of its table; what the API shows of it is in the methods that end with ``_view``. A list shows
    a key with a ~ only to who asks for that field. ``on_change`` is called after every change. Two things are left to
    chance, and a test may decide them: ``new_id``, which also decides which EIP of a group goes first, and
    ``bind_order``, in which guests are bound.
    """

    def __init__(self, world: given.World) -> None:
        self.world = world
        self.lock = threading.RLock()
        self.behaviour = Behaviour()
        self.identity = Identity(world)
        self.tasks = Tasks(self.behaviour)
        self.on_change: Callable[[], None] = lambda: None
        self.new_id: Callable[[], str] = lambda: str(uuid4())
        self.bind_order: Callable[[list[Row]], list[Row]] = list
        self._row_id = 0
        self._wires = {network.wire: self.new_id() for network in world.networks}
        more = sorted({network.vpc for network in world.networks} - {vpc.name for vpc in world.vpcs})
        self.vpcs = [self._vpc(each) for each in (*map(given.Vpc, more), *world.vpcs)]
        self.networks = [self._network(each) for each in world.networks]
        self.servers: list[Row] = []
        self.nics: list[Row] = []
        for each in world.servers:
            self._add_server(each)
        self.eips: list[Row] = []
        for eip in world.eips:
            self.add_eip(eip)
        self.groups: list[Row] = []
        self.members: list[Row] = []
        self.vips: list[Row] = []
        for group in world.groups:
            self._add_group(group)

    # --- what there is at first

    def _stamp(self, id_: str = "") -> Row:
        """The columns that everything has which has an id."""
        return {"id": id_ or self.new_id(), **_times()}

    def _owned(self, project: str) -> Row:
        """The columns of what belongs to a project, by id."""
        name = self.identity.project_name(project)
        return {
            "domain_id": "default",
            "freezed": False,
            "is_emulated": False,
            "is_system": False,
            "pending_deleted": False,
            "project": name,
            "project_domain": "Default",
            "project_src": "local",
            "tenant": name,
            "tenant_id": project,
        }

    def _joint(self) -> Row:
        self._row_id += 1
        return {"row_id": self._row_id, **_times()}

    def _vpc(self, vpc: given.Vpc) -> Row:
        return {
            **self._stamp(vpc.id),
            **({"cidr_block": vpc.cidr} if vpc.cidr else {}),
            "external_access_mode": vpc.external_access_mode,
            "name": vpc.name,
            "status": "available",
        }

    def _network(self, network: given.Network) -> Row:
        project = self.identity.projects[network.project or self.world.projects[0].name]
        return {
            **self._stamp(network.id),
            **self._owned(project),
            # Everybody may see it and use it.
            "is_public": True,
            "public_scope": "system",
            "name": network.name,
            "status": "available",
            "guest_ip_start": network.first,
            "guest_ip_end": network.last,
            "guest_ip_mask": network.prefix,
            "guest_gateway": network.gateway,
            "server_type": network.server_type,
            "vpc": network.vpc,
            "vpc_id": next(each["id"] for each in self.vpcs if each["name"] == network.vpc),
            "wire": network.wire,
            "wire_id": self._wires[network.wire],
            **({"alloc_policy": network.alloc_policy} if network.alloc_policy else {}),
            **({"bgp_type": network.bgp_type} if network.bgp_type else {}),
            "~reserved": list(network.reserved),
        }

    def _add_server(self, server: given.Server) -> None:
        project = self.identity.projects[server.project]
        row = {
            **self._stamp(server.id),
            **self._owned(project),
            **({"host": server.host} if server.host else {}),
            "name": server.name,
            "status": server.status,
        }
        self.servers.append(row)
        for index, nic in enumerate(server.nics):
            joint = self._joint()
            number = joint["row_id"]
            mapped = IPv4Address("100.64.127.0") - number
            network = self.find(self.networks, "network", nic.network)
            self.nics.append(
                {
                    **joint,
                    "guest_id": row["id"],
                    "network_id": network["id"],
                    "index": index,
                    "ip_addr": nic.address,
                    "mac_addr": nic.mac,
                    "is_default": nic.is_default,
                    "ifname": f"v{number}",
                    "mapped_ip_addr": str(mapped),
                    "mapped_ip6_addr": f"fc00::fffe:{str(mapped).replace('.', ':')}",
                }
            )

    def add_eip(self, eip: given.Eip) -> None:
        """An EIP that belongs to nobody."""
        network = self.find(self.networks, "network", eip.network)
        project = self.identity.projects[eip.project]
        row = self._new_eip(eip.name, project, network, {"bandwidth": eip.bandwidth}, eip.id)
        self.eips.append({**row, "ip_addr": eip.address, "status": "ready"})

    def _add_group(self, group: given.Group) -> None:
        row = self.create_group(self.identity.projects[group.project], {"name": group.name}, group.id)
        for name in group.servers:
            self._join(row, self.find(self.servers, "server", name))
        for address in group.vips:
            network = self.find(self.networks, "network", group.network)
            self.vips.append(self._vip(row, network, address))

    # --- looking things up

    def find(self, rows: Iterable[Row], keyword: str, key: str, caller: Caller | None = None) -> Row:
        """By id or name; with a caller only what that one may see: 403 for what another project has.

        Names may be ambiguous: see `names.kept`.
        """
        every = list(rows)
        found = [row for row in every if row["id"] == key] or [row for row in every if same(row["name"], key)]
        seen = [row for row in found if caller is None or caller.sees(row)]
        if len(seen) > 1:
            raise ApiError(500, "duplicate entry", "fetchItem: duplicate entry")
        if seen:
            return seen[0]
        if found:
            details = "not enough privilege (require:domain,allow:project:resource:project)"
            raise ApiError(403, "ForbiddenError", f"{details} [tags:[allow] domain:[] project:[] object:[]]")
        raise not_found(keyword, key)

    def members_of(self, group: Row) -> list[Row]:
        """The servers in a group."""
        ids = [each["guest_id"] for each in self.members if each["group_id"] == group["id"]]
        return [server for server in self.servers if server["id"] in ids]

    def vips_of(self, group: Row) -> list[Row]:
        """Its VIPs, the oldest first."""
        return [each for each in self.vips if each["group_id"] == group["id"]]

    def eips_of(self, group: Row) -> list[Row]:
        """The EIPs that say they belong to a group; also those whose association failed. The smallest id first."""
        return sorted((row for row in self.eips if row.get("associate_id") == group["id"]), key=lambda row: row["id"])

    def nics_of(self, server: Row) -> list[Row]:
        """The interfaces of a server."""
        return [each for each in self.nics if each["guest_id"] == server["id"]]

    def ports(self) -> dict[str, tuple[str, ...]]:
        """Which VIPs each server may send from: those of its groups."""
        return {server["name"]: tuple(self._vips_of_server(server)) for server in self.servers}

    def mapped(self) -> dict[str, str]:
        """Which VIP each EIP leads to."""
        addresses = {each["id"]: each["ip_addr"] for each in self.eips if each["ip_addr"]}
        return {addresses[row["eip_id"]]: row["ip_addr"] for row in self.vips if row.get("eip_id") in addresses}

    def _vips_of_server(self, server: Row) -> list[str]:
        groups = {each["group_id"] for each in self.members if each["guest_id"] == server["id"]}
        return [each["ip_addr"] for each in self.vips if each["group_id"] in groups]

    def _named(self, rows: Iterable[Row], id_: str) -> str:
        return next(each["name"] for each in rows if each["id"] == id_)

    def _network_of(self, group: Row) -> Row | None:
        """That of its VIPs and of its members; None if it has neither; refused if they do not agree."""
        ids = {each["network_id"] for each in self.vips_of(group)}
        for server in self.members_of(group):
            nics = self.nics_of(server)
            if len(nics) != 1:
                details = f"guest ({server['name']}) has {len(nics)} networks"
                raise bad_status(f"getAttachedNetwork: {details}: InvalidStatusError")
            ids.add(nics[0]["network_id"])
        if len(ids) > 1:
            details = "inconsistent networkId for member servers"
            raise bad_status(f"getAttachedNetwork: {details}: InvalidStatusError")
        return next((each for each in self.networks if each["id"] in ids), None)

    # --- what the API shows

    def group_view(self, group: Row) -> Row:
        """A group with what belongs to it."""
        members, vips, eips = self.members_of(group), self.vips_of(group), self.eips_of(group)
        try:
            network = self._network_of(group)
        except ApiError:
            network = None
        return {
            **group,
            "can_delete": not members and not eips,
            "can_update": True,
            "guest_count": len(members),
            **({"network": network["name"], "network_id": network["id"]} if network else {}),
            **({"vips": [each["ip_addr"] for each in vips]} if vips else {}),
            **({"vip_eip": eips[0]["ip_addr"]} if eips and eips[0]["ip_addr"] else {}),
        }

    def member_view(self, row: Row) -> Row:
        """A row of groupguests."""
        name = self._named(self.servers, row["guest_id"])
        group = self._named(self.groups, row["group_id"])
        return {**row, **_CAN, "guest": name, "server": name, "instance_group": group}

    def vip_view(self, row: Row) -> Row:
        """A row of groupnetworks."""
        eip = next((each for each in self.eips if each["id"] == row.get("eip_id")), None)
        return {
            **row,
            **_CAN,
            "instance_group": self._named(self.groups, row["group_id"]),
            "network": self._named(self.networks, row["network_id"]),
            **({"eip_addr": eip["ip_addr"]} if eip and eip["ip_addr"] else {}),
        }

    def nic_view(self, row: Row) -> Row:
        """A row of guestnetworks."""
        name = self._named(self.servers, row["guest_id"])
        network = next(each for each in self.networks if each["id"] == row["network_id"])
        limits = {f"{way}_{what}": 0 for way in ("rx", "tx") for what in ("bw_limit", "traffic_limit", "traffic_used")}
        return {
            **row,
            **_CAN,
            **limits,
            "billing_type": "prepaid",
            "bw_limit": 0,
            "charge_type": "bandwidth",
            "driver": "virtio",
            "guest": name,
            "server": name,
            "guest_gateway": network["guest_gateway"],
            "guest_ip_mask": network["guest_ip_mask"],
            "guest_ip6_mask": 0,
            "network": network["name"],
            "num_queues": 1,
            "virtual": False,
            "wire_id": network["wire_id"],
        }

    def server_view(self, row: Row) -> Row:
        """A server: the part of it that has to do with addresses."""
        vips = self._vips_of_server(row)
        nics = self.nics_of(row)
        ids = [nic["network_id"] for nic in nics]
        vpcs = [each["vpc_id"] for network_id in ids for each in self.networks if each["id"] == network_id]
        vpc = next(each for each in self.vpcs if each["id"] == vpcs[0])
        return {
            **row,
            "can_delete": False,
            "can_update": True,
            "ips": ",".join(each["ip_addr"] for each in nics),
            "vpc": vpc["name"],
            "vpc_external_access_mode": vpc["external_access_mode"],
            "vpc_id": vpc["id"],
            **({"vip": ",".join(vips)} if vips else {}),
        }

    def network_view(self, row: Row) -> Row:
        """A network."""
        return {**{key: value for key, value in row.items() if key != "~reserved"}, **_CAN}

    def vpc_view(self, row: Row) -> Row:
        """A VPC."""
        return {**row, **_CAN}

    def reservations(self) -> list[Row]:
        """The addresses that are only given to who asks for reserved ones."""
        return [
            {"ip_addr": address, "network": network["name"], "network_id": network["id"], "notes": "kept free"}
            for network in self.networks
            for address in network["~reserved"]
        ]

    def eip_view(self, row: Row) -> Row:
        """An EIP."""
        group = next((each for each in self.groups if each["id"] == row.get("associate_id")), None)
        associated = {"associate_name": group["name"], "associate_type": GROUP} if group else {}
        view = {**row, **associated, "can_delete": group is None, "can_update": True}
        if not row["ip_addr"]:
            del view["ip_addr"]
        return view

    # --- groups

    def create_group(self, project: str, body: Row, id_: str = "") -> Row:
        """A new group."""
        if not body.get("name"):
            raise missing("name")
        # Nobody gets a granularity of 0 by creating; by updating, one does.
        settings = self._settings({**body, "granularity": body.get("granularity") or 1})
        row = {
            **self._stamp(id_),
            **self._owned(project),
            "enabled": True,
            "force_dispersion": True,
            "granularity": 1,
            "progress": 100,
            "status": "init",
            **settings,
        }
        self.groups.append(row)
        return row

    def update_group(self, group: Row, body: Row) -> None:
        """Other settings."""
        group |= self._settings(body, group)
        _touch(group)

    def _settings(self, body: Row, group: Row | None = None) -> Row:
        """Of a request's body what a group takes."""
        row = {key: body[key] for key in _SETTINGS if body.get(key) not in (None, "")}
        for key in ("zone_id", "service_type", "parent_id", "sched_strategy"):
            if key in row:
                raise not_here(f"a group with {key}")
        if not isinstance(row.get("granularity", 1), int):
            raise bad_input("granularity")
        if "name" in row:
            row["name"] = self._name(row["name"], GROUP, [each for each in self.groups if each is not group])
        return row

    @staticmethod
    def _name(wanted: str, keyword: str, others: Iterable[Row]) -> str:
        """What a new thing is called that was to be called so: all projects have different names."""
        name = kept(wanted)
        if any(same(each["name"], name) for each in others):
            raise ApiError(409, "DuplicateNameError", f"Duplicate name {keyword} {name}")
        return name[:LONGEST]

    def delete_group(self, group: Row) -> Row:
        """What the group looked like at its end; its VIPs are free."""
        eips = self.eips_of(group)
        if eips:
            details = f"group associate with eip {eips[0]['ip_addr']}: NotEmptyError"
            raise ApiError(406, "NotEmptyError", details)
        if self.members_of(group):
            raise ApiError(406, "UnsupportOperationError", "please retry after unbind all guests in group")
        _touch(group)
        _touch(group)
        now = _now()
        group |= {"deleted": True, "deleted_at": now, "pending_deleted": True, "pending_deleted_at": now}
        view = self.group_view(group)
        self.vips = [each for each in self.vips if each["group_id"] != group["id"]]
        self.groups.remove(group)
        return view

    def enable(self, group: Row, enabled: bool) -> None:
        """Whether members may come and go."""
        group["enabled"] = enabled
        _touch(group)

    # --- members

    def bind(self, group: Row, body: Row) -> None:
        """New members, one after the other, until one does not fit: those before it stay."""
        vips = self.vips_of(group)
        for guest in self.bind_order(self._guests(group, body, "bind")):
            nics = self.nics_of(guest)
            if vips and len(nics) != 1:
                details = "cannot join a guest without network or with more than one network to a group with VIP"
                raise ApiError(406, "NotSupportedError", f"{details}: NotSupportedError")
            if vips and nics[0]["network_id"] != vips[0]["network_id"]:
                raise conflict("cannot join a guest with network inconsist with VIP: ConflictError")
            self._join(group, guest)

    def unbind(self, group: Row, body: Row) -> None:
        """Members leave; those that are none do not mind."""
        ids = {each["id"] for each in self._guests(group, body, "unbind")}
        self.members = [each for each in self.members if each["group_id"] != group["id"] or each["guest_id"] not in ids]

    def _guests(self, group: Row, body: Row, what: str) -> list[Row]:
        keys: list[str] = []
        while body.get(f"guest.{len(keys)}"):
            keys.append(body[f"guest.{len(keys)}"])
        if not keys:
            raise missing("guest.0 guest.1 ... ")
        if not group["enabled"]:
            raise ApiError(403, "ForbiddenError", f"cannot {what} guest from disabled guest")
        guests = []
        for key in keys:
            if not any(each["id"] == key or same(each["name"], key) for each in self.servers):
                raise bad_input(f"no such model {key}")
            guest = self.find(self.servers, "server", key)
            # An admin may not mix them, either.
            if guest["tenant_id"] != group["tenant_id"]:
                raise ApiError(403, "ForbiddenError", "guest and instance group should belong to same project")
            guests.append(guest)
        return guests

    def _join(self, group: Row, guest: Row) -> None:
        if guest not in self.members_of(group):
            self.members.append({**self._joint(), "group_id": group["id"], "guest_id": guest["id"]})

    # --- VIPs

    def attach(self, group: Row, body: Row) -> None:
        """Another VIP, whether there is one or not. It stays when the service falls over a member without a host."""
        network = self._attachable(group, body)
        if body.get("require_ipv6") or body.get("ip6_addr"):
            raise bad_input("network is not ipv6 enabled")
        reserved: list[str] = network["~reserved"]
        address = self._allocate(
            network,
            str(body.get("ip_addr") or ""),
            bool(body.get("require_designated_ip")),
            network.get("alloc_policy") or body.get("alloc_dir") or "stepdown",
            bool(body.get("reserved")),
        )
        if address in reserved:
            reserved.remove(address)
        self.vips.append(self._vip(group, network, address))
        if not all("host" in each for each in self.members_of(group)):
            raise nil_pointer()

    def _attachable(self, group: Row, body: Row) -> Row:
        """The network that a new VIP would be on."""
        wanted = None
        if body.get("network_id"):
            wanted = self.find(self.networks, "network", body["network_id"])
        existing = self._network_of(group)
        if existing is not None and wanted not in (None, existing):
            raise conflict("provided network inconsistent with existing network: ConflictError")
        network = existing or wanted
        if network is None:
            raise bad_input("please specify network: InputParameterError")
        return network

    def _vip(self, group: Row, network: Row, address: str) -> Row:
        ids = {"group_id": group["id"], "network_id": network["id"]}
        return {**self._joint(), **ids, "index": 0, "ip_addr": address}

    def _allocate(self, network: Row, wanted: str, designated: bool, direction: str, reserved: bool) -> str:
        """A free address: the wanted one if it is free, or else, unless it is ``designated``, another one."""
        first, last = IPv4Address(network["guest_ip_start"]), IPv4Address(network["guest_ip_end"])
        taken = {row["ip_addr"] for row in (*self.nics, *self.vips, *self.eips) if row["network_id"] == network["id"]}
        reservations = set(network["~reserved"])
        if wanted:
            if not _within(wanted, first, last):
                raise bad_input(f"ip_addr {wanted} not in range: InputParameterError")
            if wanted not in taken and (reserved or wanted not in reservations):
                return wanted
            if designated:
                raise conflict(f"candidate ip {wanted} is occupied!: ConflictError")
        every = (str(IPv4Address(number)) for number in range(int(first), int(last) + 1))
        free = [each for each in every if each not in taken | reservations]
        if not free:
            raise nested(400, "InsufficientResourceError", "Out of IP address", prefix="GetFreeIPv4: getFreeIP")
        if direction == "random":
            return random.choice(free)
        # Whatever else it is told, "none" and nonsense too, is a step up.
        return free[-1] if direction == "stepdown" else free[0]

    def detach(self, group: Row, body: Row) -> None:
        """One VIP, or all; one that the group does not have is none of its business."""
        self._network_of(group)
        wanted = body.get("ip_addr")
        leaving = [each for each in self.vips_of(group) if not wanted or each["ip_addr"] == wanted]
        if any("eip_id" in each for each in leaving):
            raise bad_status("cannot detach network with eip: InvalidStatusError")
        self.vips = [each for each in self.vips if each not in leaving]

    # --- EIPs

    def create_eip(self, group: Row, body: Row, faults: Sequence[Fault]) -> None:
        """A new EIP for the group: it gets its address and is associated later. ``ip_addr`` is the EIP's own.

        An EIP without an address leaves the group as it is, for ever: the service only thinks of servers then.
        """
        self._check_eip(group)
        name = self._free_name(f"eip-for-grp-{latin(group['name'])}")
        eip = self._allocatable(name, group["tenant_id"], body)
        self.eips.append(eip)
        _set_status(group, "associate_eip")
        fails = any(fault.kind == "error-in-operation" and fault.reason == "allocate_fail" for fault in faults)

        def first() -> None:
            with self.lock:
                self._give_address(eip, body, fails)
                if eip["status"] == "ready":
                    _set_status(eip, "associate")

        associate = self._association(group, "", eip, faults)

        def last() -> None:
            if eip["status"] != "allocate_fail":
                associate()

        self.tasks.start(first, last, faults)

    def associate_eip(self, group: Row, body: Row, faults: Sequence[Fault], caller: Caller | None = None) -> None:
        """An EIP that there is: it is associated later, and that fails if the group has no such ``ip_addr``."""
        self._check_eip(group)
        key = body.get("eip_id") or body.get("eip")
        if not key:
            raise missing("eip_id")
        eip = self.find(self.eips, "eip", key, caller)
        if eip.get("associate_id"):
            raise conflict("eip has been associated")
        if eip["status"] not in ("ready", "allocate_fail"):
            raise bad_status(f"eip cannot associate in status {eip['status']}")
        _set_status(group, "associate_eip")
        _set_status(eip, "associate")
        self.tasks.start(None, self._association(group, body.get("ip_addr") or "", eip, faults), faults)

    def _check_eip(self, group: Row) -> None:
        """Whether the group may have an EIP at all."""
        network = self._network_of(group)
        if network is None:
            raise nil_pointer()
        mode = next(each["external_access_mode"] for each in self.vpcs if each["id"] == network["vpc_id"])
        if mode not in ("eip", "eip-distgw"):
            sentence = "resource %s in VPC %s with external access mode %s does not support EIP association"
            fields = (group["name"], network["vpc"], mode)
            raise nested(406, "NotSupportedError", sentence, *fields, prefix="grp.isEipAssociable")
        if not self.vips_of(group):
            raise bad_status("grp.isEipAssociable: group no vips")
        if network["vpc"] == _DEFAULT_VPC:
            details = "group network is not a VPC network"
            raise bad_status(f"grp.isEipAssociable: {details}: InvalidStatusError")

    def _association(self, group: Row, address: str, eip: Row, faults: Sequence[Fault]) -> Callable[[], None]:
        """The task that maps an EIP to a VIP: to that with ``address``, or to the first one."""
        wanted = next((each for each in self.vips_of(group) if address in ("", each["ip_addr"])), None)
        fails = any(fault.kind == "error-in-operation" for fault in faults)

        def last() -> None:
            with self.lock:
                # What was true when it was asked for may not be any more.
                good = not fails and group in self.groups and wanted in self.vips and "eip_id" not in wanted
                if group in self.groups:
                    eip["associate_id"] = group["id"]
                if good and wanted:
                    wanted["eip_id"] = eip["id"]
                    _touch(wanted)
                _set_status(eip, "ready" if good else "associate_fail")
                _set_status(group, "init" if good else "associate_eip_failed")
                self.on_change()

        return last

    def make_eip(self, project: str, body: Row, faults: Sequence[Fault]) -> Row:
        """A new EIP that belongs to nobody; it gets its address later."""
        if not body.get("name"):
            raise missing("name")
        eip = self._allocatable(self._name(body["name"], "eip", self.eips), project, body)
        self.eips.append(eip)

        def last() -> None:
            with self.lock:
                self._give_address(eip, body, False)

        self.tasks.start(None, last, faults)
        return eip

    def delete_eip(self, eip: Row, faults: Sequence[Fault]) -> None:
        """An EIP that belongs to nobody goes later."""
        if eip.get("associate_id"):
            raise ApiError(406, "NotEmptyError", "eip is associated with resources")
        _set_status(eip, "deallocate")

        def last() -> None:
            with self.lock:
                self.eips = [each for each in self.eips if each is not eip]

        self.tasks.start(None, last, faults)

    def _allocatable(self, name: str, project: str, body: Row) -> Row:
        """An EIP that waits for its address."""
        if body.get("charge_type") not in (None, "", "bandwidth"):
            raise bad_input('OneCloud only supports eip charge type "bandwidth"')
        if not body.get("bandwidth"):
            raise missing("bandwidth")
        line = body.get("bgp_type") or ""
        for network in self.networks:
            if network["server_type"] == "eip" and network.get("bgp_type", "") == line:
                try:
                    self._allocate(network, "", False, "stepup", False)
                except ApiError:
                    continue
                return self._new_eip(name, project, network, body)
        raise ApiError(404, "NotFoundError", "no usable eip network")

    def _give_address(self, eip: Row, body: Row, fails: bool) -> None:
        """The address that was asked for, or the lowest one that is free; or the EIP is ``allocate_fail``."""
        network = self.find(self.networks, "network", eip["network_id"])
        try:
            if fails:
                raise bad_status("as it was told")
            eip["ip_addr"] = self._allocate(network, str(body.get("ip_addr") or ""), True, "stepup", False)
        except ApiError:
            _set_status(eip, "allocate_fail")
        else:
            _set_status(eip, "ready")

    def dissociate_eip(self, group: Row, body: Row, faults: Sequence[Fault]) -> None:
        """One EIP lets go of the group at once; the task ends later."""
        eips = self.eips_of(group)
        if not eips:
            raise bad_status("No eip to dissociate")
        eip = eips[0]
        _set_status(group, "dissociate_eip")
        _set_status(eip, "dissociate")
        fails = any(fault.kind == "error-in-operation" for fault in faults)

        def first() -> None:
            with self.lock:
                eip.pop("associate_id", None)
                for vip in self.vips_of(group):
                    if vip.get("eip_id") == eip["id"]:
                        del vip["eip_id"]
                        _touch(vip)
                self.on_change()

        def last() -> None:
            with self.lock:
                _set_status(eip, "dissociate_fail" if fails else "ready")
                _set_status(group, "dissociate_eip_failed" if fails else "init")
                if not fails and (body.get("auto_delete") or eip["~auto_dellocate"]) and eip in self.eips:
                    self.eips.remove(eip)
                self.on_change()

        self.tasks.start(None if fails else first, last, faults)

    def _new_eip(self, name: str, project: str, network: Row, body: Row, id_: str = "") -> Row:
        row = {
            **self._stamp(id_),
            **self._owned(project),
            "account_read_only": False,
            "~auto_dellocate": bool(body.get("auto_dellocate")),
            "auto_renew": False,
            "bandwidth": int(body["bandwidth"]),
            "billing_type": "postpaid",
            "brand": "OneCloud",
            "charge_type": "bandwidth",
            "cloud_env": "onpremise",
            "cloudregion": "Default",
            "cloudregion_id": "default",
            "ip_addr": "",
            "mode": "elastic_ip",
            "name": name,
            "network_id": network["id"],
            "progress": 0,
            "provider": "OneCloud",
            "region": "Default",
            "region_id": "default",
            "rx_bw_limit": 0,
            "source": "local",
            "status": "allocate",
            "tx_bw_limit": 0,
            **({"bgp_type": network["bgp_type"]} if "bgp_type" in network else {}),
        }
        return {**row, "imported_at": row["created_at"]}

    def _free_name(self, name: str) -> str:
        """The name, with a number if another EIP has it."""
        names = {each["name"] for each in self.eips}
        return next(each for n in range(len(names) + 1) if (each := f"{name}-{n}" if n else name) not in names)


def nil_pointer() -> ApiError:
    """The service fell over its own feet; what it had done by then is done."""
    details = "Internal server error: runtime error: invalid memory address or nil pointer dereference"
    return ApiError(500, "InternalServerError", details)


_CAN = {"can_delete": True, "can_update": True}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def _times() -> Row:
    now = _now()
    return {"created_at": now, "updated_at": now, "deleted": False, "update_version": 0}


def _touch(row: Row) -> None:
    row |= {"update_version": row["update_version"] + 1, "updated_at": _now()}


def _set_status(row: Row, status: str) -> None:
    if row["status"] != status:
        row |= {"status": status, "progress": 0}
        _touch(row)


def _within(text: str, first: IPv4Address, last: IPv4Address) -> bool:
    try:
        return first <= IPv4Address(text) <= last
    except AddressValueError:
        return False
