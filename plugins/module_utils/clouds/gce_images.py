# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compute Engine's API for images, and for the instances that they are made from."""

from __future__ import annotations

from .gce_library import Library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FAMILY = "/global/images/family/"


class Images(Library):
    """A project's images and instances. All is named by its path."""

    def get_source(self, path: str) -> dict[str, Any]:
        """An image by its path, or the newest one of a family that is not deprecated. Raises NotFound."""
        project, _family, name = path.partition(FAMILY)
        if not name:
            return self.get(path)
        return self._read(f"{project}/global/images", "get_from_family", family=name)[0]

    def start_instance(self, path: str, request_id: str) -> None:
        self.change("POST", f"{path}/start", None, request_id, f"start instance {path}", path)
