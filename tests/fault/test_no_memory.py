"""Allocations of the node that fail, one in so many, under load: it goes on, nothing accepted is lost, every event ends with one run."""

import json
import mmap
import os
import shutil
import struct
import subprocess

import pytest
from nexus.load import Load, check_nothing_lost
from nexus.node import Node, function, nexus
from nexus.wait import wait_until

# Stands before malloc and its kin: of what the node's own code asks for (the engine and libraries have their own words on that) every
# Nth is refused, from when the shared page says N.
NO_MEMORY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct page { _Atomic uint64_t every, asked, refused; };
static struct page *page;
static uintptr_t from, to;
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);

static int find_program(struct dl_phdr_info *info, size_t size, void *self)
{
    (void)size, (void)self;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
            from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            to = from + info->dlpi_phdr[i].p_memsz;
        }
    return 1; /* the first one is the program */
}

__attribute__((constructor)) static void begin(void)
{
    int fd = open(getenv("NO_MEMORY_PAGE"), O_RDWR | O_CLOEXEC);
    struct page *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED || strcmp(program_invocation_short_name, "nexus") != 0)
        return;
    dl_iterate_phdr(find_program, NULL);
    page = p;
}

static int refuses(void *caller)
{
    uint64_t every = page ? atomic_load(&page->every) : 0;

    if (!every || (uintptr_t)caller < from || (uintptr_t)caller >= to || atomic_fetch_add(&page->asked, 1) % every)
        return 0;
    atomic_fetch_add(&page->refused, 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t n) { return refuses(__builtin_return_address(0)) ? NULL : __libc_malloc(n); }
void *calloc(size_t count, size_t n) { return refuses(__builtin_return_address(0)) ? NULL : __libc_calloc(count, n); }
void *realloc(void *p, size_t n) { return refuses(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n); }
"""
STATIC = json.loads(nexus("version", "--json").stdout)["engine"].startswith("static")


class Page:
    def __init__(self, folder):
        self.file = folder / "page"
        self.file.write_bytes(bytes(24))
        (folder / "no_memory.c").write_text(NO_MEMORY)
        self.library = folder / "no_memory.so"
        subprocess.run([shutil.which("cc") or "gcc", "-O1", "-shared", "-fPIC", "-o", self.library, folder / "no_memory.c", "-ldl"], check=True, timeout=60)
        with self.file.open("r+b") as f:
            self.map = mmap.mmap(f.fileno(), 24)

    @property
    def env(self):
        return {"LD_PRELOAD": str(self.library), "NO_MEMORY_PAGE": str(self.file)}

    def refuse(self, every):
        self.map[0:8] = struct.pack("=Q", every)

    @property
    def refused(self):
        return struct.unpack("=Q", self.map[16:24])[0]


@pytest.mark.skipif(STATIC, reason="the engine, which ends the process without memory, is part of a release's program")
@pytest.mark.skipif("NX_SANITIZER" in os.environ, reason="sanitizers have a malloc of their own")
@pytest.mark.timeout(300)
def test_allocations_that_fail_lose_nothing(project, guests):
    page = Page(project.dir)
    probe = project.module(guests.rust("probe.rs"))
    project.write({"log": {"level": "warn"}, "functions": [
        function("load", probe, retry={"max_attempts": 5, "initial_interval": "100ms"}),
        function("keyed", probe, ordering="key"),
    ]})
    with Node(project, env=page.env) as node:
        pid = node.process.pid
        plain = Load(lambda: node.url, threads=3, rest=0.003)
        keyed = Load(lambda: node.url, path="/events/keyed", threads=1, rest=0.003)
        with plain, keyed:
            for every in (53, 17, 7):
                wait_until(lambda: plain.count > 50, "events", 30, on_failure=node.log)
                page.refuse(every)
                enough = page.refused + 50
                wait_until(lambda: page.refused > enough or node.process.poll() is not None, f"refusals, one in {every}", 60, on_failure=node.log)
                page.refuse(0)
                assert node.process.poll() is None, node.log()
                seen = plain.count
                wait_until(lambda: plain.count > seen + 50, f"events after one in {every} was refused", 60, on_failure=node.log)
        assert node.process.pid == pid and node.process.poll() is None, node.log()
        print(f"{page.refused} allocations refused; {plain.count + keyed.count} events accepted, {len(plain.refused) + len(keyed.refused)} refused, "
              f"{plain.broken + keyed.broken} connections broken")
        assert page.refused >= 150
        check_nothing_lost(node, plain)
        check_nothing_lost(node, keyed, function="keyed")
        assert node.call("load", "echo after").status_code == 200
