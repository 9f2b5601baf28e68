# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.members import members
from ansible_collections.cloudha.vip.plugins.module_utils.keepalived.settings import settings

WEB = {"name": "web", "interface": "eth0", "virtual_router_id": 66, "addresses": ["192.0.2.1/24"]}


def address(number):
    return f"192.0.2.1{number}"


def node(number, *peers, addresses=(), **changes):
    """A node of the group; with peers it has run with them."""
    running = {**WEB, "source_address": address(number), "peers": [address(peer) for peer in peers]}
    return {
        "keepalived_instances": [WEB],
        "interfaces": {"lo": ["127.0.0.1/8"], "eth0": [f"{address(number)}/24", *addresses]},
        "readings": [{"keepalived_instances": [running]} if peers else {}, {}],
        **changes,
    }


def away(**changes):
    """One that cannot be reached."""
    return {"keepalived_instances": [WEB], "reached": False, "here": False, "interfaces": {}, **changes}


def peers(found, host):
    spec = {"keepalived_instances": {"default": []}, "keepalived_startup_delay_s": {"default": 0}}
    return settings(found["nodes"], host, spec)["keepalived_instances"][0]["peers"]


def test_a_node_which_is_down_stays_a_peer():
    found = members({"n1": node(1, 2, 3), "n2": away(), "n3": node(3, 1, 2)})
    assert found["problems"] == [] and found["removed"] == {}
    assert peers(found, "n1") == [address(2), address(3)]
    assert found["notes"] == [f"n2 cannot be reached: it stays a peer of the others, at {address(2)}"]
    assert found["out_of_reach"] == [{"interface": "eth0", "addresses": [address(2)]}]
    (assumed,) = found["nodes"]["n2"]["before"]
    assert assumed["source_address"] == address(2) and sorted(assumed["peers"]) == [address(1), address(3)]


def test_a_note_tells_why_a_node_is_out_of_reach():
    (note,) = members({"n1": node(1, 2), "n2": away(why="ssh:\n connection refused")})["notes"]
    assert note == f"n2 cannot be reached (ssh: connection refused): it stays a peer of the others, at {address(2)}"


def test_the_node_that_asks_does_so_on_its_own_interface():
    found = members({"n1": away(keepalived_instances=[{**WEB, "interface": "ens3"}]), "n2": node(2, 1)})
    assert found["out_of_reach"] == [{"interface": "eth0", "addresses": [address(1)]}]


def test_several_nodes_are_down():
    found = members({"n1": away(), "n2": node(2, 1, 3), "n3": away()})
    assert peers(found, "n2") == [address(1), address(3)]


def test_a_new_node_which_was_never_reached_is_left_out():
    found = members({"n1": node(1, 2), "n2": node(2, 1), "n3": away()})
    assert peers(found, "n1") == [address(2)]
    assert "n3 cannot be reached, and nobody has it as a peer" in found["notes"][0]


def test_which_of_two_peers_is_the_one_that_is_down_is_not_guessed():
    found = members({"n1": node(1, 2, 3), "n2": away()})
    (problem,) = found["problems"]
    assert problem.startswith(f"n2: cannot be reached, and its address is one of {address(2)}, {address(3)}")
    known = away(keepalived_instances=[{**WEB, "source_address": address(2)}])
    found = members({"n1": node(1, 2, 3), "n2": known})
    assert found["problems"] == [] and [each["address"] for each in found["removed"]["n1"]] == [address(3)]


def test_a_node_which_is_gone_from_the_inventory_is_noticed():
    found = members({"n1": node(1, 2, 3), "n2": node(2, 1, 3)})
    assert found["removed"] == {"n1": [{"address": address(3), "source": address(1), "interface": "eth0"}]}
    far = {host: {**node(int(host[1]), 3), "interfaces": {"eth0": [f"{address(host[1])}/32"]}} for host in ("n1", "n2")}
    assert members(far)["removed"]["n1"][0]["interface"] is None, "behind a router, ARP says nothing"


def test_a_peer_with_another_address_now_is_not_gone():
    moved = node(2, 1)
    moved["interfaces"]["eth0"] = ["192.0.2.22/24"]
    assert members({"n1": node(1, 2), "n2": moved})["removed"] == {}


def test_peers_that_somebody_lists_belong_to_the_group():
    listed = {**WEB, "peers": [address(2), address(9)]}
    assert members({"n1": node(1, 2, 9, keepalived_instances=[listed]), "n2": node(2, 1)})["removed"] == {}


def test_an_address_that_a_node_has_by_other_means_is_refused():
    for host, this in {"n2": node(2, 1, addresses=["192.0.2.9/24"]), "n3": node(3, addresses=["192.0.2.9/32"])}.items():
        more = {**WEB, "addresses": ["192.0.2.1/24", "192.0.2.9/24"]}
        nodes = {"n1": node(1, 2, keepalived_instances=[more]), host: this}
        (problem,) = members(nodes)["problems"]
        assert problem.startswith(f"{host}: 192.0.2.9/") and "ip address delete 192.0.2.9/" in problem


def test_an_address_of_its_own_or_of_an_interrupted_run_is_explained():
    holder = node(1, 2, addresses=["192.0.2.1/24"])
    assert members({"n1": holder, "n2": node(2, 1)})["problems"] == []
    written = {"keepalived_instances": [{**WEB, "addresses": ["192.0.2.5/24"]}]}
    interrupted = node(1, 2, addresses=["192.0.2.5/24"], keepalived_instances=[{**WEB, "addresses": ["192.0.2.5/24"]}])
    interrupted["readings"][1] = written
    assert members({"n1": interrupted, "n2": node(2, 1)})["problems"] == []


def test_the_mark_of_an_instance_without_addresses_is_explained():
    bare = {**WEB, "addresses": []}
    running = {**bare, "source_address": address(1), "peers": [address(2)]}
    holder = {**node(1), "keepalived_instances": [bare], "readings": [{"keepalived_instances": [running]}, {}]}
    holder["interfaces"]["lo"] = ["127.0.0.1/8", "169.254.112.66/32"]
    assert members({"n1": holder, "n2": node(2, keepalived_instances=[bare])})["problems"] == []


def test_a_configuration_which_is_not_understood_is_not_known():
    found = members({"n1": node(1, readings=[{}, False]), "n2": node(2, readings=[{}, {}])})
    assert found["nodes"]["n1"]["before"] is None and found["nodes"]["n2"]["before"] == []


def test_what_is_in_force_is_spelt_as_what_is_wanted():
    odd = {"addresses": ["FD00:7::0246/64"], "excluded_addresses": [{"address": "FD00:7::0247/64"}]}
    running = {**WEB, **odd, "source_address": "FD00:7::0011", "peers": ["FD00:7::0012"]}
    reading = [{"keepalived_instances": [running]}, {}]
    wanted = {**WEB, "addresses": ["fd00:7::246/64"]}
    found = members(
        {
            "n1": node(1, readings=reading, keepalived_instances=[wanted], interfaces={"eth0": ["fd00:7::11/64"]}),
            "n2": away(keepalived_instances=[wanted]),
        }
    )
    (before,) = found["nodes"]["n1"]["before"]
    assert (before["addresses"], before["excluded_addresses"]) == (["fd00:7::246/64"], [{"address": "fd00:7::247/64"}])
    (assumed,) = found["nodes"]["n2"]["before"]
    assert (assumed["source_address"], assumed["peers"]) == ("fd00:7::12", ["fd00:7::11"])
