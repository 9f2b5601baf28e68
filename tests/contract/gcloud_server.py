# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's client imports for a second and a half, and works for a third of one. Here it imports once, and forks.

``gcloud`` starts this in front of its own program, by CLOUDSDK_PYTHON_ARGS, with the Python of its choice. Each line
that it is told is a command, as an object of JSON; each that it says is how the command ended.
"""

import contextlib
import importlib
import json
import os
import signal
import sys

sys.path[0] = os.path.dirname(sys.argv[1])
import gcloud  # noqa: E402

sys.path = gcloud.reorder_sys_path(sys.path)
gcloud._fix_google_module()
gcloud._import_gcloud_main()
with contextlib.suppress(ImportError):  # another release may have it elsewhere; then each command imports it
    importlib.import_module("googlecloudsdk.generated_clients.apis.compute.v1.compute_v1_client")
while line := sys.stdin.readline():
    command = json.loads(line)
    pid = os.fork()
    if pid == 0:
        signal.alarm(command["timeout"])
        opened = (os.devnull, os.O_RDONLY), *((command[name], os.O_WRONLY | os.O_CREAT) for name in ("out", "err"))
        for descriptor, (path, flags) in enumerate(opened):
            os.dup2(os.open(path, flags), descriptor)
        os.chdir(command["directory"])
        os.environ.clear()
        os.environ.update(command["environment"])
        sys.argv = ["gcloud", *command["words"]]
        gcloud.main()
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
