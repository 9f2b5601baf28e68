# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The goals that a caller can set for an autohealing group, and the problems of a goal by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..clouds.gce_names import is_name, is_path, parse_address
from .gcp_checks import goal_problems as check_problems
from .gcp_checks import target_problems
from .gcp_instances import disk_problems, is_account, label_problems, metadata_problems, tag_problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

MARK = "cloudha.vip: autohealing group "
# A template has the group's name, a dash, and so many digits of a hash. No other name that derives from it is longer.
HASH_LENGTH = 10
LONGEST_NAME = 63 - HASH_LENGTH - 1
INITIAL_DELAY = 120
# What a new instance may take beyond the initial delay: until it is there, and until the probes have found it healthy.
ALLOWANCE = 120
LONGEST_DELAY = 3600


@dataclass(frozen=True)
class Member:
    """An instance of the group. address: IPv4; None: the one that it has, or that the API chooses."""

    name: str
    address: str | None = None


@dataclass(frozen=True)
class GroupGoal:
    """What is wanted. None, or a field that is not there: keep the present one.

    | field            | meaning                                                                                   |
    |------------------|-------------------------------------------------------------------------------------------|
    | name             | of the group; other names derive from it                                                  |
    | members          | its instances                                                                             |
    | template         | what instances are made of: options of group_fields.py and their values                   |
    | check_kind       | HTTP or TCP                                                                               |
    | check            | fields of the health check: options of CHECK_FIELDS and values of the API                 |
    | initial_delay_s  | for so long, the health of a new instance does not count                                  |
    | firewall         | whether to see to a rule that lets the probes in                                          |
    | targets          | whom that rule is for: targetTags or targetServiceAccounts, and their values              |
    | rolling          | whether to replace instances that are not as the template says                            |
    | healthy_within_s | for so long, one instance is waited for                                                   |
    | exclusive        | take away other instances                                                                 |
    | empty            | for now without instances, and with all that they need                                    |
    """

    name: str
    project: str
    zone: str
    present: bool = True
    members: tuple[Member, ...] | None = None
    template: Mapping[str, Any] = field(default_factory=dict)
    check_kind: str | None = None
    check: Mapping[str, Any] = field(default_factory=dict)
    initial_delay_s: int | None = None
    firewall: bool = True
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rolling: bool = True
    healthy_within_s: float | None = None
    exclusive: bool = False
    empty: bool = False

    @property
    def region(self) -> str:
        return self.zone.rpartition("-")[0]

    @property
    def mark(self) -> str:
        """The description of what belongs to this group only."""
        return f"{self.shared_mark} in {self.zone}"

    @property
    def shared_mark(self) -> str:
        """The description of what groups of this name share, if there is one in another zone."""
        return f"{MARK}{self.name}"

    @property
    def path(self) -> str:
        return f"{self.zone_path}/instanceGroupManagers/{self.name}"

    @property
    def zone_path(self) -> str:
        return f"projects/{self.project}/zones/{self.zone}"

    @property
    def place(self) -> str:
        """Where the addresses and the health check are."""
        return f"projects/{self.project}/regions/{self.region}"

    def check_paths(self, kind: str | None = None) -> list[str]:
        """That its own health checks can have. kind: only of this type, as the type of one cannot be changed."""
        ends = [f"-{kind.lower()}"] if kind else ["-http", "-tcp"]
        return [f"{self.place}/healthChecks/{self.name}{end}" for end in ("", *ends)]

    def instance_path(self, name: str) -> str:
        return f"{self.zone_path}/instances/{name}"


def goal_problems(goal: GroupGoal) -> list[str]:
    """The problems that can be found without a request."""
    return [
        *_name_problems(goal),
        *_member_problems(goal),
        *_template_problems(goal.template),
        *check_problems(goal.check_kind, goal.check),
        *target_problems(goal.targets),
        *_time_problems(goal),
    ]


def _name_problems(goal: GroupGoal) -> Iterator[str]:
    if not is_name(goal.name) or len(goal.name) > LONGEST_NAME:
        yield (
            f"name: {goal.name!r} is no name of a group: use 1 to {LONGEST_NAME} of a-z, 0-9 and -, with a letter first"
            " and no - last; templates have a longer one"
        )


def _member_problems(goal: GroupGoal) -> Iterator[str]:
    members = goal.members or ()
    if goal.members == () and not goal.exclusive:
        yield "instances: give at least one; with exclusive=true an empty list takes all away"
    for attribute in ("name", "address"):
        values = [getattr(each, attribute) for each in members if getattr(each, attribute) is not None]
        for value in sorted({value for value in values if values.count(value) > 1}):
            yield f"instances: {value} is there twice"
    for each in members:
        if not is_name(each.name):
            yield f"instances: {each.name!r} is no name of an instance"
        elif not is_name(f"{each.name}-{goal.zone}"):
            most = 63 - len(goal.zone) - 1
            yield f"instances: {each.name!r} is too long: its address has a longer name; use at most {most} characters"
        if each.address is not None and parse_address(each.address) is None:
            yield f"instances: {each.address!r} is not an IPv4 address"


def _template_problems(template: Mapping[str, Any]) -> Iterator[str]:
    image = template.get("image")
    if image is not None and not is_path(image, "global/images"):
        yield f"image: {image!r} is no path that ends with global/images/NAME"
    machine_type = template.get("machine_type")
    if machine_type is not None and not is_name(machine_type):
        yield f"machine_type: {machine_type!r} is no name of a machine type, such as e2-small"
    yield from tag_problems(template.get("tags") or ())
    account = template.get("service_account")
    if account and not is_account(account) and account != "default":
        yield f"service_account: {account!r} is neither an e-mail address of a service account nor default"
    if template.get("service_account_scopes") and account == "":
        yield "service_account_scopes: only with a service account"
    yield from disk_problems(template.get("disk_size_gb"))
    yield from label_problems(template.get("labels") or {})
    yield from metadata_problems(template.get("metadata") or {})


def _time_problems(goal: GroupGoal) -> Iterator[str]:
    delay, within = goal.initial_delay_s, goal.healthy_within_s
    if delay is not None and not 0 <= delay <= LONGEST_DELAY:
        yield f"initial_delay_s: {delay} is not from 0 to {LONGEST_DELAY}"
    if within is not None and not 1 <= within <= 86400:
        yield f"healthy_within_s: {within:g} is not from 1 to 86400"
