# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On the lab's machines: what Ansible sends with every module is compiled once.

Python keeps no compiled code of what it imports from a zip file, so that three quarters of a module's time go into
compiling the same 5,000 lines. Only a Python that reads a module from its standard input is concerned.
"""

import os
import sys

KEPT = "/var/cache/lab-bytecode"

if sys.orig_argv[1:] == []:
    import _imp
    import marshal
    import zipimport

    compile_source = zipimport._compile_source  # type: ignore[attr-defined]

    def kept(path: str, source: bytes) -> object:
        name = f"{KEPT}/{_imp.source_hash(sys.hexversion, source).hex()}"
        try:
            with open(name, "rb") as file:
                return marshal.loads(file.read())
        except (OSError, ValueError, EOFError, TypeError):
            pass
        code = compile_source(path, source)
        part = f"{name}.{os.getpid()}"
        try:
            os.makedirs(KEPT, mode=0o700, exist_ok=True)
            with open(part, "wb") as file:
                file.write(marshal.dumps(code))
            os.replace(part, name)
        except OSError:
            pass
        return code

    zipimport._compile_source = kept  # type: ignore[attr-defined]
