# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations: changes that were accepted and take their time.

A change is refused at once or accepted at once; an accepted one takes effect, all at once, when its operation ends. It
may end with an error: then there is no effect, and what was reserved for it is free again.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lab.emulation.timeline import Timeline
from lab.gce.behaviour import Behaviour, Fault
from lab.gce.errors import ApiError, invalid, not_found
from lab.gce.names import HOST, new_id, now_text

Resource = dict[str, Any]
GLOBAL = "global"


class Change(NamedTuple):
    """What an operation does when it ends. Both are called with the cloud's lock held.

    ``effect`` returns warnings, or raises ApiError; ``abandon`` is called if there is none. ``work`` comes before, with
    no lock held: it may take long. ``immediate``: the operation has ended when it is answered.
    """

    kind: str
    target: Resource
    effect: Callable[[], list[Resource] | None]
    abandon: Callable[[], object] = lambda: None
    work: Callable[[], None] | None = None
    immediate: bool = False


class Operation:
    """A change under way, or one that has ended."""

    def __init__(self, resource: Resource, change: Change, request: str) -> None:
        self.resource = resource
        self.change = change
        self.request = request

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.resource["status"] == "DONE"

    def view(self) -> Resource:
        """As the API answers it."""
        return dict(self.resource)


class Operations:
    """Those of all projects. ``lock`` is the cloud's; ``finished`` is called after each end, with no lock held."""

    def __init__(self, behaviour: Behaviour, lock: threading.RLock, finished: Callable[[], None]) -> None:
        self._behaviour = behaviour
        self._changed = threading.Condition(lock)
        self._finished = finished
        self._by_name: dict[str, Operation] = {}
        self._by_request: dict[str, Operation] = {}
        self._stuck: list[Operation] = []
        self._closed = False
        self.timeline = Timeline("operations")

    def close(self) -> None:
        """Those that run stay as they are."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.timeline.close()

    def start(
        self,
        change: Change,
        *,
        project: str,
        caller: str,
        request: str = "",
        request_id: str | None = None,
        scope: str = GLOBAL,
        faults: Sequence[Fault] = (),
    ) -> Resource:
        """Accept a change. ``request`` says what was asked: a repeated id must not ask for something else.

        ``scope`` is "global", or a path such as zones/Z or regions/R; elsewhere too.
        """
        name = (
            f"operation-{int(time.time() * 1000)}-{secrets.token_hex(7)}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
        )
        latency = 0.0 if change.immediate else self._behaviour.latency_s
        seconds = latency + sum(each.seconds for each in faults if each.kind == "slow")
        resource: Resource = {
            "kind": "compute#operation",
            "id": new_id(),
            "name": name,
            "operationType": change.kind,
            "targetLink": change.target["selfLink"],
            "targetId": change.target["id"],
            # As recorded since 2021; before, the first answer had PENDING and no startTime.
            "status": "RUNNING",
            "user": caller,
            "progress": 0,
            "insertTime": now_text(),
            "startTime": now_text(),
            "selfLink": f"{HOST}{project}/{scope}/operations/{name}",
        }
        if scope != GLOBAL:
            resource[scope.partition("/")[0].removesuffix("s")] = f"{HOST}{project}/{scope}"
        now = time.monotonic()
        operation = Operation(resource, change, request)
        told = next((each for each in faults if each.kind == "error-in-operation"), None)
        error = ApiError(*told.words(in_operation=True)) if told else None
        with self._changed:
            self._by_name[name] = operation
            if request_id:
                self._by_request[request_id] = operation
            if any(each.kind == "never-ends" for each in faults):
                self._stuck.append(operation)
            elif seconds > 0:
                self.timeline.at(now + seconds, lambda: self._end(operation, error))
        if seconds <= 0 and operation not in self._stuck:
            self._finish(operation, error)
        return self.get(name, project, scope)

    def repeated(self, request: str, request_id: str) -> Resource | None:
        """The operation of an earlier request with this id, if there was one."""
        digits = request_id.replace("-", "")
        if not _is_uuid(request_id) or not int(digits, 16):
            raise invalid("requestId", request_id, "Must be a UUID, and not the one of zeros.")
        with self._changed:
            operation = self._by_request.get(request_id)
            if operation is None:
                return None
            if operation.request != request:
                raise invalid("requestId", request_id, "It is the id of another request.")
            return operation.view()

    def get(self, name: str, project: str, scope: str) -> Resource:
        """The operation as it is now."""
        with self._changed:
            return self._find(name, project, scope).view()

    def at(self, url: str) -> Resource:
        """The operation at a URL as it is now."""
        with self._changed:
            return self._by_name[url.rpartition("/")[2]].view()

    def wait(self, name: str, project: str, scope: str, timeout: float) -> Resource:
        """The operation when it has ended, or as it is after the time."""
        with self._changed:
            operation = self._find(name, project, scope)
            self._changed.wait_for(lambda: operation.done or self._closed, timeout)
            return operation.view()

    def all(self, scope: str) -> list[Resource]:
        """Those of a scope."""
        with self._changed:
            views = [each.view() for each in self._by_name.values()]
        return [each for each in views if f"/{scope}/operations/" in each["selfLink"]]

    def running(self) -> list[Resource]:
        """Those that have not ended."""
        with self._changed:
            return [each.view() for each in self._by_name.values() if not each.done]

    def release(self) -> None:
        """Let those end that never would."""
        with self._changed:
            stuck, self._stuck = self._stuck, []
        for operation in stuck:
            self._end(operation, None)

    def _find(self, name: str, project: str, scope: str) -> Operation:
        path = f"{project}/{scope}/operations/{name}"
        operation = self._by_name.get(name)
        if operation is None or operation.resource["selfLink"] != HOST + path:
            raise not_found(path)
        return operation

    def _end(self, operation: Operation, error: ApiError | None) -> None:
        if operation.change.work is not None and error is None:
            # Other operations end meanwhile.
            threading.Thread(target=self._finish, args=(operation, error), daemon=True).start()
        else:
            self._finish(operation, error)

    def _finish(self, operation: Operation, error: ApiError | None) -> None:
        change, resource = operation.change, operation.resource
        warnings = None
        if error is None and change.work is not None:
            try:
                change.work()
            except ApiError as refused:
                error = refused.later()
            except Exception as failure:
                error = ApiError(500, "INTERNAL_ERROR", f"Internal error: {failure}")
        with self._changed:
            if error is None:
                try:
                    warnings = change.effect()
                except ApiError as refused:
                    error = refused.later()
            if error is not None:
                change.abandon()
                resource |= error.of_operation
            if warnings:
                resource["warnings"] = warnings
            resource |= {"status": "DONE", "progress": 100, "endTime": now_text()}
            self._changed.notify_all()
        self._finished()


def _is_uuid(text: str) -> bool:
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(
        set(part) <= set("0123456789abcdefABCDEF") for part in parts
    )
