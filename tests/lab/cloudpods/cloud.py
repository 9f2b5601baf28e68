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
from lab.cloudpods.errors import ApiError, bad_input, bad_status, conflict, missing, not_found, not_here
from lab.cloudpods.identity import Identity
from lab.cloudpods.queries import Row
from lab.cloudpods.tasks import Tasks
from lab.emulation.behaviour import Fault

GROUP = "instancegroup"
_DEFAULT_VPC = "Default"
# What a group may be given when it is made; the real service has more, and ignores what it does not know.
_SETTINGS = ("name", "granularity", "force_dispersion", "zone_id", "service_type", "parent_id", "sched_strategy")


class Cloud:
    """Networks, servers, groups, their members and VIPs, EIPs: rows, the oldest first.

    A row has the columns of its table; what the API shows of it is in the methods that end with ``_view``. A key with
    a ~ is only shown to who asks for that field. ``on_change`` is called after every change.
    """

    def __init__(self, world: given.World) -> None:
        self.world = world
        self.lock = threading.RLock()
        self.behaviour = Behaviour()
        self.identity = Identity(world)
        self.tasks = Tasks(self.behaviour)
        self.on_change: Callable[[], None] = lambda: None
        self._row_id = 0
        self._ids = {each: str(uuid4()) for network in world.networks for each in (network.vpc, network.wire)}
        self.networks = [self._network(each) for each in world.networks]
        self.servers: list[Row] = []
        self.nics: list[Row] = []
        for each in world.servers:
            self._add_server(each)
        self.eips = [self._eip(each) for each in world.eips]
        self.groups: list[Row] = []
        self.members: list[Row] = []
        self.vips: list[Row] = []
        for group in world.groups:
            self._add_group(group)

    # --- what there is at first

    def _stamp(self, id_: str = "") -> Row:
        """The columns that everything has which has an id."""
        return {"id": id_ or str(uuid4()), **_times()}

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

    def _network(self, network: given.Network) -> Row:
        return {
            **self._stamp(network.id),
            "name": network.name,
            "status": "available",
            "guest_ip_start": network.first,
            "guest_ip_end": network.last,
            "guest_ip_mask": network.prefix,
            "guest_gateway": network.gateway,
            "server_type": network.server_type,
            "vpc": network.vpc,
            "vpc_id": self._ids[network.vpc],
            "wire": network.wire,
            "wire_id": self._ids[network.wire],
            **({"bgp_type": network.bgp_type} if network.bgp_type else {}),
            "~reserved": list(network.reserved),
        }

    def _add_server(self, server: given.Server) -> None:
        project = self.identity.projects[server.project]
        row = {**self._stamp(server.id), **self._owned(project), "name": server.name, "status": server.status}
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

    def _eip(self, eip: given.Eip) -> Row:
        network = self.find(self.networks, "network", eip.network)
        project = self.identity.projects[eip.project]
        return self._new_eip(eip.name, project, network, eip.bandwidth, eip.address, eip.id)

    def _add_group(self, group: given.Group) -> None:
        row = self.create_group(self.identity.projects[group.project], {"name": group.name}, group.id)
        for name in group.servers:
            self._join(row, self.find(self.servers, "server", name))
        for address in group.vips:
            network = self.find(self.networks, "network", group.network)
            self.vips.append(self._vip(row, network, address))

    # --- looking things up

    def find(self, rows: Iterable[Row], keyword: str, key: str, project: str | None = None) -> Row:
        """By id or name; with ``project`` only what that project may see: 403 for what another one has."""
        found = [row for row in rows if key in (row["id"], row["name"])]
        own = [row for row in found if project is None or row.get("tenant_id", project) == project]
        if own:
            return own[0]
        if found:
            raise forbidden(f"{keyword}s", "get")
        raise not_found(keyword, key)

    def group(self, key: str, project: str) -> Row:
        """A group by id or name."""
        return self.find(self.groups, GROUP, key, project)

    def members_of(self, group: Row) -> list[Row]:
        """The servers in a group."""
        ids = [each["guest_id"] for each in self.members if each["group_id"] == group["id"]]
        return [server for server in self.servers if server["id"] in ids]

    def vips_of(self, group: Row) -> list[Row]:
        """Its VIPs, the oldest first."""
        return [each for each in self.vips if each["group_id"] == group["id"]]

    def eips_of(self, group: Row) -> list[Row]:
        """The EIPs that say they belong to a group; also those whose association failed. The newest first."""
        return [each for each in reversed(self.eips) if each.get("associate_id") == group["id"]]

    def nics_of(self, server: Row) -> list[Row]:
        """The interfaces of a server."""
        return [each for each in self.nics if each["guest_id"] == server["id"]]

    def ports(self) -> dict[str, tuple[str, ...]]:
        """Which VIPs each server may send from: those of its groups."""
        return {server["name"]: tuple(self._vips_of_server(server)) for server in self.servers}

    def mapped(self) -> dict[str, str]:
        """Which VIP each EIP leads to."""
        addresses = {each["id"]: each["ip_addr"] for each in self.eips}
        return {addresses[each["eip_id"]]: each["ip_addr"] for each in self.vips if "eip_id" in each}

    def _vips_of_server(self, server: Row) -> list[str]:
        groups = {each["group_id"] for each in self.members if each["guest_id"] == server["id"]}
        return [each["ip_addr"] for each in self.vips if each["group_id"] in groups]

    def _named(self, rows: Iterable[Row], id_: str) -> str:
        return next(each["name"] for each in rows if each["id"] == id_)

    def _network_of(self, group: Row) -> Row | None:
        """That of its VIPs, or of its members; None if it has neither."""
        ids = [each["network_id"] for each in self.vips_of(group)]
        ids += [nic["network_id"] for server in self.members_of(group) for nic in self.nics_of(server)]
        return next((each for each in self.networks if each["id"] in ids[:1]), None)

    # --- what the API shows

    def group_view(self, group: Row) -> Row:
        """A group with what belongs to it."""
        members, vips, eips = self.members_of(group), self.vips_of(group), self.eips_of(group)
        network = self._network_of(group)
        return {
            **group,
            "can_delete": not members and not eips,
            "can_update": True,
            "guest_count": len(members),
            **({"network": network["name"], "network_id": network["id"]} if network else {}),
            **({"vips": [each["ip_addr"] for each in vips]} if vips else {}),
            **({"vip_eip": eips[0]["ip_addr"]} if eips else {}),
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
            **({"eip_addr": eip["ip_addr"]} if eip else {}),
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
        ips = ",".join(each["ip_addr"] for each in self.nics_of(row))
        return {**row, **_CAN, "ips": ips, **({"vip": ",".join(vips)} if vips else {})}

    def network_view(self, row: Row) -> Row:
        """A network."""
        return {**{key: value for key, value in row.items() if key != "~reserved"}, **_CAN}

    def reservations(self) -> list[Row]:
        """The addresses that are only given to who asks for reserved ones."""
        return [
            {"ip_addr": address, "network": network["name"], "network_id": network["id"]}
            for network in self.networks
            for address in network["~reserved"]
        ]

    def eip_view(self, row: Row) -> Row:
        """An EIP."""
        group = next((each for each in self.groups if each["id"] == row.get("associate_id")), None)
        associated = {"associate_name": group["name"], "associate_type": GROUP} if group else {}
        return {**row, **associated, "can_delete": group is None, "can_update": True}

    # --- groups

    def create_group(self, project: str, body: Row, id_: str = "") -> Row:
        """A new group."""
        name = body.get("name")
        if not name:
            raise missing("name")
        if any(each["name"] == name and each["tenant_id"] == project for each in self.groups):
            raise ApiError(409, "DuplicateNameError", f"Duplicate name {GROUP} {name}")
        row = {
            **self._stamp(id_),
            **self._owned(project),
            "enabled": True,
            "force_dispersion": True,
            "granularity": 1,
            "progress": 100,
            "status": "init",
            **_settings(body),
        }
        self.groups.append(row)
        return row

    def update_group(self, group: Row, body: Row) -> None:
        """Other settings."""
        group |= _settings(body)
        _touch(group)

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
        """New members: all, or none."""
        guests = self._guests(group, body, "bind")
        network = self._network_of(group) if self.vips_of(group) else None
        for guest in guests:
            nics = self.nics_of(guest)
            if network is None:
                continue
            if len(nics) != 1:
                details = "cannot join a guest without network or with more than one network to a group with VIP"
                raise ApiError(406, "NotSupportedError", f"{details}: NotSupportedError")
            if nics[0]["network_id"] != network["id"]:
                raise conflict("cannot join a guest with network inconsist with VIP: ConflictError")
        for guest in guests:
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
            if not any(key in (each["id"], each["name"]) for each in self.servers):
                raise bad_input(f"no such model {key}")
            guests.append(self.find(self.servers, "server", key, group["tenant_id"]))
        return guests

    def _join(self, group: Row, guest: Row) -> None:
        if guest not in self.members_of(group):
            self.members.append({**self._joint(), "group_id": group["id"], "guest_id": guest["id"]})

    # --- VIPs

    def attach(self, group: Row, body: Row) -> None:
        """Another VIP, whether there is one or not."""
        network = self._attachable(group, body)
        if body.get("require_ipv6") or body.get("ip6_addr"):
            raise bad_input("network is not ipv6 enabled")
        reserved: list[str] = network["~reserved"]
        address = self._allocate(
            network,
            str(body.get("ip_addr") or ""),
            bool(body.get("require_designated_ip")),
            body.get("alloc_dir") or "stepdown",
            bool(body.get("reserved")),
        )
        if address in reserved:
            reserved.remove(address)
        self.vips.append(self._vip(group, network, address))

    def _attachable(self, group: Row, body: Row) -> Row:
        """The network that a new VIP would be on."""
        wanted = None
        if body.get("network_id"):
            wanted = self.find(self.networks, "network", body["network_id"])
        for server in self.members_of(group):
            count = len(self.nics_of(server))
            if count != 1:
                raise bad_status(f"guest ({server['name']}) has {count} networks")
        ids = {nic["network_id"] for server in self.members_of(group) for nic in self.nics_of(server)}
        if len(ids) > 1:
            raise bad_status("getAttachedNetwork: inconsistent networkId for member servers")
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
        taken = {row["ip_addr"] for row in (*self.nics, *self.vips) if row["network_id"] == network["id"]}
        taken |= {row["ip_addr"] for row in self.eips if row["network_id"] == network["id"]}
        kept = set(network["~reserved"])
        if wanted:
            if not _within(wanted, first, last):
                raise bad_input(f"ip_addr {wanted} not in range: InputParameterError")
            if wanted not in taken and (reserved or wanted not in kept):
                return wanted
            if designated:
                raise conflict(f"candidate ip {wanted} is occupied!: ConflictError")
        every = (str(IPv4Address(number)) for number in range(int(first), int(last) + 1))
        free = [each for each in every if each not in taken | kept]
        if not free:
            raise ApiError(400, "InsufficientResourceError", "Out of IP address")
        if direction == "random":
            return random.choice(free)
        return free[0] if direction == "stepup" else free[-1]

    def detach(self, group: Row, body: Row) -> None:
        """One VIP, or all; one that the group does not have is none of its business."""
        wanted = body.get("ip_addr")
        leaving = [each for each in self.vips_of(group) if not wanted or each["ip_addr"] == wanted]
        if any("eip_id" in each for each in leaving):
            raise bad_status("cannot detach network with eip: InvalidStatusError")
        self.vips = [each for each in self.vips if each not in leaving]

    # --- EIPs

    def create_eip(self, group: Row, body: Row, faults: Sequence[Fault]) -> None:
        """A new EIP for the group: it is associated later."""
        vip = self._eip_target(group, body)
        if body.get("charge_type") not in (None, "", "bandwidth"):
            raise bad_input('OneCloud only supports eip charge type "bandwidth"')
        if not body.get("bandwidth"):
            raise missing("bandwidth")
        line = body.get("bgp_type") or ""
        networks = [n for n in self.networks if n["server_type"] == "eip" and n.get("bgp_type", "") == line]
        if not networks:
            raise ApiError(404, "NotFoundError", "no usable eip network")
        address = self._allocate(networks[0], "", False, "stepup", False)
        name = self._free_name(f"eip-for-grp-{group['name']}")
        eip = self._new_eip(name, group["tenant_id"], networks[0], int(body["bandwidth"]), address)
        eip["status"] = "allocate"
        if body.get("auto_dellocate"):
            del eip["~auto_dellocate"]
            eip["auto_dellocate"] = True
        self.eips.append(eip)
        self._associate(group, vip, eip, faults)

    def associate_eip(self, group: Row, body: Row, faults: Sequence[Fault]) -> None:
        """An EIP that there is: it is associated later."""
        vip = self._eip_target(group, body)
        key = body.get("eip_id") or body.get("eip")
        if not key:
            raise missing("eip_id")
        eip = self.find(self.eips, "eip", key, group["tenant_id"])
        if eip.get("associate_id"):
            raise conflict("eip has been associated")
        if eip["status"] != "ready":
            raise bad_status(f"eip cannot associate in status {eip['status']}")
        self._associate(group, vip, eip, faults)

    def _eip_target(self, group: Row, body: Row) -> Row:
        """The VIP that an EIP would be mapped to."""
        network = self._network_of(group)
        if network is None:
            details = "Internal server error: runtime error: invalid memory address or nil pointer dereference"
            raise ApiError(500, "InternalServerError", details)
        vips = self.vips_of(group)
        if not vips:
            raise bad_status("grp.isEipAssociable: group no vips")
        if network["vpc"] == _DEFAULT_VPC:
            raise bad_input("group network is not a VPC network")
        wanted = body.get("ip_addr")
        found = [each for each in vips if not wanted or each["ip_addr"] == wanted]
        if not found:
            raise bad_input(f"group has no vip {wanted}")
        return found[0]

    def _associate(self, group: Row, vip: Row, eip: Row, faults: Sequence[Fault]) -> None:
        _set_status(group, "associate_eip")
        _set_status(eip, "associate")
        fails = _fails(faults)

        def last() -> None:
            with self.lock:
                # What was true when it was asked for may not be any more.
                good = not fails and group in self.groups and vip in self.vips and "eip_id" not in vip
                if group in self.groups:
                    eip["associate_id"] = group["id"]
                if good:
                    vip["eip_id"] = eip["id"]
                    _touch(vip)
                _set_status(eip, "ready" if good else "associate_fail")
                _set_status(group, "init" if good else "associate_eip_failed")
                self.on_change()

        self.tasks.start(None, last, faults)

    def dissociate_eip(self, group: Row, body: Row, faults: Sequence[Fault]) -> None:
        """One EIP lets go of the group at once; the task ends later."""
        eips = self.eips_of(group)
        if not eips:
            raise bad_status("No eip to dissociate")
        eip = eips[0]
        _set_status(group, "dissociate_eip")
        _set_status(eip, "dissociate")
        fails = _fails(faults)

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
                if not fails and (body.get("auto_delete") or eip.get("auto_dellocate")) and eip in self.eips:
                    self.eips.remove(eip)
                self.on_change()

        self.tasks.start(None if fails else first, last, faults)

    def _new_eip(self, name: str, project: str, network: Row, bandwidth: int, address: str, id_: str = "") -> Row:
        row = {
            **self._stamp(id_),
            **self._owned(project),
            "account_read_only": False,
            "~auto_dellocate": False,
            "auto_renew": False,
            "bandwidth": bandwidth,
            "billing_type": "postpaid",
            "brand": "OneCloud",
            "charge_type": "bandwidth",
            "cloud_env": "onpremise",
            "cloudregion": "Default",
            "cloudregion_id": "default",
            "ip_addr": address,
            "mode": "elastic_ip",
            "name": name,
            "network_id": network["id"],
            "progress": 0,
            "provider": "OneCloud",
            "region": "Default",
            "region_id": "default",
            "rx_bw_limit": 0,
            "source": "local",
            "status": "ready",
            "tx_bw_limit": 0,
            **({"bgp_type": network["bgp_type"]} if "bgp_type" in network else {}),
        }
        return {**row, "imported_at": row["created_at"]}

    def _free_name(self, name: str) -> str:
        """The name, with a number if another EIP has it."""
        names = {each["name"] for each in self.eips}
        return next(each for n in range(len(names) + 1) if (each := f"{name}-{n}" if n else name) not in names)


def forbidden(resource: str, action: str) -> ApiError:
    """The token is none, or another project's."""
    details = f"not enough privilege to do compute:{resource}:{action} (require:project,allow:none)"
    return ApiError(403, "ForbiddenError", details)


_CAN = {"can_delete": True, "can_update": True}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def _times() -> Row:
    now = _now()
    return {"created_at": now, "updated_at": now, "deleted": False, "update_version": 0}


def _touch(row: Row) -> None:
    row |= {"update_version": row["update_version"] + 1, "updated_at": _now()}


def _set_status(row: Row, status: str) -> None:
    row |= {"status": status, "progress": 0}
    _touch(row)


def _fails(faults: Sequence[Fault]) -> bool:
    return any(fault.kind == "error-in-operation" for fault in faults)


def _settings(body: Row) -> Row:
    """Of a request's body what a group takes."""
    row = {key: body[key] for key in _SETTINGS if body.get(key) not in (None, "")}
    for key in ("zone_id", "service_type", "parent_id", "sched_strategy"):
        if key in row:
            raise not_here(f"a group with {key}")
    granularity = row.get("granularity", 1)
    if not isinstance(granularity, int) or granularity < 1:
        raise bad_input("granularity")
    return row


def _within(text: str, first: IPv4Address, last: IPv4Address) -> bool:
    try:
        return first <= IPv4Address(text) <= last
    except AddressValueError:
        return False
