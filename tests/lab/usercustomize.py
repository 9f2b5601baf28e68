# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On the lab's machines: what Ansible sends with every module starts in a fraction of the time.

Python keeps no compiled code of what it imports from a zip file, so that three quarters of a module's time go into
compiling the same 5,000 lines. Here it is kept. Most of the rest goes into imports from Python's library. So the first
module leaves a twin behind, which has imported what all modules need. Each later one has a fork of the twin do its
work: with the same environment, directory and standard streams.

Only a Python that reads a module from its standard input is concerned; by the twin, only root's. A twin works for
Pythons that would have started as it did, and each has its own order of a set's members, so none works for long.
"""

import os
import sys

TYPE_CHECKING = False  # as `typing` has it, which takes long to import
if TYPE_CHECKING:
    import socket

KEPT = "/var/cache/lab-bytecode"
# What decides how a Python starts, beside variables of its own.
STARTS_BY = (b"LANG", b"LC_ALL", b"LC_CTYPE", b"TZ")
FORKS = 20  # of one twin: a run that is repeated meets another one
BEGUN = b"begun"
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

    if any(name.startswith(b"PYTHON") for name in os.environb):
        return
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    if connection.fileno() in STREAMS:
        return  # they are not all open
    twin = _twin()
    if connection.connect_ex(twin) != 0:
        if os.fork() == 0:
            try:
                _be_twin(twin)
            finally:
                os._exit(1)
        return
    umask = os.umask(0)
    os.umask(umask)
    streams = b"".join(each.to_bytes(4, sys.byteorder) for each in STREAMS)
    try:
        told = marshal.dumps((dict(os.environb), os.getcwdb(), umask))
        connection.sendmsg([told], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
        if connection.recv(8) != BEGUN:
            return
    except OSError:
        return  # the twin has just ended, or there is more to tell than fits
    _end_as(connection.recv(8))


def _twin() -> str:
    """An abstract socket, which ends with the process."""
    import _imp

    values = [os.environb.get(name, b"-") for name in STARTS_BY]
    starts = b"\0".join((os.fsencode(sys.executable), os.fsencode(__file__), *values))
    return f"\0lab-python-{_imp.source_hash(sys.hexversion, starts).hex()}"


def _end_as(told: bytes) -> None:
    if not told:
        os.write(2, b"The lab's twin of this Python ended before the work did.\n")
        os._exit(1)
    status = int(told)
    if status < 0:
        import signal

        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)


def _be_twin(name: str) -> None:
    import contextlib
    import gc
    import importlib
    import select
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
        listening.bind(name)
    except OSError:
        os._exit(0)  # there is another one
    keep_compiled()
    for module in LIBRARY.split():
        importlib.import_module(module)
    gc.freeze()
    listening.listen(64)
    polled = select.poll()
    polled.register(listening, select.POLLIN)
    working: dict[int, tuple[int, socket.socket]] = {}
    forks = 0
    while forks < FORKS or working:
        for ready, _event in polled.poll():
            if ready in working:
                # How it ended, however it did: the module's own children have no part in this.
                polled.unregister(ready)
                os.close(ready)
                pid, client = working.pop(ready)
                with contextlib.suppress(OSError), client:
                    client.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
                continue
            client = listening.accept()[0]
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            if struct.unpack("3i", credentials)[1] != os.getuid():
                client.close()  # everybody can reach an abstract socket
                continue
            pid = os.fork()
            if pid == 0:
                try:
                    _work(client)
                finally:
                    os._exit(1)
            fd = os.pidfd_open(pid)
            working[fd] = pid, client
            polled.register(fd, select.POLLIN)
            forks += 1
            if forks == FORKS:
                polled.unregister(listening)
                listening.close()
    os._exit(0)


def _work(client: "socket.socket") -> None:
    """What the client would do: run what it reads. Not the whole end of a Python, which touches all there is."""
    import atexit
    import marshal
    import socket
    import threading

    os.setsid()  # as sshd's: a module may signal its whole group
    told, streams, _flags, _address = socket.recv_fds(client, 1 << 17, len(STREAMS))
    environment, directory, umask = marshal.loads(told)
    os.chdir(directory)
    os.umask(umask)
    os.environb.clear()
    os.environb.update(environment)
    sys.path.insert(0, "")
    for stream, given in zip(STREAMS, streams, strict=True):
        os.dup2(given, stream)
    client.send(BEGUN)
    os.closerange(3, 256)  # the other clients', too
    status = 0
    try:
        exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec"), sys.modules["__main__"].__dict__)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            status = end.code or 0
        else:
            print(end.code, file=sys.stderr)
            status = 1
    except BaseException as error:
        # Without this file's own line.
        traceback = error.__traceback__ and error.__traceback__.tb_next
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        status = 1
    # A fork that the module made ends here as well.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


if sys.orig_argv[1:] == [] and not os.isatty(0):
    if os.getuid() == 0:
        hand_over()
    keep_compiled()
