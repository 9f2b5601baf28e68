# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers when it does not do what it was asked."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from lab.emulation.emulator import Refused


class ApiError(Refused):
    """An HTTP status, Cloudpods' class of error, a sentence. ``utc_offset_h``: of the clock of who says it."""

    utc_offset_h = 0

    def __init__(self, status: int, kind: str, details: str, retry_after: int | None = None) -> None:
        super().__init__(details)
        self.status = status
        self.kind = kind
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        zone = timezone(timedelta(hours=self.utc_offset_h))
        moment = datetime.now(zone).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {"class": self.kind, "code": self.status, "details": str(self), "time": moment}

    @property
    def headers(self) -> dict[str, str]:
        """A 400 has its sentence as Location, of all headers."""
        location = {"Location": str(self).strip()} if 300 <= self.status <= 400 else {}
        return {**location, **({} if self.retry_after is None else {"Retry-After": str(self.retry_after)})}


def nested(status: int, kind: str, sentence: str, *fields: str, prefix: str) -> ApiError:
    """What one part of the service was told by another: the details are JSON. ``sentence`` has a %s for each field."""
    data = {**({"fields": fields} if fields else {}), "id": sentence}
    inner = {"class": kind, "code": status, "data": data, "details": sentence % fields}
    text = json.dumps({"error": inner}, separators=(",", ":"), ensure_ascii=False)
    return ApiError(status, kind, f"{prefix}: {text}")


def bad_input(details: str) -> ApiError:
    """A value that cannot be."""
    return ApiError(400, "InputParameterError", details)


def missing(parameter: str) -> ApiError:
    """A parameter that has to be there."""
    return ApiError(400, "MissingParameterError", f"Missing parameter {parameter}")


def bad_status(details: str) -> ApiError:
    """It cannot be done as things are."""
    return ApiError(400, "InvalidStatusError", details)


def conflict(details: str) -> ApiError:
    """Something is in the way."""
    return ApiError(409, "ConflictError", details)


def not_found(keyword: str, key: str) -> ApiError:
    """There is none of this id or name."""
    return ApiError(404, "ResourceNotFoundError", f"{keyword} {key} not found")


def not_here(what: str) -> ApiError:
    """The real service may have it, this one has not."""
    return ApiError(501, "NotImplementedError", f"The lab's Cloudpods does not have {what}.")
