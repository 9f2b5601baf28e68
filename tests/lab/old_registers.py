# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python old_registers.py COMMAND...: run user-mode Linux on processors with more registers than it has room for.

Linux 6.1 as a process keeps the registers of its processes in an area of a fixed size, which ends before the tiles of
newer processors (AMX). Its host refuses an area of another size than the processor's, and the kernel panics at once
("ptrace set fp regs failed"). Where the host does not offer that area, user-mode Linux takes the older, smaller one;
so this command refuses the question by a filter of system calls. It does so on every processor: each machine then
tests the same. The kernel no longer keeps the wide registers (AVX), so none of its processes may use them: each needs
the variables below, from the first process to what SSH starts. Without them systemd hangs before SSH answers.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

# For every process of that kernel. On its command line they reach the first one.
ENVIRONMENT = [
    "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX_Fast_Unaligned_Load",
    "OPENSSL_ia32cap=~0x1000000000000000:~0xffffffffffffffff",
]
PTRACE, GETREGSET, XSTATE = 101, 0x4204, 0x202
X86_64 = 0xC000003E
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 22  # EINVAL
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2


def instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


def refuse_large_registers() -> None:
    """From now on, for this process and its children. Offsets: of struct seccomp_data."""
    program = b"".join(
        [
            instruction(LOAD, 4),
            instruction(EQUAL, X86_64, 0, 7),
            instruction(LOAD, 0),
            instruction(EQUAL, PTRACE, 0, 5),
            instruction(LOAD, 16),
            instruction(EQUAL, GETREGSET, 0, 3),
            instruction(LOAD, 32),
            instruction(EQUAL, XSTATE, 0, 1),
            instruction(RETURN, REFUSE),
            instruction(RETURN, ALLOW),
        ]
    )
    instructions = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 4
    if prctl(NO_NEW_PRIVILEGES, 1, None, None, None) or prctl(SECCOMP, FILTER, described, None, None):
        raise OSError(ctypes.get_errno(), "the filter of system calls was refused")


def main(command: list[str]) -> None:
    refuse_large_registers()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
