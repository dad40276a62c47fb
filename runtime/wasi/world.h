/* wasi/world.h: everything one attempt can observe, and where what it says goes.
 * Why:       a run can be repeated bit for bit only when its clock, randomness, input and environment are ours (DESIGN 5).
 * Ownership: a world lives on the stack of the thread that runs the attempt; it borrows the attempt and a scratch.
 * Threads:   one at a time.
 * Knows nothing of the engine: guest memory is a base and a size, lent for the length of one host call. */
#ifndef NX_RT_WASI_WORLD_H
#define NX_RT_WASI_WORLD_H
#include "nx/rt.h"
#include "wasi/errno.h"

#define NX_RT_LINE_BYTES 8192u /* a longer line of stderr reaches on_log() in pieces */
#define NX_RT_TRACE_BYTES 8192u
#define NX_RT_CALL_MARK_BYTES 4u

/* Buffers that a thread uses again for every attempt, so that the warm path allocates nothing. */
typedef struct nx_rt_scratch {
    struct nx_rt_scratch *next;
    nx_sha256_ctx *logs_sha, *calls_sha;
    struct nx_rt_effects *effects; /* made at the first host call of module nexus */
    struct nx_rt_fs *fs;           /* made at the first call on a file */
    size_t line_n, trace_n;
    char line[NX_RT_LINE_BYTES];
    uint8_t trace[NX_RT_TRACE_BYTES];
} nx_rt_scratch;

nx_rt_scratch *nx_rt_scratch_new(void); /* NULL: out of memory */
void nx_rt_scratch_free(nx_rt_scratch *s);

/* Why a host call ended the run. */
typedef enum {
    NX_RT_END_NONE,
    NX_RT_END_EXIT,         /* proc_exit; exit_code */
    NX_RT_END_OUTPUT_LIMIT, /* stdout over max_output_bytes */
    NX_RT_END_INTERRUPTED,  /* at a check, past its deadline */
    NX_RT_END_ENDED,        /* at a check, by nx_rt_end_attempt() */
    NX_RT_END_DEADLINE,     /* slept longer than the timeout, or was inside an effect when it was over */
    NX_RT_END_NOMEM,        /* the node is out of memory: no outcome of the guest */
    NX_RT_END_CANCELED,     /* inside an effect, when the node stopped */
    NX_RT_END_EFFECTS_LIMIT,
    NX_RT_END_NOT_RECORDED,
    NX_RT_END_NO_SECRET, /* a replay that can't get the value that there was: no outcome of the guest */
    NX_RT_END_STOPPED    /* before the call that stop_at_call names */
} nx_rt_end;

typedef enum { NX_RT_FD_CLOSED,
               NX_RT_FD_STDIN,
               NX_RT_FD_STDOUT,
               NX_RT_FD_STDERR,
               NX_RT_FD_FILE,
               NX_RT_FD_DIR } nx_rt_fd;

/* What a descriptor stands for. */
typedef struct nx_rt_open {
    nx_rt_fd kind;
    uint16_t flags;              /* of __wasi_fdflags_t */
    uint64_t rights, inheriting; /* of __wasi_rights_t */
    struct nx_rt_node *node;     /* of a file or folder; held open */
    uint64_t position;           /* in a file */
    nx_slice preopened;          /* name under which it was there from the start; empty: it was not */
} nx_rt_open;
#define NX_RT_STREAMS 3u

typedef struct nx_rt_world {
    nx_attempt *attempt;
    nx_rt_scratch *scratch;
    const nx_rt_tree *files; /* the attempt's, or those of its program */
    /* Waits up to `ns`, or until the deadline, without holding a running slot. */
    void (*wait)(void *self, uint64_t ns);
    /* Around an effect: other attempts run meanwhile. All may be NULL. */
    void (*leave_slot)(void *self);
    void (*resume_slot)(void *self);
    void *wait_self;
    uint64_t begin_ns, deadline_ns; /* of the guest, on nx_clock_ns() */
    uint64_t now_ns;                /* the guest's wall clock */
    uint64_t slept_ns;              /* of the guest's time */
    size_t input_pos;
    nx_rt_open streams[NX_RT_STREAMS]; /* descriptors 0 to 2 */
    struct nx_rt_fs *fs;               /* the further ones: the scratch's, once the guest has used a file; else NULL */
    nx_chacha *random;                 /* made at the first use */
    struct nx_rt_effects *effects;     /* the scratch's, once the guest has made a host call of module nexus; else NULL */
    uint32_t value;                    /* result of a call that gives one */
    nx_rt_end end;
    int exit_code;
    bool is_logs_hashed;  /* logs_sha has begun */
    bool is_calls_hashed; /* calls_sha has begun: the trace did not fit into the scratch */
    bool is_calls_cut;
    bool is_line_told;       /* the line in the scratch begins within max_log_bytes */
    size_t line_told;        /* of it within the limit */
    bool has_secret;         /* the guest has seen the value of one */
    bool said_out_of_memory; /* stderr holds Rust's message of a failed allocation */
    bool is_panic_open;      /* the next line of stderr belongs to `panic` */
    char panic[200];         /* what Rust's runtime said of the last panic: "panicked at src/lib.rs:3:5: …" */
    size_t entry;            /* where the trace entry in the making begins */
    uint64_t blob_bytes;
    unsigned blob_kept;
    uint8_t blob[48];
} nx_rt_world;

/* The attempt's outcome is cleared by the caller before. */
void nx_rt_world_init(nx_rt_world *w, nx_attempt *a, nx_rt_scratch *s);
/* Flushes the last unfinished log line and fills digests and counts of the outcome. */
void nx_rt_world_finish(nx_rt_world *w);
void nx_rt_world_done(nx_rt_world *w);

/* One host call. `mem` is the guest's memory (NULL, 0: it has none). */
typedef struct nx_rt_call {
    nx_rt_world *w;
    uint8_t *mem;
    size_t mem_bytes;
    const uint64_t *args; /* i32 zero-extended */
} nx_rt_call;

/* ---- guest_memory.c: the only way to the guest's bytes. Nothing is assumed about alignment. */
/* NULL when [ptr, ptr + n) is not inside the memory. Valid for this host call. */
uint8_t *nx_rt_mem_at(const nx_rt_call *c, uint64_t ptr, uint64_t n);
bool nx_rt_mem_load_u32(const nx_rt_call *c, uint64_t ptr, uint32_t *ret);
bool nx_rt_mem_store_u32(const nx_rt_call *c, uint64_t ptr, uint32_t v);
bool nx_rt_mem_store_u64(const nx_rt_call *c, uint64_t ptr, uint64_t v);
uint16_t nx_rt_get_u16(const uint8_t *p);
uint32_t nx_rt_get_u32(const uint8_t *p);
uint64_t nx_rt_get_u64(const uint8_t *p);
void nx_rt_put_u16(uint8_t *p, uint16_t v);
void nx_rt_put_u32(uint8_t *p, uint32_t v);
void nx_rt_put_u64(uint8_t *p, uint64_t v);
#define NX_RT_IOVS_MAX 1024u
/* Checks an array of (pointer, length) pairs; *ret_bytes is the sum. NX_WASI_EINVAL (too many, sum over 32 bits), NX_WASI_EFAULT. */
uint8_t nx_rt_iovs_check(const nx_rt_call *c, uint64_t iovs, uint64_t n_iovs, uint64_t *ret_bytes);
/* The i-th buffer, checked again: an earlier one may have overwritten the array. NULL: out of bounds now. */
uint8_t *nx_rt_iov_at(const nx_rt_call *c, uint64_t iovs, uint64_t i, uint32_t *ret_bytes);

/* ---- calls_trace.c: what every host call was asked and answered. */
void nx_rt_trace_begin(nx_rt_world *w, uint8_t function);
void nx_rt_trace_value(nx_rt_world *w, uint64_t v);
void nx_rt_trace_bytes(nx_rt_world *w, const void *p, size_t n); /* the first 48 are kept, and the sum of lengths */
void nx_rt_trace_hidden(nx_rt_world *w, size_t n);               /* of bytes that may hold a secret: their number alone */
void nx_rt_trace_end(nx_rt_world *w, uint8_t wasi_errno);
void nx_rt_trace_finish(nx_rt_world *w);

/* ---- fs.c: the attempt's trees and descriptors */
nx_rt_open *nx_rt_open_at(nx_rt_world *w, uint64_t fd); /* NULL: closed, or never open */
nx_rt_fd nx_rt_kind_at(nx_rt_world *w, uint64_t fd);
nx_slice nx_rt_preopened_at(const nx_rt_world *w, uint64_t fd); /* by the attempt alone, before anything was opened; empty: none */
/* The next nx_rt_open_add() will not fail. NX_WASI_EMFILE, NX_WASI_ENOMEM. What nx_rt_open_at() gave before may be gone. */
uint8_t nx_rt_open_reserve(const nx_rt_world *w);
/* The lowest free descriptor from 3 on takes `o` over. NX_WASI_EMFILE, NX_WASI_ENOMEM. */
uint8_t nx_rt_open_add(nx_rt_world *w, const nx_rt_open *o, uint32_t *ret_fd);
void nx_rt_open_close(nx_rt_open *o);
void nx_rt_fs_end(nx_rt_world *w);
void nx_rt_fs_free(struct nx_rt_fs *fs);

/* ---- stdio.c */
void nx_rt_logs_flush_line(nx_rt_world *w);

/* ---- clock.c */
uint64_t nx_rt_clock_read(nx_rt_world *w, uint32_t clock_id); /* without moving it */
void nx_rt_clock_advance(nx_rt_world *w, uint64_t ns);        /* saturates */
const char *nx_rt_clock_name(uint64_t clock_id);
#endif
