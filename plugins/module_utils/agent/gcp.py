# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The common parts of the actions in Google Cloud: options, the node's identity, its token, and a client of the API."""

from __future__ import annotations

import contextlib
import time

from ..base import url as urls
from ..base.errors import CloudError
from ..clouds.gce import Compute
from ..clouds.session import StdlibSession
from ..clouds.tokens import Metadata, MetadataToken
from . import kinds
from .config import Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .config import Section

# A look is one short request. It must not stand in the way of a run for longer than this.
LOOK_TIMEOUT = 3.0
REQUEST_TIMEOUT = 10.0
NAME_IN_WORDS = "1 to 63 small letters, digits or '-', a letter first, and no '-' at the end"
OPTIONS: dict[str, type] = {"endpoint": str, "ca_file": kinds.Path, "metadata_url": str}


class GcpAction(Action):
    endpoint: str
    ca_file: str | None
    metadata_url: str


def parse(section: Section, action: GcpAction) -> None:
    """Take the options of ``OPTIONS``."""
    action.endpoint = _service(section, "endpoint", "https://compute.googleapis.com/compute/v1")
    action.ca_file = section.path("ca_file", None)
    action.metadata_url = _service(section, "metadata_url", "http://169.254.169.254")


def _service(section: Section, key: str, default: str) -> str:
    text = str(section.take(key, str, default)).rstrip("/")
    url = urls.parse(text)
    if url is None or url.scheme == "tcp" or not url.in_range or set("?#") & set(text):
        section.problem(key, f"must be like {default}, not {text!r}")
    return text


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
