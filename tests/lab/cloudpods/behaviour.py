# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Cloudpods behaves: how long things take, and what goes wrong, as it is told while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from lab.cloudpods.errors import ApiError
from lab.emulation import behaviour

# A status -> the class and the sentence that are usual with it.
_WORDS = {
    400: ("InvalidStatusError", "The resource is not in a status for this"),
    401: ("UnauthorizedError", "Unauthorized"),
    403: ("ForbiddenError", "not enough privilege"),
    404: ("ResourceNotFoundError", "Resource not found"),
    409: ("ConflictError", "The resource is busy"),
    429: ("TooManyRequests", "Too many requests"),
    500: ("InternalServerError", "Internal server error"),
}
_OTHER = ("ServerError", "The service is not available, try again later")


class Fault(behaviour.Fault):
    """In Cloudpods' words: ``reason`` is the class of the error, ``message`` its details."""

    def refusal(self) -> ApiError:
        """See `lab.emulation.behaviour.Fault`."""
        kind, details = _WORDS.get(self.status, _OTHER)
        return ApiError(self.status, self.reason or kind, self.message or details, self.retry_after)


@dataclass
class Behaviour(behaviour.Behaviour):
    """Of a task: what goes on after an EIP action was answered."""

    fault = Fault
    latency_s: float = 0.4
    propagation_s: float = 0.1
    token_lifetime_s: float = 86400.0
