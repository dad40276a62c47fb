/* symbolise.c: places in the source for the frames of a backtrace, on demand: line tables in the engine would grow compiled code fifteen-fold. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dwarf_lines.h"
#include "rt_internal.h"
#include "source_map.h"

#define FACTS_BYTES_MAX (64u << 20)
#define ADDRESS_BYTES 20u
#define ANSWER_BYTES (NX_RT_FRAMES_MAX * (NX_RT_PLACE_FILE_BYTES + 32u))

/* ---- in the child */

nx_err nx_rt_symbolise_in_child(nx_slice module, char *const *addresses, unsigned n, int out_fd)
{
    static nx_rt_place places[NX_RT_FRAMES_MAX];
    nx_arena arena = NX_ARENA_INIT(FACTS_BYTES_MAX);
    nx_rt_facts facts;
    nx_err err = nx_rt_facts_read(module, &arena, &facts, NULL);
    if (n > NX_RT_FRAMES_MAX) n = NX_RT_FRAMES_MAX;
    for (unsigned i = 0; i < n && !err; i++) places[i].address = strtoull(addresses[i], NULL, 16) - facts.code_offset;
    if (!err) nx_rt_lines_find(&facts, places, n);
    if (!err) nx_rt_source_map_find(&facts, &arena, places, n);
    for (unsigned i = 0; i < n && !err; i++)
        if (places[i].line && dprintf(out_fd, "%u %s:%llu\n", i, places[i].file, (unsigned long long)places[i].line) < 0) err = NX_EIO;
    nx_arena_done(&arena);
    return err;
}

/* ---- in the node */

/* "#3 0x1a2c name" -> "0x1a2c" */
static bool address_of(nx_slice frame, char out[ADDRESS_BYTES])
{
    nx_slice rest;
    if (!nx_slice_starts(frame, NX_SLICE("#"))) return false;
    (void)nx_slice_split(frame, ' ', &rest);
    nx_slice address = nx_slice_split(rest, ' ', &rest);
    return nx_slice_starts(address, NX_SLICE("0x")) && nx_slice_to_cstr(address, out, ADDRESS_BYTES) == NX_OK;
}

static nx_err read_answer(int fd, nx_buf *out)
{
    char chunk[4096];
    ssize_t n;
    for (off_t at = 0; (n = pread(fd, chunk, sizeof chunk, at)) != 0; at += n) {
        if (n < 0) return nx_err_from_errno(errno);
        nx_err err = nx_buf_append(out, chunk, (size_t)n);
        if (err) return err;
    }
    return NX_OK;
}

/* The line of the answer that begins with "INDEX ", without that. */
static nx_slice place_of(nx_slice answer, unsigned index)
{
    while (answer.n) {
        nx_slice place, line = nx_slice_split(answer, '\n', &answer), number = nx_slice_split(line, ' ', &place);
        uint64_t i;
        if (nx_slice_u64(number, NX_RT_FRAMES_MAX, &i) == NX_OK && i == index) return place;
    }
    return NX_SLICE_NULL;
}

static nx_err merge(nx_slice backtrace, nx_slice answer, nx_buf *out)
{
    unsigned index = 0;
    nx_err err = NX_OK;
    while (backtrace.n && !err) {
        char unused[ADDRESS_BYTES];
        nx_slice line = nx_slice_split(backtrace, '\n', &backtrace);
        err = nx_buf_append_slice(out, line);
        nx_slice place = address_of(line, unused) ? place_of(answer, index++) : NX_SLICE_NULL;
        if (!err && place.n) err = nx_buf_printf(out, " at %.*s", NX_SLICE_FMT(place));
        if (!err) err = nx_buf_append_char(out, '\n');
    }
    return err;
}

nx_err nx_rt_symbolise(nx_rt *r, nx_slice module, nx_slice backtrace, nx_buf *out, nx_error *reterr)
{
    char addresses[NX_RT_FRAMES_MAX][ADDRESS_BYTES];
    const char *args[NX_RT_FRAMES_MAX + 2] = {NX_RT_CHILD_SYMBOLISE};
    unsigned n = 0;
    for (nx_slice rest = backtrace; rest.n && n < NX_RT_FRAMES_MAX;) {
        nx_slice line = nx_slice_split(rest, '\n', &rest);
        if (!address_of(line, addresses[n])) continue;
        args[1 + n] = addresses[n];
        n++;
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf answer = NX_BUF_INIT(ANSWER_BYTES);
    int fd = memfd_create("nexus-places", MFD_CLOEXEC);
    if (fd < 0) return nx_error_set(reterr, nx_err_from_errno(errno), "memory file: %s", strerror(errno));
    nx_err err = n ? nx_rt_child_run(r->child_program, args, module, fd, reterr) : NX_OK;
    if (!err) err = read_answer(fd, &answer);
    (void)close(fd);
    if (!err) err = merge(backtrace, nx_buf_view(&answer), out);
    return err;
}
