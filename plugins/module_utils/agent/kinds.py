# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of actions. A kind is one file of this package, ``agent/NAME.py``, with a class that registers itself.

It is imported only for a configuration that has such an action: HTTP and TLS cost 8 MiB. What it imports from the
collection is laid on the nodes with it.
"""

from __future__ import annotations

import importlib
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    from .config import Action, Section
    from .machine import Machine
    from .service import Agent

    class Kind(Protocol):
        """One kind of action."""

        type: str
        """The kind's name in the configuration, which is also the name of its file."""
        options: dict[str, Any]
        """The kind's own options, each with its type: str, int, bool, list or Path. The type of a list of objects is a
        dict of their options. A kind that follows a VRRP instance has the options of ``INSTANCE``."""

        name: str
        instance: str
        """Empty for a kind that follows none."""

        @classmethod
        def parse(cls, section: Section) -> Action:
            """Take the kind's own options from an action in the configuration."""

        @staticmethod
        def describe(status: dict[str, Any]) -> str:
            """Where the address is, in words, from the status file: what ``status`` and the worker have written."""

        def status(self) -> dict[str, Any]:
            """The facts that only this kind can tell."""

    class Mover(Kind, Protocol):
        """A kind that asks an API, which takes time. The worker's thread makes all calls, except those of the class
        itself.

        ``look`` and ``reach`` first get the details that the machine gives: of a Mastership, ``look`` gets none and
        ``reach`` gets ``take``, whether to take the address also from a live peer. Of a Membership, both get
        ``serves``, whether this node may get traffic, and ``reach`` also ``at_once``: peers can wait.
        """

        machine: type[Machine]
        """It decides when the worker does what."""
        check_interval: float

        def __init__(self, config: Any) -> None:
            """config: what ``parse`` returned. Nothing is asked of anybody yet."""

        def prepare(self) -> None:
            """Find out the identity of this node; raises CloudError until that is known."""

        def preflight(self) -> list[str]:
            """The problems that would keep this node from ever succeeding."""

        def warm(self) -> None:
            """Have all at hand that the first request needs."""

        look: Callable[..., Any]
        """One look, which changes nothing: what the machine's ``looked`` takes."""
        reach: Callable[..., Any]
        """Reach what is wanted: (…, still_wanted, notify, sleep) -> an engine's Outcome, or Refused, Stopped, Failed,
        CloudError."""

    Registered = TypeVar("Registered", bound=type[Kind])


class Follower:
    """A kind that follows the agent's state and waits for nobody, so it needs no thread: the agent's loop makes all
    calls."""

    def __init__(self, config: Any, agent: Agent) -> None:
        """config: what ``parse`` returned."""
        raise NotImplementedError

    def look(self) -> None:
        """Act on the agent's state. The loop calls this after each change of it, and every quarter of a second."""
        raise NotImplementedError

    def stop(self) -> None:
        """The agent ends."""
        raise NotImplementedError


class Seen:
    """The findings of a look. holder: None if the address leads nowhere alive. todo: what a repair would do, and why.

    elsewhere: in words, what a live peer has. age: how many seconds ago it was asked for that the peer have it.
    """

    def __init__(
        self, holder: str | None, mine: bool, todo: list[str], why: str, age: float = 0.0, elsewhere: str = ""
    ) -> None:
        self.holder = holder
        self.mine = mine
        self.todo = todo
        self.why = why
        self.age = age
        self.elsewhere = elsewhere


class Path(str):
    """The type of an option that is a path: a text that begins with a slash."""


class UnknownKind(Exception):
    """There is no such kind; the message lists those that there are."""


INSTANCE: dict[str, Any] = {"instance": str}

_kinds: dict[str, type[Kind]] = {}
_MODULE = re.compile("[a-z][a-z0-9_]*")


def register(kind: Registered) -> Registered:
    """For a kind's class, as a decorator."""
    _kinds[kind.type] = kind
    return kind


def find(name: str) -> type[Kind]:
    """The class of a kind, imported if need be. Raises UnknownKind."""
    if name not in _kinds and _MODULE.fullmatch(name):
        module = f"{__package__}.{name}"
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    if name not in _kinds:
        raise UnknownKind(f"must be one of {', '.join(known())}, not {name!r}")
    return _kinds[name]


def known() -> list[str]:
    """The names of all kinds. Imports every file of this package."""
    import pkgutil  # half a MiB, which a service that knows its kinds can spare

    for _finder, name, is_package in pkgutil.iter_modules(sys.modules[__package__].__path__):
        if not is_package:
            importlib.import_module(f"{__package__}.{name}")
    return sorted(_kinds)
