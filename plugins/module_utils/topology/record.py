# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which topology a node is part of: a local fact of Ansible on the node, and what the verbs take from it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

FACT = Path("/etc/ansible/facts.d/cloudha_vip.fact")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

Record = dict[str, Any]


class Memory(Protocol):
    """What remembers which directories were there before: node/record.py."""

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


def read(fact: Path = FACT) -> Record | None:
    """The record of this node; None if there is none.

    Raises ValueError if there is a file that is none.
    """
    try:
        found = json.loads(fact.read_text())
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise ValueError(f"{fact} is damaged ({e}): deploy the topology again") from e
    if not (isinstance(found, dict) and all(isinstance(found.get(name), str) for name in ("topology", "mechanism"))):
        raise ValueError(f"{fact} names no topology and no mechanism: deploy the topology again")
    return found


def merged(known: Record | None, new: Record) -> Record:
    """The new record, and in it the parts of the known one: what was once begun has to be taken away one day."""
    before = [part for part in (known or {}).get("parts", []) if part not in new["parts"]]
    return {**new, "parts": before + list(new["parts"])}


def removal(record: Record) -> list[str]:
    """The parts in the order in which they are taken away: the mechanism first, and with it the traffic."""
    parts = [part for part in reversed(record.get("parts", [])) if part != record["mechanism"]]
    for part in [record["mechanism"], *parts]:
        if not _NAME.fullmatch(part):
            raise ValueError(f"{part!r} is no name of a part")
    return [record["mechanism"]] * (record["mechanism"] in record.get("parts", [])) + parts


def agreed(
    looks: Iterable[Mapping[str, Any]],
    by_hand: str = "",
    known: Sequence[str] = (),
    earlier: Record | None = None,
) -> Record:
    """What the nodes' records say; one record is enough, as a node may not answer.

    looks: what cloudha.vip.vip_info said of each node (item), or what Ansible said in its place. by_hand: a mechanism
    in place of what they say. known: the mechanisms that there are. earlier: what they said before.

    Raises ValueError where nobody says anything, or nodes contradict each other.
    """
    found = {str(look.get("item", "")): look["topology"] for look in looks if look.get("topology")}
    for node, record in found.items():
        if not (_NAME.fullmatch(record["topology"]) and _NAME.fullmatch(record["mechanism"])):
            raise ValueError(f"the record of {node} names a topology {record['topology']!r}: deploy it again")
    if by_hand:
        if by_hand not in known:
            raise ValueError(f"vip_mechanism is {by_hand!r}; there are {', '.join(sorted(known))}")
        its = next((record for record in found.values() if record["mechanism"] == by_hand), {"topology": by_hand})
        return {"parts": [], **its, "mechanism": by_hand}
    said = {(record["topology"], record["mechanism"]): node for node, record in found.items()}
    if len(said) > 1:
        each = " and ".join(f"{node} of {topology}" for (topology, _mechanism), node in said.items())
        raise ValueError(f"the nodes are parts of different topologies, {each}: deploy the one that you want")
    if not said and not earlier:
        raise ValueError(
            f"no node that answers says how its address moves ({FACT}): deploy the topology first; "
            f"for nodes that cannot be asked, set vip_mechanism, which is one of {', '.join(sorted(known))}"
        )
    record = dict(next(iter(found.values()))) if found else dict(earlier or {})
    if record["mechanism"] not in known:
        raise ValueError(f"the nodes' mechanism {record['mechanism']} is not one of {', '.join(sorted(known))}")
    return record
