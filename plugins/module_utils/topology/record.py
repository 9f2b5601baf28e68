# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology of a node: a local fact of Ansible on the node, and the values that the verbs take from it."""

from __future__ import annotations

import json
import os
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

FACT = Path("/etc/ansible/facts.d/cloudha_vip.fact")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ADVICE = "deploy the topology again, or remove the file and set vip_mechanism"

Record = dict[str, Any]


class Memory(Protocol):
    """node/record.py remembers the directories that were there before."""

    def add(self, wanted: Mapping[str, Iterable[str]], marker: str) -> bool: ...

    def made(self) -> dict[str, list[str]]: ...

    def forget(self) -> None: ...


def write(fact: Path, record: Record | None, memory: Memory) -> None:
    """Write the record of this node, or remove it with the directories that this made: whole or not at all."""
    directories = [str(fact.parent.parent), str(fact.parent)]
    if record is not None:
        memory.add({"directories": directories}, "")
        for directory in directories:
            if not os.path.isdir(directory):
                os.mkdir(directory)
                os.chmod(directory, 0o755)  # whatever the umask is
        new = fact.with_name(f".{fact.name}.new")
        with open(new, "w") as file:
            file.write(json.dumps(record, indent=1, sort_keys=True) + "\n")
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        new.replace(fact)
        return
    fact.unlink(missing_ok=True)
    fact.with_name(f".{fact.name}.new").unlink(missing_ok=True)
    for directory in reversed(memory.made()["directories"]):
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            continue
        except OSError:  # somebody else's
            break
    memory.forget()


def checked(found: object) -> Record:
    """A record, from a file or from a node's answer: topology, mechanism, parts and, where it is there, standby_asks.

    All else is dropped: the mechanism's role, and not a node, tells the verbs the rest.

    Raises a ValueError that names the problem.
    """
    if not isinstance(found, Mapping):
        raise ValueError("is no dictionary")
    for name in ("topology", "mechanism"):
        if not _is_name(found.get(name)):
            raise ValueError(f"has {name} {reprlib.repr(found.get(name))}, which is no name of one")
    parts, asks = found.get("parts", []), found.get("standby_asks", False)
    if not (isinstance(parts, (list, tuple)) and all(map(_is_name, parts))):
        raise ValueError(f"has parts {reprlib.repr(parts)}, which is no list of names")
    if not isinstance(asks, bool):
        raise ValueError(f"has standby_asks {reprlib.repr(asks)}, which is neither true nor false")
    record = {"topology": found["topology"], "mechanism": found["mechanism"], "parts": list(parts)}
    return {**record, **({"standby_asks": asks} if "standby_asks" in found else {})}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def read(fact: Path = FACT) -> Record | None:
    """The record of this node; None if there is none.

    Raises a ValueError, with a remedy, if there is one that cannot be used.
    """
    try:
        text = fact.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise ValueError(f"{fact} cannot be read ({e.strerror}): {_ADVICE}") from e
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{fact} is no JSON ({e}): {_ADVICE}") from e
    try:
        return checked(found)
    except ValueError as e:
        raise ValueError(f"{fact} {e}: {_ADVICE}") from e


def merged(known: Record | None, new: Record) -> Record:
    """The new record, with the parts of the known one: a teardown must remove every part that was ever begun."""
    before = [part for part in (known or {}).get("parts", []) if part not in new["parts"]]
    return {**new, "parts": before + list(new["parts"])}


def removal(record: Record) -> list[str]:
    """The parts in the order in which they are taken away: the mechanism first, and with it the traffic."""
    parts = [part for part in reversed(record.get("parts", [])) if part != record["mechanism"]]
    for part in [record["mechanism"], *parts]:
        if not _is_name(part):
            raise ValueError(f"{part!r} is no name of a part")
    return [record["mechanism"]] * (record["mechanism"] in record.get("parts", [])) + parts


def _said(looks: Iterable[Mapping[str, Any]]) -> dict[str, Record]:
    """The record of each node that has one.

    Raises ValueError where one is damaged, or nodes contradict each other.
    """
    found: dict[str, Record] = {}
    for look in looks:
        node = str(look.get("item", ""))
        if look.get("topology_error"):
            raise ValueError(f"{node}: {look['topology_error']}")
        if look.get("topology") is not None:
            try:
                found[node] = checked(look["topology"])
            except ValueError as e:
                raise ValueError(f"{node}: {FACT} {e}: {_ADVICE}") from e
    said: dict[tuple[str, str], list[str]] = {}
    for node, record in found.items():
        said.setdefault((record["topology"], record["mechanism"]), []).append(node)
    if len(said) > 1:
        each = [f"{', '.join(nodes)} of {topology} ({mechanism})" for (topology, mechanism), nodes in said.items()]
        raise ValueError(
            f"the nodes are parts of different topologies, {' and '.join(each)}: deploy the one that you want on all "
            f"of them ({FACT})"
        )
    return found


def _first_of(mechanism: str, looks: Iterable[Mapping[str, Any]]) -> Record:
    """The first sound record with this mechanism; empty if there is none."""
    for look in looks:
        try:
            record = checked(look.get("topology"))
        except ValueError:
            continue
        if record["mechanism"] == mechanism:
            return record
    return {}


def traits(said: Mapping[str, Any], topology: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What the verbs must know of a mechanism in this topology.

    said: the content of its meta/mechanism.yml. variables: those of a node, where detection and drops_unhealthy name
    some. In place of of_topology and detection it has detection_s, the seconds in which the mechanism notices a lost
    node. 0: something else notices it. drops_unhealthy: whether nobody is served while no node passes its health check.

    Raises ValueError if the variable of detection is no time.
    """
    its = {**dict.fromkeys(("fails_back", "recreates", "single"), False), **said}
    its.update(said.get("of_topology", {}).get(topology, {}))
    its.pop("of_topology", None)

    def value(trait: str, otherwise: object) -> object:
        """Of the variable that the mechanism names."""
        named = its.pop(trait, None)
        return variables.get(named["variable"], named["default"]) if named else otherwise

    name = (its.get("detection") or {}).get("variable")
    seconds, drops = value("detection", 0), value("drops_unhealthy", False)
    if not str(seconds).isdigit():
        raise ValueError(f"{name} is {seconds!r}; it must be a whole number of seconds")
    # As Ansible's own filter bool reads it.
    return {
        **its,
        "detection_s": int(str(seconds)),
        "drops_unhealthy": str(drops).lower() in ("true", "yes", "on", "1"),
    }


def unclear(looks: Iterable[Mapping[str, Any]], by_hand: str = "") -> str:
    """Why the nodes' records do not tell how the address moves; empty if they do, or if there is none.

    looks, by_hand: as for agreed.
    """
    try:
        if not by_hand:
            _said(looks)
    except ValueError as e:
        return str(e)
    return ""


def agreed(
    looks: Iterable[Mapping[str, Any]],
    by_hand: str = "",
    known: Sequence[str] = (),
    earlier: Record | None = None,
) -> Record:
    """The content of the nodes' records; one record is enough, as a node may not answer.

    looks: what cloudha.vip.vip_info said of each node (item), or what Ansible said in its place. by_hand: a mechanism
    in place of theirs. known: the existing mechanisms. earlier: their earlier content.

    Raises ValueError where nobody says anything, a record is damaged, or nodes contradict each other.
    """
    if by_hand:
        if by_hand not in known:
            raise ValueError(f"vip_mechanism is {by_hand!r}; there are {', '.join(sorted(known))}")
        return {"topology": by_hand, "mechanism": by_hand, "parts": [], **_first_of(by_hand, looks)}
    found = list(_said(looks).values())
    record = found[0] if found else dict(earlier or {})
    if "mechanism" not in record:
        raise ValueError(
            f"no node that answers says how its address moves ({FACT}): deploy the topology first; "
            f"for nodes that cannot be asked, set vip_mechanism, which is one of {', '.join(sorted(known))}"
        )
    if record["mechanism"] not in known:
        raise ValueError(f"the nodes' mechanism {record['mechanism']} is not one of {', '.join(sorted(known))}")
    return record
