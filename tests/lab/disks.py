# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks, and images of them.

Runs inside the lab's namespaces. A disk is what was changed on top of the lab's Debian: the upper directory of an
overlay, in memory. When an image is made of it, that directory becomes a layer, which is never changed again, and the
disk goes on with an empty one on top. So an image costs nothing when it is made, and machines share its layers. A layer
is gone with the last disk or image that has it.
"""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path
from urllib.parse import quote

from lab import LabError
from lab.keeper import DISKS
from lab.places import locked
from lab.process import run

_LAYERS, _IMAGES = Path("/run/layers"), Path("/run/images")


def make(disk: str, image: str) -> None:
    """A new disk with the content of an image; of one that was made of no disk: the lab's Debian."""
    with locked(DISKS):
        here = _at(DISKS, disk)
        if here.exists():
            raise LabError(f"there is a disk '{disk}' already")
        _lay_out(here, _layers(_at(_IMAGES, image)))


def mounted(disk: str, base: Path) -> Path:
    """The root file system on a disk, over the Debian ``base``; a disk that is not there yet is made."""
    with locked(DISKS):
        here = _at(DISKS, disk)
        root = here / "root"
        if not here.is_dir():
            _lay_out(here, [])
        if not root.is_dir():
            root.mkdir()
            lower = ":".join(str(each) for each in (*(_LAYERS / layer for layer in _layers(here / "layers")), base))
            layers = f"lowerdir={lower},upperdir={here}/upper,workdir={here}/work"
            run("mount", "-t", "overlay", "-o", layers, "overlay", str(root))
        return root


def delete(disk: str) -> None:
    """Forget a disk that no running machine has."""
    with locked(DISKS):
        here = _at(DISKS, disk)
        if here.is_dir():
            _unmount(here)
            shutil.rmtree(here)
            _sweep()


def make_image(image: str, disk: str) -> None:
    """An image of a disk that no running machine has."""
    with locked(DISKS):
        here = _at(DISKS, disk)
        if not here.is_dir():
            raise LabError(f"there is no disk '{disk}'")
        _unmount(here)
        layers = _layers(here / "layers")
        if any((here / "upper").iterdir()):
            new = secrets.token_hex(4)
            _LAYERS.mkdir(exist_ok=True)
            (here / "upper").rename(_LAYERS / new)
            layers = [new, *layers]
            shutil.rmtree(here)
            _lay_out(here, layers)
        _IMAGES.mkdir(exist_ok=True)
        _at(_IMAGES, image).write_text(json.dumps(layers))


def delete_image(image: str) -> None:
    """Forget an image; disks that were made of it stay as they are."""
    with locked(DISKS):
        _at(_IMAGES, image).unlink(missing_ok=True)
        _sweep()


def _at(directory: Path, name: str) -> Path:
    return directory / (quote(name, safe="") or "-")


def _layers(listed: Path) -> list[str]:
    """The layers in a list, the uppermost first; without a list: none."""
    return json.loads(listed.read_text()) if listed.exists() else []


def _lay_out(disk: Path, layers: list[str]) -> None:
    for part in ("upper", "work"):
        (disk / part).mkdir(parents=True)
    (disk / "layers").write_text(json.dumps(layers))


def _unmount(disk: Path) -> None:
    root = disk / "root"
    if root.is_dir():
        run("umount", str(root))
        root.rmdir()


def _sweep() -> None:
    """Remove the layers that nothing has any more."""
    lists = [*DISKS.glob("*/layers"), *_IMAGES.glob("*")]
    used = {layer for each in lists for layer in _layers(each)}
    for layer in _LAYERS.glob("*"):
        if layer.name not in used:
            shutil.rmtree(layer)
