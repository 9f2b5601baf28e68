# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cloudpods' groups in memory, with all that the service lets happen: several VIPs, other addresses, EIPs left over.

As recorded: names are cut and unique over projects, whatever their case; auto_dellocate is in no list; a group whose
EIP could not be allocated keeps its status; with a member that has two interfaces nothing is attached or detached.
"""

from __future__ import annotations

import copy
import ipaddress

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    Denied,
    Invalid,
    NotFound,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.failover import engine, instancegroup
from ansible_collections.cloudha.vip.plugins.module_utils.failover.instancegroup_goal import Eip, GroupGoal, Vip
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clock import Clock

READS = ("project", "get", "list")
VIP = "192.168.1.77"


class Groups:
    """fault(phase, verb, what): called "before" and "after" each request; what it raises is the answer.

    fail: what goes wrong with EIPs later: "allocate", "associate", "dissociate" or "release". arbitrary: which of
    several EIPs is dissociated. seen: the projects whose groups and EIPs the caller sees; listed: those whose VIPs are
    in its lists.
    """

    def __init__(self):
        self.clock = Clock()
        self.fault = lambda phase, verb, what: None
        self.fail = ""
        self.arbitrary = lambda eips: eips[0]
        self.latency = 1.0
        self.requests = []
        self.own = {"id": "p1", "name": "mine"}
        self.seen = self.listed = {"p1"}
        self.groups, self.vips, self.members, self.eips = {}, [], [], {}
        self.tasks = []
        self._number = 0
        self.networks = {
            name: {
                "id": f"{name}-id",
                "name": name,
                "vpc": vpc,
                "vpc_id": f"{vpc.lower()}-id",
                "guest_ip_start": first,
                "guest_ip_end": last,
                **more,
            }
            for name, vpc, first, last, more in (
                ("net1", "vpc1", "192.168.1.2", "192.168.1.253", {"server_type": "guest"}),
                ("net2", "vpc1", "192.168.2.2", "192.168.2.253", {"server_type": "guest"}),
                ("inner", "vpcnone", "10.1.1.2", "10.1.1.253", {"server_type": "guest"}),
                ("classic", "Default", "172.16.5.10", "172.16.5.50", {"server_type": "guest"}),
                ("eipnet", "Default", "203.0.113.10", "203.0.113.50", {"server_type": "eip", "bgp_type": "BGP"}),
            )
        }
        self.vpcs = {
            name: {"id": f"{name.lower()}-id", "name": name, "external_access_mode": mode}
            for name, mode in (("vpc1", "eip-distgw"), ("vpcnone", "none"), ("Default", "eip-distgw"))
        }
        self.reserved = {("net1-id", "192.168.1.60")}
        self.servers, self.nics = {}, []
        for name, *nics in (
            ("vm1", ("net1", "192.168.1.11")),
            ("vm2", ("net1", "192.168.1.12")),
            ("vm3", ("net2", "192.168.2.13")),
            ("vm4", ("net1", "192.168.1.14"), ("net2", "192.168.2.14")),
            ("vm5", ("classic", "172.16.5.15")),
            ("vm6", ("inner", "10.1.1.16")),
        ):
            self.servers[name] = {"id": f"{name}-id", "name": name, "tenant_id": "p1"}
            for network, address in nics:
                self.nics.append(
                    {"guest_id": f"{name}-id", "network_id": f"{network}-id", "network": network, "ip_addr": address}
                )
        self.servers["theirs"] = {"id": "theirs-id", "name": "theirs", "tenant_id": "p2", "tenant": "other"}
        self.add_eip("e2", "203.0.113.10")

    # --- for tests

    def number(self):
        self._number += 1
        return self._number

    def add_eip(self, name, address, **more):
        self.eips[f"{name}-id"] = {
            "id": f"{name}-id",
            "name": name,
            "ip_addr": address,
            "status": "ready",
            "mode": "elastic_ip",
            "network_id": "eipnet-id",
            "bandwidth": 5,
            "bgp_type": "BGP",
            "charge_type": "bandwidth",
            "auto_dellocate": False,
            "tenant_id": "p1",
            **more,
        }
        return self.eips[f"{name}-id"]

    def group(self, name="web", members=(), vips=(), network="net1", project="p1", gid=None):
        """Somebody else makes a group."""
        gid = gid or f"{name}-gid"
        self.groups[gid] = {
            "id": gid,
            "name": name,
            "status": "init",
            "enabled": True,
            "granularity": 1,
            "force_dispersion": True,
            "tenant_id": project,
            "tenant": {"p1": "mine", "p2": "other"}[project],
        }
        for member in members:
            self.members.append((gid, f"{member}-id"))
        for address in vips:
            self.add_vip(address, network, gid)
        return self

    def add_vip(self, address, network="net1", gid="web-gid"):
        self.vips.append(
            {
                "group_id": gid,
                "network_id": f"{network}-id",
                "network": network,
                "ip_addr": address,
                "row_id": self.number(),
            }
        )
        return self.vips[-1]

    def bind_eip(self, name="e2", vip=None, gid="web-gid"):
        """Somebody else binds an EIP."""
        row = vip or next(row for row in self.vips if row["group_id"] == gid)
        eip = self.eips[f"{name}-id"]
        eip.update(associate_id=gid, associate_type="instancegroup", associate_name=self.groups[gid]["name"])
        row.update(eip_id=eip["id"], eip_addr=eip["ip_addr"])
        return self

    def fail_eip(self, name="e2", gid="web-gid", status="associate_fail"):
        """Somebody else has tried to bind an EIP."""
        self.eips[f"{name}-id"].update(associate_id=gid, associate_type="instancegroup", status=status)
        self.groups[gid]["status"] = "associate_eip_failed"
        return self

    def has(self, name="web"):
        """(members, VIPs, EIP) of a group, or None."""
        group = next((row for row in self.groups.values() if row["name"] == name), None)
        if not group:
            return None
        rows = [row for row in self.vips if row["group_id"] == group["id"]]
        members = sorted(guest.removesuffix("-id") for gid, guest in self.members if gid == group["id"])
        eips = [row["eip_addr"] for row in rows if "eip_id" in row]
        return members, [row["ip_addr"] for row in rows], eips[0] if eips else None

    @property
    def leftovers(self):
        """EIPs which say that they belong to a group, and lead to no VIP, or never came to be."""
        bound = {row.get("eip_id") for row in self.vips}
        return [
            eip["name"]
            for eip in self.eips.values()
            if (eip.get("associate_id") and eip["id"] not in bound) or eip["status"].endswith("_fail")
        ]

    @property
    def mutations(self):
        return [verb for verb, _what in self.requests if verb.partition("_")[0] not in READS]

    def settle(self):
        """What goes on by itself comes to its end."""
        while self.tasks:
            self.clock.now = max(self.clock.now, min(at for at, _do in self.tasks))
            self._go_on()

    # --- GroupApi

    def project(self):
        self._send("before", "project", "")
        self._send("after", "project", "")
        return self.own

    def get_group(self, group):
        for row in self.groups.values():
            vips = [vip["ip_addr"] for vip in self.vips if vip["group_id"] == row["id"]]
            row.pop("vips", None)
            row.update({"vips": vips} if vips else {})
        found = self._read("get_group", self.groups.values(), group)
        if found and found["tenant_id"] not in self.seen:
            raise Denied(f"not enough privilege for {group}", resource=group, status=403)
        return found

    def get_server(self, server):
        return self._read("get_server", self.servers.values(), server)

    def get_network(self, network):
        return self._read("get_network", self.networks.values(), network)

    def get_vpc(self, vpc):
        return self._read("get_vpc", self.vpcs.values(), vpc)

    def get_eip(self, eip):
        found = self._read("get_eip", self.eips.values(), eip)
        if found and found["tenant_id"] not in self.seen:
            raise Denied(f"not enough privilege for {eip}", resource=eip, status=403)
        return found

    def list_group_networks(self, group_id):
        return self._list(
            "list_group_networks",
            lambda: [
                row
                for row in self.vips
                if row["group_id"] == group_id and self.groups[group_id]["tenant_id"] in self.listed
            ],
        )

    def list_group_guests(self, group_id):
        names = {row["id"]: row["name"] for row in self.servers.values()}
        return self._list(
            "list_group_guests",
            lambda: [{"guest_id": guest, "guest": names[guest]} for gid, guest in self.members if gid == group_id],
        )

    def list_group_eips(self, group_id):
        return self._list(
            "list_group_eips", lambda: [e for e in self._listed_eips() if e.get("associate_id") == group_id]
        )

    def list_eips(self, name):
        return self._list("list_eips", lambda: [eip for eip in self._listed_eips() if eip["name"].startswith(name)])

    def _listed_eips(self):
        seen = [eip for eip in self.eips.values() if eip["tenant_id"] in self.seen]
        return [{key: value for key, value in eip.items() if key != "auto_dellocate"} for eip in seen]

    def list_server_networks(self, server_id):
        return self._list("list_server_networks", lambda: [nic for nic in self.nics if nic["guest_id"] == server_id])

    def list_eip_networks(self):
        return self._list("list_eip_networks", lambda: [n for n in self.networks.values() if n["server_type"] == "eip"])

    def list_address_users(self, network_id, address, besides):
        self._send("before", "list_address_users", address)
        users = [nic for nic in self.nics if (nic["network_id"], nic["ip_addr"]) == (network_id, address)]
        users = [f"the guest {nic['guest_id'].removesuffix('-id')}" for nic in users]
        users += [
            f"the group {self.groups[row['group_id']]['name']}"
            for row in self.vips
            if (row["network_id"], row["ip_addr"]) == (network_id, address) and row["group_id"] != besides
        ]
        self._send("after", "list_address_users", address)
        return users + ["a reservation"] * ((network_id, address) in self.reserved)

    def create_group(self, body):
        def do():
            if any(row["name"].lower() == body["name"].lower() for row in self.groups.values()):
                raise AlreadyExists("Duplicate name", status=409, code="DuplicateNameError")
            if set(body["name"]) & set("/\\;\n\r\t"):
                raise Invalid("name should not contains any of /;", status=400)
            name = "".join("?" if c > "\uffff" else c for c in body["name"].strip())[:128]
            gid = f"{name}-gid" if f"{name}-gid" not in self.groups else f"{name}-{self.number()}-gid"
            self.group(name, gid=gid)
            self.groups[gid].update(body, name=name)

        self._change("create_group", body["name"], do)

    def update_group(self, group_id, body):
        self._change("update_group", group_id, lambda: self._group(group_id).update(body))

    def delete_group(self, group_id):
        def do():
            self._group(group_id)
            if any(eip.get("associate_id") == group_id for eip in self.eips.values()):
                raise Invalid("group associate with eip", status=406)
            if any(gid == group_id for gid, _guest in self.members):
                raise Invalid("please retry after unbind all guests in group", status=406)
            self.vips = [row for row in self.vips if row["group_id"] != group_id]
            del self.groups[group_id]

        self._change("delete_group", group_id, do)

    def bind_guests(self, group_id, guests):
        def do():
            self._enabled(group_id)
            network = next((row["network_id"] for row in self.vips if row["group_id"] == group_id), None)
            for guest in guests:
                nics = [nic for nic in self.nics if nic["guest_id"] == guest]
                if network and len(nics) != 1:
                    raise Invalid("cannot join a guest with more than one network", status=406)
                if network and nics[0]["network_id"] != network:
                    raise AlreadyExists("cannot join a guest with network inconsist with VIP", status=409)
            for guest in guests:
                if (group_id, guest) not in self.members:
                    self.members.append((group_id, guest))

        self._change("bind_guests", list(guests), do)

    def unbind_guests(self, group_id, guests):
        def do():
            self._enabled(group_id)
            self.members = [each for each in self.members if each[0] != group_id or each[1] not in guests]

        self._change("unbind_guests", list(guests), do)

    def attach_network(self, group_id, body):
        def do():
            network = self._network_of(group_id)
            if body.get("network_id"):
                if network and network["id"] != body["network_id"]:
                    raise AlreadyExists("provided network inconsistent with existing network", status=409)
                network = next(row for row in self.networks.values() if row["id"] == body["network_id"])
            if not network:
                raise Invalid("please specify network", status=400)
            self.add_vip(self._allocate(network, body), network["name"], group_id)

        self._change("attach_network", dict(body), do)

    def detach_network(self, group_id, address):
        def do():
            self._network_of(group_id)
            rows = [row for row in self.vips if row["group_id"] == group_id and row["ip_addr"] == address]
            if any("eip_id" in row for row in rows):
                raise Invalid("cannot detach network with eip", status=400)
            self.vips = [row for row in self.vips if row not in rows]

        self._change("detach_network", address, do)

    def create_eip(self, group_id, body):
        def do():
            vip = self._eip_target(group_id, body)
            if not any(n.get("bgp_type", "") == body["bgp_type"] for n in self.networks.values() if "bgp_type" in n):
                raise NotFound("no usable eip network", status=404)
            number = self.number()
            gid, name = group_id, f"eip-for-grp-{romanised(self.groups[group_id]['name'])}"[:128]
            if f"{name}-id" in self.eips:
                name += f"-{number}"
            more = {key: body[key] for key in ("bandwidth", "bgp_type", "auto_dellocate")}
            more["tenant_id"] = self.groups[group_id]["tenant_id"]
            eip = self.add_eip(name, f"203.0.113.{19 + number}", **more)
            self._associate(gid, vip, eip, allocated="ip_addr" not in body)

        self._change("create_eip", dict(body), do)

    def associate_eip(self, group_id, eip_id, address):
        def do():
            vip = self._eip_target(group_id, {"ip_addr": address})
            if self.eips[eip_id]["tenant_id"] not in self.seen:
                raise Denied("not enough privilege", status=403)
            if self.eips[eip_id].get("associate_id"):
                raise AlreadyExists("eip has been associated", status=409)
            if self.eips[eip_id]["status"] != "ready":
                raise Invalid("eip cannot associate", status=400)
            self._associate(group_id, vip, self.eips[eip_id])

        self._change("associate_eip", eip_id, do)

    def dissociate_eip(self, group_id, release):
        def do():
            self._group(group_id)
            eips = sorted((e for e in self.eips.values() if e.get("associate_id") == group_id), key=lambda e: e["id"])
            if not eips:
                raise Invalid("No eip to dissociate", status=400)
            if not {eip["tenant_id"] for eip in eips} <= self.seen:
                raise Denied("eip is not accessible", status=403)
            eip, fails, group = self.arbitrary(eips), self.fail == "dissociate", self.groups[group_id]
            group["status"] = "dissociate_eip"
            stuck = self.fail == "release"

            def done():
                group["status"] = "dissociate_eip_failed" if fails else "init"
                eip["status"] = "dissociate_fail" if fails else "ready"
                if fails:
                    return
                self._let_go(eip)
                if release or eip["auto_dellocate"]:
                    eip["status"] = "deallocate"
                    self._later(lambda: eip.update(status="deallocate_fail") if stuck else self.eips.pop(eip["id"]))

            eip["status"] = "dissociate"
            self._later(done)

        self._change("dissociate_eip", release, do)

    def delete_eip(self, eip_id):
        def do():
            if eip_id not in self.eips:
                raise NotFound("not found", status=404)
            if self.eips[eip_id].get("associate_id"):
                raise Invalid("eip is associated", status=406)
            del self.eips[eip_id]

        self._change("delete_eip", eip_id, do)

    # --- behind it

    def _associate(self, gid, vip, eip, allocated=True):
        """Without `allocated` its address is the one that was named, which is none of its network."""
        group, failing = self.groups[gid], self.fail if allocated else "allocate"
        group["status"] = "associate_eip"

        def done():
            if failing == "allocate":
                eip["status"] = "allocate_fail"
                eip.pop("ip_addr")
                return
            if gid not in self.groups:
                eip["status"] = "ready"
                return
            eip.update(associate_id=gid, associate_type="instancegroup", associate_name=group["name"])
            if failing == "associate" or "eip_id" in vip or vip not in self.vips:
                eip["status"], group["status"] = "associate_fail", "associate_eip_failed"
            else:
                vip.update(eip_id=eip["id"], eip_addr=eip["ip_addr"])
                eip["status"], group["status"] = "ready", "init"

        eip["status"] = "associate"
        self._later(done)

    def _let_go(self, eip):
        for key in ("associate_id", "associate_type", "associate_name"):
            eip.pop(key, None)
        for row in self.vips:
            if row.get("eip_id") == eip["id"]:
                del row["eip_id"], row["eip_addr"]

    def _eip_target(self, gid, body):
        self._group(gid)
        network = self._network_of(gid)
        if not network:
            raise Unavailable("nil pointer dereference", status=500)
        rows = [row for row in self.vips if row["group_id"] == gid]
        rows = [row for row in rows if row["ip_addr"] == body.get("ip_addr", row["ip_addr"])] or rows
        if not rows:
            raise Invalid("group no vips", status=400)
        if network["vpc"] == "Default":
            raise Invalid("group network is not a VPC network", status=400)
        if network["vpc"] == "vpcnone":
            raise Invalid("external access mode none does not support EIP association", status=406)
        return rows[0]

    def _network_of(self, gid):
        self._group(gid)
        guests = [guest for group, guest in self.members if group == gid]
        ids = {nic["network_id"] for nic in self.nics if nic["guest_id"] in guests}
        if len(ids) > 1 or len([n for n in self.nics if n["guest_id"] in guests]) != len(guests):
            raise Invalid("inconsistent networkId for member servers", status=400)
        ids = ids or {row["network_id"] for row in self.vips if row["group_id"] == gid}
        return next((row for row in self.networks.values() if row["id"] in ids), None)

    def _allocate(self, network, body):
        taken = {row["ip_addr"] for row in (*self.nics, *self.vips) if row["network_id"] == network["id"]}
        kept = {address for where, address in self.reserved if where == network["id"]}
        wanted = body.get("ip_addr")
        first, last = (int(ipaddress.ip_address(network[key])) for key in ("guest_ip_start", "guest_ip_end"))
        if wanted:
            if not first <= int(ipaddress.ip_address(wanted)) <= last:
                raise Invalid(f"ip_addr {wanted} not in range", status=400)
            if wanted not in taken and (wanted not in kept or body.get("reserved")):
                self.reserved.discard((network["id"], wanted))
                return wanted
            if body.get("require_designated_ip"):
                raise AlreadyExists(f"candidate ip {wanted} is occupied!", status=409)
        free = (str(ipaddress.ip_address(n)) for n in range(last, first, -1))
        return next(each for each in free if each not in taken | kept)

    def _group(self, gid):
        if gid not in self.groups:
            raise NotFound(f"instancegroup {gid} not found", status=404)
        return self.groups[gid]

    def _enabled(self, gid):
        if not self._group(gid)["enabled"]:
            raise Denied("cannot bind guest from disabled guest", status=403)

    def _later(self, do):
        self.tasks.append((self.clock.now + self.latency, do))

    def _go_on(self):
        due = [task for task in self.tasks if task[0] <= self.clock.now]
        self.tasks = [task for task in self.tasks if task[0] > self.clock.now]
        for _at, do in due:
            do()

    def _read(self, verb, rows, key):
        self._send("before", verb, key)
        found = copy.deepcopy(next((row for row in rows if key in (row["id"], row["name"])), None))
        self._send("after", verb, key)
        return found

    def _list(self, verb, rows):
        self._send("before", verb, "")
        found = copy.deepcopy(rows())
        self._send("after", verb, "")
        return found

    def _change(self, verb, what, do):
        self._send("before", verb, what)
        do()
        self._send("after", verb, what)

    def _send(self, phase, verb, what):
        self.clock.now += 0.01
        self._go_on()
        if phase == "before":
            self.requests.append((verb, what))
        self.fault(phase, verb, what)


def romanised(name):
    """As the service calls an EIP after a group: ideographs become pinyin, and other letters are dropped."""
    return "".join(c if c.isascii() else {"双": "shuang", "网": "wang"}.get(c, "") for c in name)


def goal(members=("vm1", "vm2"), vip=VIP, eip=None, group="web", **keys):
    """By default: a group with two members and a VIP."""
    if isinstance(vip, str):
        vip = Vip(vip)
    if isinstance(eip, str):
        eip = Eip(eip)
    return GroupGoal(group, members, vip, eip, **keys)


def created(**keys):
    """An EIP that is to be created."""
    return Eip(**{"bandwidth": 10, "line": "BGP", **keys})


def apply(cloud, wanted, **keys):
    keys.setdefault("timeout", 60)
    return engine.apply(
        instancegroup, cloud, wanted, sleep=cloud.clock.sleep, clock=cloud.clock, chance=lambda: 0.5, **keys
    )
