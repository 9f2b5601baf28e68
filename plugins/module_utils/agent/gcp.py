# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the actions in Google Cloud have in common: who this node is, its token, and a client of the API."""

from __future__ import annotations

import contextlib
import time

from ..base.errors import CloudError
from ..clouds.gce import Compute
from ..clouds.session import StdlibSession
from ..clouds.tokens import Metadata, MetadataToken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .config import GcpAction

# A look is one short request. It must not stand in the way of a run for longer than this.
LOOK_TIMEOUT = 3.0
REQUEST_TIMEOUT = 10.0


class Identity:
    """``me``: this instance's path, and ``project``: its project, once find_out() has asked the metadata server."""

    def __init__(self, config: GcpAction) -> None:
        self.me = self.project = ""
        self.metadata = Metadata(config.metadata_url)
        self.tokens = MetadataToken(metadata=self.metadata)
        self._config = config

    def find_out(self) -> None:
        project = self.metadata.project()
        self.me = f"projects/{project}/zones/{self.metadata.zone()}/instances/{self.metadata.instance()}"
        self.project = project

    def session(self) -> StdlibSession:
        return StdlibSession(self._config.endpoint, ca_file=self._config.ca_file)

    def client(self, session: StdlibSession, project: str) -> Compute:
        return Compute(
            session,
            project,
            tokens=self.tokens,
            endpoint=self._config.endpoint,
            timeout=REQUEST_TIMEOUT,
            operation_timeout=self._config.timeout,
        )


class Answers:
    """How long the API's answers take, and since when there are none, for people."""

    def __init__(self, endpoint: str) -> None:
        self.error: str | None = None
        self._endpoint = endpoint
        self._latency: float | None = None
        self._answered: int | None = None

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Around a request that is made everywhere, again and again, and waits for no operation."""
        started = time.monotonic()
        try:
            yield
        except CloudError as error:
            self.error = str(error)
            raise
        self._latency, self._answered, self.error = round((time.monotonic() - started) * 1000, 3), time.time_ns(), None

    def status(self) -> dict[str, Any]:
        return {
            "endpoint": self._endpoint,
            "latency_ms": self._latency,
            "answered": self._answered,
            "error": self.error,
        }
