# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors that a cloud's client may raise: the class tells the caller how to react, the text says all that is
known."""

from __future__ import annotations

from .masking import masked

# Of what a hostile service says; the end of the sentence is what to do.
TEXT_LIMIT, TEXT_END = 4000, 500


class CloudError(Exception):
    """A request failed. The text is a sentence which names the resource and quotes the API, but no secret.

    resource: its name or path. status: of HTTP, 0 without an answer. code: the API's own word, such as QUOTA_EXCEEDED.
    retry_after: seconds that the API asked to wait, or None. accepted: the API took the change; the outcome is
    unknown.
    """

    accepted = False

    def __init__(
        self, message: str, *, resource: str = "", status: int = 0, code: str = "", retry_after: float | None = None
    ) -> None:
        if len(message) > TEXT_LIMIT:
            message = f"{message[: TEXT_LIMIT - TEXT_END]} ... {message[-TEXT_END:]}"
        super().__init__(masked(message))
        self.resource = masked(resource)
        self.status = status
        self.code = masked(code[:TEXT_END])
        self.retry_after = retry_after


class NotFound(CloudError):
    """It is not there."""


class AlreadyExists(CloudError):
    """Something of this name is there."""


class Stale(CloudError):
    """It was changed since it was read: a fingerprint or a revision does not match."""


class Denied(CloudError):
    """No credentials, or not the permission."""


class Invalid(CloudError):
    """The API refuses the request as it is."""


class Quota(CloudError):
    """A quota is used up."""


class Exhausted(CloudError):
    """The place has none left of what is asked for."""


class Unavailable(CloudError):
    """Not now: a rate limit, a failure of the service, another operation in progress, a zone that is down."""


class PlaceDown(Unavailable):
    """The API works, and says that it does not reach the place that was asked for, such as a zone."""


class Lost(Unavailable):
    """The connection was lost or timed out: the request may have taken effect, or may yet."""
