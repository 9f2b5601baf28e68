# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``connect.py NAMESPACE HOST PORT``: SSH's proxy command into a lab.

Connects from the network namespace and hands the connected socket to ssh
(``ProxyUseFdpass``), so that nothing is relayed and no process stays.
"""

import ctypes
import os
import socket
import sys

CLONE_NEWNET = 0x40000000


def main() -> None:
    namespace, host, port = sys.argv[1:]
    if ctypes.CDLL(None).setns(os.open(namespace, os.O_RDONLY), CLONE_NEWNET) != 0:
        sys.exit(f"cannot enter {namespace}")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.setblocking(True)
        with socket.socket(fileno=os.dup(1)) as ssh:
            socket.send_fds(ssh, [b"\0"], [connection.fileno()])


if __name__ == "__main__":
    main()
