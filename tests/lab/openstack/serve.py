# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve Keystone or Neutron on a socket that the caller has bound, until the caller is gone.

Run by the Python of `lab.openstack.environment`: ``serve.py keystone|neutron FD CONFIGURATION...``. Standard input is
a pipe whose other end the caller holds: it ends when the caller does, however that came about, and takes the working
directory with it.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from pathlib import Path


def main(name: str, fd: int, configuration: list[str]) -> None:
    """Serve for ever."""
    threading.Thread(target=_end_with_caller, args=(Path.cwd(),), daemon=True).start()
    # Without a directory of its own, a service reads what an installed one has in /etc.
    none = Path.cwd() / f"{name}.conf.d"
    none.mkdir()
    if name == "keystone":
        os.environ["OS_KEYSTONE_CONFIG_FILES"] = ";".join(configuration)
        sys.argv = ["keystone", "--config-dir", str(none)]
        from keystone.wsgi.api import application  # type: ignore[import-not-found]
    else:
        files = (word for path in configuration for word in ("--config-file", path))
        sys.argv = ["neutron", *files, "--config-dir", str(none)]
        from neutron.wsgi.api import application  # type: ignore[import-not-found]
    from waitress import serve  # type: ignore[import-untyped, import-not-found, unused-ignore]

    # One thread: with more, SQLite answers some requests that the database is locked.
    serve(application, sockets=[socket.socket(fileno=fd)], threads=1, ident=None)


def _end_with_caller(state: Path) -> None:
    sys.stdin.buffer.read()
    shutil.rmtree(state, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
