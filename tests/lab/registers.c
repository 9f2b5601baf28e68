/* Copyright (c) 2026, the cloudha.vip contributors
 * GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * For user-mode Linux on processors with more registers than it has room for; loaded into it by LD_PRELOAD.
 *
 * Linux 6.1 as a process keeps the wide registers of its processes in an area of a fixed size, which ends before the
 * tiles of newer processors (AMX). The host gives as much as there is room for, but takes back only the whole: the
 * kernel panics at once ("ptrace set fp regs failed"). So the rest, which nobody there uses, is added.
 */

enum { GETREGSET = 0x4204, SETREGSET = 0x4205, XSTATE = 0x202, LARGEST = 65536 };

struct area {
    void *base;
    unsigned long size;
};

extern void *dlsym(void *library, const char *name);
extern void *memcpy(void *to, const void *from, unsigned long size);

long ptrace(int request, long process, long what, void *data) {
    static long (*next)(int, long, long, void *);
    static char whole[LARGEST];
    static struct area host = {whole, 0};
    struct area *given = data;

    if (!next) next = dlsym((void *)-1L, "ptrace");
    if (request != SETREGSET || what != XSTATE) return next(request, process, what, data);
    if (!host.size) {
        host.size = sizeof whole;
        if (next(GETREGSET, process, XSTATE, &host)) {
            host.size = 0;
            return -1;
        }
    }
    if (given->size >= host.size) return next(request, process, what, data);
    memcpy(whole, given->base, given->size);
    return next(SETREGSET, process, XSTATE, &host);
}
