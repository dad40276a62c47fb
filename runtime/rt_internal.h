/* rt_internal.h: what the parts of the runtime share: engines, programs, workers.
 * Locks: programs_mu (table of programs, LRU of mapped modules) and work_mu (queue, slots, threads, scratches); never both at once.
 * Threads: nx-rt-N run attempts; nx-epoch moves the engines' epochs on while anything runs. */
#ifndef NX_RT_INTERNAL_H
#define NX_RT_INTERNAL_H
#include <pthread.h>
#include <stdatomic.h>
#include <wasmtime.h>

#include "module.h"
#include "nx/metrics.h"
#include "nx/rt.h"
#include "wasi/world.h"

/* ---- engine.c */

/* Instances keep memory between runs (fast, resident) or give it back (large). Chosen by `memory:` at deploy. */
typedef enum { NX_RT_CLASS_SMALL,
               NX_RT_CLASS_LARGE,
               NX_RT_CLASSES } nx_rt_class_id;

#define NX_RT_SMALL_MEMORY_MAX (256ull << 20)
#define NX_RT_WASM_STACK_BYTES (1u << 20) /* of a guest; the host needs more of its thread's stack: */
#define NX_RT_HOST_STACK_BYTES (512u << 10)
#define NX_RT_THREAD_STACK_BYTES (4u << 20)
#define NX_RT_TABLE_ELEMENTS 65536u

typedef struct nx_rt_class {
    wasm_engine_t *engine; /* made when the first program of the class is loaded */
    wasmtime_linker_t *linker;
} nx_rt_class;

/* The settings of every engine of this program. Code compiled under them runs in any class. NULL: out of memory. */
wasm_config_t *nx_rt_engine_config(void);
nx_rt_class_id nx_rt_class_for(uint64_t memory_bytes);
/* programs_mu is held. */
nx_err nx_rt_class_open_locked(nx_rt *r, nx_rt_class_id id, nx_error *reterr);
void nx_rt_class_close(nx_rt_class *c);
/* Moves the engine's error into reterr under `code` and deletes it. */
nx_err nx_rt_engine_error(nx_error *reterr, nx_err code, const char *what, wasmtime_error_t *error);
/* What compiled code depends on; part of the cache's file names. */
void nx_rt_engine_fingerprint(char out[17]);

/* ---- epoch.c */
typedef struct nx_rt_epoch {
    pthread_t thread;
    bool has_thread, is_stopping;
    pthread_mutex_t mu;
    pthread_cond_t wake;
    atomic_uint running;   /* attempts that a deadline may have to end */
    atomic_bool is_parked; /* the ticker sleeps until something runs */
    _Atomic(wasm_engine_t *) engines[NX_RT_CLASSES];
} nx_rt_epoch;

nx_err nx_rt_epoch_start(nx_rt_epoch *e, nx_error *reterr);
void nx_rt_epoch_stop(nx_rt_epoch *e);
void nx_rt_epoch_enter(nx_rt_epoch *e); /* something runs now */
void nx_rt_epoch_leave(nx_rt_epoch *e);
void nx_rt_epoch_expire(nx_rt_epoch *e, uint64_t ns); /* every deadline of the next `ns` is over now */
uint64_t nx_rt_epoch_ticks(uint64_t timeout_ns);      /* for wasmtime_context_set_epoch_deadline() */

/* ---- hostcalls.c: between the engine and wasi/ */
typedef struct nx_rt_exec {
    nx_rt_world world;
    nx_rt *rt;
    wasmtime_context_t *context; /* while the guest runs */
    wasmtime_memory_t memory;
    bool has_memory;         /* `memory` is known */
    bool has_slot;           /* runs on a worker, in a running slot */
    bool is_stopped_at_fuel; /* where the recorded attempt was interrupted */
} nx_rt_exec;
/* The engine hands an instance's memory from one thread to the next under a lock of its own, which ThreadSanitizer can't see in the engine's
 * library: these tell it of the hand-over, and do nothing else. */
void nx_rt_memory_take_over(nx_rt *r); /* an instance was just made */
void nx_rt_memory_hand_over(nx_rt *r); /* it is about to be dropped */
nx_err nx_rt_hostcalls_define(wasmtime_linker_t *linker, nx_error *reterr);

/* ---- own_files.c: what an artifact brings besides its module */
typedef struct nx_rt_own_files {
    void *map; /* the tree's files lie in it */
    size_t map_bytes;
    nx_rt_tree *tree; /* frozen; NULL: none */
} nx_rt_own_files;
/* NX_ENOENT: the cache has no such entry. *ret_code: digest of the code that the files belong to. */
nx_err nx_rt_own_files_open(int dir_fd, const nx_sha256 *artifact, bool is_verified, nx_rt_own_files *ret, nx_sha256 *ret_code, nx_error *reterr);
nx_err nx_rt_own_files_store(int dir_fd, const nx_sha256 *artifact, const nx_sha256 *code, nx_slice files, nx_error *reterr);
nx_err nx_rt_own_files_copy(nx_rt_own_files *ret, nx_slice files, nx_error *reterr); /* without the cache */
void nx_rt_own_files_close(nx_rt_own_files *o);                                      /* a zeroed one is allowed */

/* ---- program.c */
struct nx_rt_program {
    nx_rt *rt;
    nx_rt_program *next_in_bucket;
    nx_rt_program *newer, *older; /* LRU of mapped modules */
    nx_sha256 digest;
    nx_rt_class_id class_id;
    unsigned refs, active; /* users; attempts running in it */
    bool is_loading, is_mapped, is_verified;
    bool has_files;      /* its code is not kept under `digest` */
    nx_rt_own_files own; /* while it is mapped */
    bool is_new;         /* no attempt has run since it was mapped */
    nx_rt_entry entry;
    bool has_initialize, has_flush, entry_returns_i32;
    uint64_t memory_min_bytes;
    wasmtime_module_t *module;
    wasmtime_instance_pre_t *pre;
};
/* Maps the module where it is not, and keeps it until release. *ret_is_cold: no attempt ran in this mapping before. */
nx_err nx_rt_program_acquire(nx_rt_program *p, bool *ret_is_cold, nx_error *reterr);
void nx_rt_program_release(nx_rt_program *p);
void nx_rt_programs_free(nx_rt *r);

/* ---- cache.c: compiled code on disk */
nx_err nx_rt_cache_open(const char *dir, int *ret_fd, nx_error *reterr);
#define NX_RT_CACHE_NAME_BYTES 96
void nx_rt_cache_name(const nx_sha256 *digest, char out[NX_RT_CACHE_NAME_BYTES]);
/* A file that is ours, whole and unchanged; NX_ENOENT otherwise (a wrong one is removed). `is_verified`: the digest was checked before. */
nx_err nx_rt_cache_take(int dir_fd, const char *name, bool is_verified, int *ret_fd);
nx_err nx_rt_cache_temp(int dir_fd, char out_name[NX_RT_CACHE_NAME_BYTES], int *ret_fd, nx_error *reterr);
nx_err nx_rt_cache_publish(int dir_fd, const char *temp_name, const char *name, nx_error *reterr);
void nx_rt_cache_remove(int dir_fd, const char *name);
#define NX_RT_CACHE_SEAL_BYTES (16u + NX_SHA256_BYTES) /* at the end of every file */
/* Appends the seal that nx_rt_cache_take() checks. Used by the child. */
nx_err nx_rt_cache_seal(int fd, nx_slice code);

/* ---- child_run.c: the parent's side of child.c. The first argument is the work: "compile" or "symbolise". NULL-terminated. */
#define NX_RT_CHILD_COMPILE "compile"
#define NX_RT_CHILD_SYMBOLISE "symbolise"
#define NX_RT_CHILD_ARGS_MAX 40u
nx_err nx_rt_child_run(const char *child_program, const char *const *args, nx_slice bytes, int out_fd, nx_error *reterr);
#define NX_RT_CHILD_FD_MODULE 3
#define NX_RT_CHILD_FD_OUT 4
enum { NX_RT_CHILD_OK = 0,
       NX_RT_CHILD_REFUSED = 3,
       NX_RT_CHILD_FAILED = 4 };

/* ---- symbolise.c: the child's side. `addresses` are text, as in a backtrace. Writes "INDEX FILE:LINE" for each that is found. */
nx_err nx_rt_symbolise_in_child(nx_slice module, char *const *addresses, unsigned n, int out_fd);

/* ---- attempt.c */
nx_err nx_rt_execute(nx_rt *r, nx_attempt *a, nx_rt_scratch *s, bool has_slot, nx_error *reterr);

/* ---- backtrace.c */
#define NX_RT_FRAMES_MAX 32u
/* Fills status, why, message and backtrace from a trap, which is deleted. */
void nx_rt_outcome_trap(nx_rt_exec *x, wasm_trap_t *trap, nx_error *reterr);
/* The backtrace alone, of whichever of the two is not NULL; both stay. */
void nx_rt_outcome_frames(nx_outcome *o, const wasmtime_error_t *error, const wasm_trap_t *trap);
void nx_rt_outcome_set(nx_outcome *o, nx_run_status status, nx_run_why why, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* ---- worker.c */
typedef struct nx_rt_workers {
    pthread_mutex_t mu;
    pthread_cond_t work, slot; /* something to run; a slot for one that waited */
    pthread_cond_t nap;        /* of guests that wait, on the monotonic clock; broadcast by a cancel */
    atomic_bool is_canceled;
    nx_attempt *head, **tail;
    unsigned queued, queue_max;
    unsigned slots, running;  /* in a slot */
    unsigned resuming;        /* waited, and want a slot again */
    unsigned idle, signalled; /* threads without work; of them, already woken */
    unsigned n_threads, max_threads;
    unsigned starting; /* made, and not yet looking for work: a burst does not make one for each attempt */
    pthread_t *threads;
    bool is_stopping;
    nx_rt_scratch *scratches;
    unsigned n_scratches;
} nx_rt_workers;
nx_err nx_rt_workers_start(nx_rt *r, const nx_rt_options *o, nx_error *reterr);
void nx_rt_workers_stop(nx_rt *r);
/* Waits up to `ns` or until the deadline without a slot. */
void nx_rt_wait_outside(void *exec, uint64_t ns);
/* Around a host call that blocks. The guest is interrupted at its next check where its deadline passed meanwhile. */
void nx_rt_leave_slot(void *exec);
void nx_rt_resume_slot(void *exec);

/* ---- metrics.c */
typedef struct nx_rt_metrics {
    nx_metrics *registry; /* NULL: none of them is counted */
    nx_metric *queued, *running, *threads, *mapped;
    nx_metric *refused, *compile;
} nx_rt_metrics;
void nx_rt_metrics_open(nx_rt *r, nx_metrics *registry);
void nx_rt_metrics_close(nx_rt *r);

/* ---- rt.c */
#define NX_RT_BUCKETS 1024u
#define NX_RT_MAPPED_MAX 256u
#define NX_RT_CHILDREN_MAX 2u

struct nx_rt {
    nx_rt_class classes[NX_RT_CLASSES];
    nx_rt_epoch epoch;
    nx_rt_workers workers;
    char *child_program;
    int cache_fd;
    unsigned pool_slots;
    bool is_debug;
    pthread_mutex_t programs_mu;
    pthread_cond_t loaded; /* a program was loaded, or failed to; a child ended */
    nx_rt_program *buckets[NX_RT_BUCKETS];
    nx_rt_program *newest, *oldest;
    unsigned n_mapped, mapped_max, n_children;
    nx_rt_metrics metrics;
    char identity[128];
};
#endif
