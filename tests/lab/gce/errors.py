# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers when it does not do what it was asked."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from lab.emulation.emulator import Dropped, Refused

__all__ = ["ApiError", "Dropped", "invalid", "not_found", "required"]

# An operation's words that are not only the answer's written otherwise.
_CODES = {
    "alreadyExists": "RESOURCE_ALREADY_EXISTS",
    "notFound": "RESOURCE_NOT_FOUND",
    "invalid": "INVALID_FIELD_VALUE",
}


class ApiError(Refused):
    """An HTTP status, Google's word for it, a sentence."""

    def __init__(self, status: int, reason: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON. Its shape is in no schema of the discovery document."""
        message = str(self)
        errors = [{"message": message, "domain": "global", "reason": self.reason}]
        return {"error": {"code": self.status, "message": message, "errors": errors}}

    @property
    def headers(self) -> dict[str, str]:
        """Retry-After, or how to log in."""
        login = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'} if self.status == 401 else {}
        return {**login, **({} if self.retry_after is None else {"Retry-After": str(self.retry_after)})}

    def later(self) -> ApiError:
        """The same, found when an operation ends."""
        code = _CODES.get(self.reason) or re.sub("(?<=[a-z])(?=[A-Z])", "_", self.reason).upper()
        return ApiError(self.status, code, str(self))

    @property
    def of_operation(self) -> dict[str, Any]:
        """The fields of an operation that ended with it."""
        return {
            "error": {"errors": [{"code": self.reason, "message": str(self)}]},
            "httpErrorStatusCode": self.status,
            "httpErrorMessage": HTTPStatus(self.status).phrase.upper(),
        }


def not_found(path: str) -> ApiError:
    """What is at ``path`` is not there."""
    return ApiError(404, "notFound", f"The resource '{path}' was not found")


def invalid(field: str, value: object, why: str) -> ApiError:
    """A field of the request's body, or a parameter, has a value that cannot be."""
    return ApiError(400, "invalid", f"Invalid value for field '{field}': '{value}'. {why}")


def required(field: str) -> ApiError:
    """A field or parameter is missing."""
    return ApiError(400, "required", f"Required field '{field}' not specified")
