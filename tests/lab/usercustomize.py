# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On the lab's machines: what Ansible sends with every module starts in a fraction of the time.

Python keeps no compiled code of what it imports from a zip file, so that three quarters of a module's time go into
compiling the same 5,000 lines. Here it is kept. Most of the rest goes into imports from Python's library. So the first
module leaves a twin behind, which has imported what all modules need. Each later one has a fork of the twin do its
work: with the same environment, directory and standard streams.

Only a Python that reads a module from its standard input is concerned; by the twin, only root's.
"""

import os
import sys

TYPE_CHECKING = False  # as `typing` has it, which takes long to import
if TYPE_CHECKING:
    import socket

KEPT = "/var/cache/lab-bytecode"
TWIN = "\0lab-python"  # an abstract socket, which ends with the process
# The part of Python's library that ansible.module_utils.basic imports.
LIBRARY = """
__future__ argparse array ast atexit base64 binascii collections.abc contextlib copy ctypes dataclasses datetime decimal
dis encodings.cp437 encodings.idna enum errno fcntl fnmatch functools gettext grp hashlib importlib.machinery
importlib.util inspect ipaddress itertools json keyword linecache locale logging numbers opcode pathlib pkgutil platform
pwd random re reprlib runpy select selectors shlex shutil signal socket string stringprep struct subprocess syslog
tempfile textwrap threading token tokenize traceback types typing unicodedata urllib.parse warnings weakref zipfile
zipimport
"""
STREAMS = (0, 1, 2)


def keep_compiled() -> None:
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


def hand_over() -> None:
    """Have the twin's fork do this process's work, and end as it ended; return where the work is to be done."""
    # What Python has built in, as importing is what this is to save.
    import _socket
    import marshal

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    if connection.connect_ex(TWIN) != 0:
        if os.fork() == 0:
            _be_twin()
        return
    umask = os.umask(0)
    os.umask(umask)
    streams = b"".join(each.to_bytes(4, sys.byteorder) for each in STREAMS)
    told = marshal.dumps((dict(os.environb), os.getcwdb(), umask))
    connection.sendmsg([told], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
    os._exit(int(connection.recv(8) or b"1"))


def _be_twin() -> None:
    import gc
    import importlib
    import socket
    import struct

    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for each in STREAMS:
        os.dup2(null, each)
    os.closerange(3, 256)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listening.bind(TWIN)
    except OSError:
        os._exit(0)  # there is another one
    keep_compiled()
    for name in LIBRARY.split():
        importlib.import_module(name)
    gc.freeze()
    listening.listen(64)
    forks = 0
    while True:
        client = listening.accept()[0]
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] != 0:
            client.close()  # everybody can reach an abstract socket
            continue
        while forks and os.waitpid(-1, os.WNOHANG)[0]:
            forks -= 1
        if os.fork() == 0:
            listening.close()
            _work(client)
        forks += 1
        client.close()


def _work(client: "socket.socket") -> None:
    """What the client would do: run what it reads. Not the whole end of a Python, which touches all there is."""
    import atexit
    import marshal
    import socket
    import threading

    told, streams, _flags, _address = socket.recv_fds(client, 1 << 17, len(STREAMS))
    environment, directory, umask = marshal.loads(told)
    for stream, given in zip(STREAMS, streams, strict=True):
        os.dup2(given, stream)
        os.close(given)
    os.environb.clear()
    os.environb.update(environment)
    os.chdir(directory)
    os.umask(umask)
    sys.path.insert(0, "")
    status = 0
    try:
        exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec"), sys.modules["__main__"].__dict__)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else bool(end.code)
        if not isinstance(end.code, (int, type(None))):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    client.send(str(status & 0xFF).encode())
    os._exit(0)


if sys.orig_argv[1:] == []:
    if os.getuid() == 0:
        hand_over()
    keep_compiled()
