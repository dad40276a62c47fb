/* rt_internal.h: what the parts of the runtime share: engines, programs, workers.
 * Locks: programs_mu (table of programs, LRU of mapped modules) and workers.mu (queue, groups and shares, slots, threads, scratches); never both at once.
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
/* Instances come from a pool of so many slots; those of the small class may keep half as much memory as mapped modules, warm_bytes. */
void nx_rt_engine_pool(wasm_config_t *c, nx_rt_class_id id, unsigned slots, uint64_t warm_bytes);
/* A table's element; false where it is none of a function. An empty one is all zeros. */
bool nx_rt_engine_table_func(wasmtime_context_t *context, const wasmtime_table_t *table, uint64_t index, wasmtime_func_t *ret);
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
    atomic_uint running;      /* attempts that a deadline may have to end, and shares whose pause it has to end */
    atomic_bool is_parked;    /* the ticker sleeps until something runs */
    _Atomic uint64_t lost_ns; /* in which the whole process stood still: deadlines move on by it */
    _Atomic(wasm_engine_t *) engines[NX_RT_CLASSES];
} nx_rt_epoch;

nx_err nx_rt_epoch_start(nx_rt *r, nx_error *reterr); /* the workers are there */
void nx_rt_epoch_stop(nx_rt_epoch *e);
void nx_rt_epoch_enter(nx_rt_epoch *e); /* something runs now */
void nx_rt_epoch_leave(nx_rt_epoch *e);
void nx_rt_epoch_kick(nx_rt_epoch *e); /* every guest that runs comes to its next check now */

/* ---- growth.c: see there */
#define NX_RT_REFUSED_MEMORY "the machine refused memory"
typedef struct nx_rt_growth { /* of a store; as scripts/deps/static/lib.rs lays it out */
    uint64_t memory_bytes, table_elements;
    bool is_refused; /* the system refused memory within the limit, and the engine told */
} nx_rt_growth;
void nx_rt_growth_limit(nx_rt_growth *g, wasmtime_store_t *store, uint64_t memory_bytes); /* `g` is kept until the store is deleted */

/* ---- hostcalls.c: between the engine and wasi/ */
typedef struct nx_rt_exec {
    nx_rt_world world;
    nx_rt *rt;
    nx_rt_share *share;              /* whose slot it has; of its attempt */
    uint64_t slot_since_ns;          /* charged up to here, while it is in a slot */
    bool is_metered;                 /* its share has a CPU limit */
    uint64_t cpu_since_ns;           /* the same by the thread's clock; where is_metered */
    uint64_t lost_before_ns;         /* epoch.lost_ns when it began */
    struct nx_rt_exec *next_waiting; /* for a slot */
    pthread_cond_t *granted;         /* signalled when has_grant is set */
    bool has_grant;
    wasmtime_context_t *context; /* while the guest runs */
    nx_rt_growth growth;
    wasmtime_memory_t memory;
    bool has_memory;         /* `memory` is known */
    bool has_slot;           /* runs on a worker, in a running slot */
    bool is_stopped_at_fuel; /* where the recorded attempt was interrupted */
} nx_rt_exec;
/* The engine hands an instance's memory from one thread to the next under a lock of its own, which ThreadSanitizer can't see in the engine's
 * library: these tell it of the hand-over, and do nothing else. */
void nx_rt_memory_take_over(nx_rt *r); /* an instance was just made */
void nx_rt_memory_hand_over(nx_rt *r); /* it is about to be dropped */
/* The attempt counts for nothing: the machine refused memory within its limit, or may have. Its outcome's error is set. Asked when there is an instance, and
 * when the guest has ended. */
bool nx_rt_growth_failed(nx_rt_exec *x, const nx_rt_program *p, nx_error *reterr);
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
    unsigned pins;         /* calls of nx_rt_program_warm() */
    uint64_t mapped_bytes; /* what the mapping counts for */
    bool is_loading, is_mapped, is_verified;
    bool has_files;      /* its code is not kept under `digest` */
    bool has_derived;    /* the module that runs was made at deployment, by running the artifact's init */
    nx_sha256 derived;   /* of that module */
    nx_rt_own_files own; /* while it is mapped */
    bool is_new;         /* no attempt has run since it was mapped */
    nx_rt_entry entry;
    bool has_initialize, has_flush, entry_returns_i32;
    uint64_t memory_min_bytes, memory_max_bytes; /* that the module declares; 0 and UINT64_MAX: of a memory that it does not export */
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
#define NX_RT_CACHE_SEAL_BYTES (16u + 2 * NX_SHA256_BYTES) /* at the end of every file */
/* Appends the seal that nx_rt_cache_take() checks. Used by the child. derived: NULL, or of the module that was compiled in place of the artifact's. */
nx_err nx_rt_cache_seal(int fd, nx_slice code, const nx_sha256 *derived);
bool nx_rt_cache_derived(int fd, nx_sha256 *ret); /* of a file that was taken; false: the artifact's own module was compiled */

/* ---- child_run.c: the parent's side of child.c. The first argument is the work: "compile" or "symbolise". NULL-terminated. */
#define NX_RT_CHILD_COMPILE "compile"
#define NX_RT_CHILD_SYMBOLISE "symbolise"
#define NX_RT_CHILD_ARGS_MAX 40u
/* What it may use: of memory half of the machine's, where that is less. */
#define NX_RT_CHILD_CPU_S 120u
#define NX_RT_CHILD_MEMORY_BYTES (4ull << 30)
#define NX_RT_CHILD_FILE_BYTES (1ull << 30)
nx_err nx_rt_child_run(const char *child_program, const char *const *args, nx_slice bytes, int out_fd, nx_error *reterr);
#define NX_RT_CHILD_FD_MODULE 3
#define NX_RT_CHILD_FD_OUT 4
enum { NX_RT_CHILD_OK = 0,
       NX_RT_CHILD_REFUSED = 3,
       NX_RT_CHILD_FAILED = 4 };

/* ---- symbolise.c: the child's side. `addresses` are text, as in a backtrace. Writes "INDEX FILE:LINE" for each that is found. */
nx_err nx_rt_symbolise_in_child(nx_slice module, char *const *addresses, unsigned n, int out_fd);

/* ---- preinit.c: appends the module as it is after `init` ran. NX_EMODULE says what keeps it from running ahead of time. */
nx_err nx_rt_preinit(nx_slice module, nx_slice init, nx_buf *out, nx_error *reterr);

/* ---- attempt.c */
/* `x`: its has_slot, share, slot_since_ns and cpu_since_ns are filled in. */
nx_err nx_rt_execute(nx_rt *r, nx_attempt *a, nx_rt_scratch *s, nx_rt_exec *x, nx_error *reterr);

/* Makes so many instances of a program that is acquired, and drops them: the pool has slots with its memory in them afterwards. */
nx_err nx_rt_make_instances(nx_rt_program *p, unsigned n, nx_error *reterr);

/* ---- backtrace.c */
#define NX_RT_FRAMES_MAX 32u
/* Fills status, why, message and backtrace from a trap, which is deleted. */
void nx_rt_outcome_trap(nx_rt_exec *x, wasm_trap_t *trap);
/* The backtrace alone, of whichever of the two is not NULL; both stay. */
void nx_rt_outcome_frames(nx_outcome *o, const wasmtime_error_t *error, const wasm_trap_t *trap);
void nx_rt_outcome_cancelled(nx_outcome *o);
void nx_rt_outcome_set(nx_outcome *o, nx_run_status status, nx_run_why why, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* ---- line.c: see there. Under workers.mu. */
#define NX_RT_WEIGHT 100u    /* of who has no other */
typedef enum { NX_RT_BEGIN,  /* a slot to begin an attempt in, and a thread */
               NX_RT_RESUME, /* a slot for a guest that has begun, and has its thread */
               NX_RT_WANTS } nx_rt_want;
typedef struct nx_rt_turn { /* first in what it is of: a share, a group */
    uint64_t vtime;         /* ns in slots, by weight */
    unsigned weight;
    unsigned at[NX_RT_WANTS];          /* place in the heap; 0: not in it */
    unsigned queued, waiting, running; /* not begun; guests that want a slot again; in a slot */
} nx_rt_turn;
typedef struct nx_rt_line {
    struct {
        nx_rt_turn **at;
        unsigned n;
    } heaps[NX_RT_WANTS];
    unsigned n_members, max;
    uint64_t vnow; /* vtime of the member served last, or of the first that waits for one that ran ahead of it */
} nx_rt_line;
nx_err nx_rt_line_join(nx_rt_line *l); /* room for one more member; NX_ENOMEM */
void nx_rt_line_done(nx_rt_line *l);
void nx_rt_line_change(nx_rt_line *l, nx_rt_turn *t, nx_rt_want want); /* it wants that where it did not, or no more */
void nx_rt_line_moved(nx_rt_line *l, nx_rt_turn *t);                   /* its vtime has changed */
nx_rt_turn *nx_rt_line_first(const nx_rt_line *l, nx_rt_want want);    /* NULL: nobody wants that */
void nx_rt_line_wake(const nx_rt_line *l, nx_rt_turn *t);              /* it is about to want something */
void nx_rt_line_enter(nx_rt_line *l, nx_rt_turn *t);                   /* one more of it is in a slot; place it then */
void nx_rt_line_charge(nx_rt_line *l, nx_rt_turn *t, uint64_t slot_ns);
static inline void nx_rt_line_place(nx_rt_line *l, nx_rt_turn *t, nx_rt_want want, bool is_wanted) /* it wants that, or not */
{
    if (is_wanted != (t->at[want] != 0)) nx_rt_line_change(l, t, want);
}

/* ---- share.c: see there. Of nx_rt_workers, whose lock is held where it says so. */
struct nx_rt_share {
    nx_rt_turn turn; /* in its group's line */
    nx_rt_group *group;
    unsigned refs;
    nx_attempt *head, **tail;            /* submitted, not begun */
    nx_rt_exec *waiting, **waiting_tail; /* begun, and want a slot again: go before what has not begun */
    unsigned cpu_milli;                  /* 0: no limit */
    int64_t budget_ns;                   /* of CPU time, now; below 0 it has overdrawn */
    uint64_t refilled_ns;
    unsigned begun;    /* attempts that have a thread */
    bool is_throttled; /* nothing of it enters a slot */
    bool is_held;      /* does not begin attempts */
    nx_rt_share *next_throttled, *next_held;
};

/* ---- group.c: see there. */
struct nx_rt_group {
    nx_rt_turn turn; /* in the runtime's line */
    nx_rt *rt;
    nx_rt_line shares;
    nx_rt_share common; /* of attempts that name none */
    atomic_bool is_canceled;
    bool is_let_go;  /* nobody makes shares of it any more */
    bool is_awaited; /* nx_rt_group_wait() */
    unsigned begun;  /* attempts that have a thread */
    unsigned paused; /* of them, guests that gave their slot up for others, or for their CPU limit */
    bool is_held;    /* does not begin attempts */
    nx_rt_group *next_held;
};

/* ---- worker.c */
typedef struct nx_rt_workers {
    pthread_mutex_t mu;
    pthread_cond_t work; /* something to run */
    pthread_cond_t nap;  /* of guests that wait, on the monotonic clock; broadcast by a cancel */
    atomic_bool is_canceled;
    nx_rt_line groups;
    nx_rt_group own, *held; /* own: of attempts that belong to no other */
    nx_rt_share *throttled, *held_shares;
    uint64_t asked_ns; /* when slots were asked for */
    unsigned queued, queue_max;
    unsigned slots, running;  /* in a slot */
    unsigned begun;           /* attempts that have a thread */
    unsigned paused_max;      /* that a group may have of them for its own sake */
    unsigned idle, signalled; /* threads without work; of them, already woken */
    unsigned n_threads, max_threads;
    unsigned thread_limit; /* max_threads, or as many as the system let it have */
    unsigned starting;     /* made, and not yet looking for work: a burst does not make one for each attempt */
    pthread_t *threads;
    bool is_stopping;
    nx_rt_scratch *scratches;
    unsigned n_scratches;
} nx_rt_workers;
nx_err nx_rt_workers_start(nx_rt *r, const nx_rt_options *o, nx_error *reterr);
void nx_rt_workers_stop(nx_rt *r);
bool nx_rt_call_thread_locked(nx_rt *r); /* a thread for what is queued, where a slot is free. False: there is none to be had */

/* ---- slot.c */
void nx_rt_slot_begin(nx_rt_exec *x, uint64_t now_ns); /* it is in a slot since then */
void nx_rt_slot_leave_locked(nx_rt_exec *x, uint64_t now_ns);
nx_rt_share *nx_rt_slots_resume_locked(nx_rt_workers *w);
void nx_rt_slots_ask_locked(nx_rt *r, const nx_rt_share *for_s, uint64_t now_ns); /* guests that have had their slice may give their slot up for it */
void nx_rt_slots_tick(nx_rt *r, uint64_t now_ns);                                 /* nx-epoch */
/* Waits up to `ns` or until the deadline without a slot. */
void nx_rt_wait_outside(void *exec, uint64_t ns);
/* Around a host call that blocks. The guest is interrupted at its next check where its deadline passed meanwhile. */
void nx_rt_leave_slot(void *exec);
void nx_rt_resume_slot(void *exec);
/* The guest is at a check: gives its slot up for others where it is their turn, and comes back with one. Its deadline moves on by the pause. */
void nx_rt_pause_if_due(nx_rt_exec *x);

/* ---- group.c */
nx_err nx_rt_group_init(nx_rt_group *g, nx_rt *r); /* a zeroed one; in no line yet. NX_ENOMEM: nx_rt_group_done() is allowed */
void nx_rt_group_done(nx_rt_group *g);
void nx_rt_group_place_locked(nx_rt_group *g);    /* after what its shares want has changed */
bool nx_rt_group_hold_locked(nx_rt_group *g);     /* true: it has too many threads to begin anything, and is out of the line now */
void nx_rt_held_release_locked(nx_rt_workers *w); /* groups and shares: they are looked at again when it is their turn */
void nx_rt_group_begin_locked(nx_rt_group *g);    /* an attempt has a thread */
void nx_rt_group_end_locked(nx_rt_group *g);      /* it was given back; g may be gone then */
void nx_rt_group_free_if_unused_locked(nx_rt_group *g);

/* Who has `mine` of something may not take more of the `left` that is free: four fifths of that, with what he has, are the most. */
/* Threads for guests outside of slots that nobody holds. */
static inline unsigned nx_rt_spare_left(const nx_rt_workers *w)
{
    unsigned outside = w->begun - w->running, spare = w->max_threads - w->slots;
    return outside < spare ? spare - outside : 0;
}
static inline bool nx_rt_is_too_much(unsigned mine, unsigned left) { return mine > 1 && mine > 4 * left; }

/* ---- share.c */
void nx_rt_share_init(nx_rt_share *s, nx_rt_group *g);
nx_err nx_rt_share_push_locked(nx_rt_workers *w, nx_attempt *a);         /* NX_EBUSY */
void nx_rt_share_take_back_locked(nx_rt_workers *w, nx_attempt *a);      /* what was just pushed */
void nx_rt_share_await_locked(nx_rt_exec *x);                            /* it wants a slot again */
nx_rt_share *nx_rt_share_next_locked(nx_rt_workers *w);                  /* whose turn it is; NULL: nobody wants a slot */
nx_rt_exec *nx_rt_share_resume_locked(nx_rt_workers *w, nx_rt_share *s); /* the first that waits, in a slot now */
nx_attempt *nx_rt_share_pop_locked(nx_rt_workers *w, nx_rt_share *s);    /* the first that has not begun, in a slot now */
void nx_rt_share_enter_locked(nx_rt_workers *w, nx_rt_share *s);         /* one more of it is in a slot */
/* It is a's turn before b's, even if a had had `by_ns` more. */
bool nx_rt_share_goes_before(const nx_rt_share *a, const nx_rt_share *b, uint64_t by_ns);
void nx_rt_share_charge_locked(nx_rt_share *s, uint64_t slot_ns, uint64_t cpu_ns, uint64_t now_ns);
void nx_rt_share_leave_locked(nx_rt_share *s, uint64_t slot_ns, uint64_t cpu_ns, uint64_t now_ns); /* s may be gone then */
void nx_rt_shares_release_locked(nx_rt_workers *w);                                                /* see nx_rt_held_release_locked() */
bool nx_rt_shares_tick_locked(nx_rt *r, uint64_t now_ns);                                          /* ends pauses of CPU limits; true: of some */

/* ---- metrics.c */
typedef struct nx_rt_metrics {
    nx_metrics *registry; /* NULL: none of them is counted */
    nx_metric *queued, *running, *threads, *mapped, *mapped_bytes;
    nx_metric *refused, *compile;
} nx_rt_metrics;
void nx_rt_metrics_open(nx_rt *r, nx_metrics *registry);
void nx_rt_metrics_close(nx_rt *r);

/* ---- rt.c */
#define NX_RT_BUCKETS 1024u
#define NX_RT_WARM_BYTES_DEFAULT (256ull << 20)
#define NX_RT_CHILDREN_MAX 2u

/* ---- limits.c */
uint64_t nx_rt_memory_room(void); /* bytes that the system would still let this process write to; UINT64_MAX: nothing limits it */

struct nx_rt {
    nx_rt_class classes[NX_RT_CLASSES];
    nx_rt_epoch epoch;
    nx_rt_workers workers;
    char *child_program;
    int cache_fd;
    unsigned pool_slots;
    bool is_debug;
    bool is_growth_unsure; /* the system may refuse memory, and the engine would not tell */
    pthread_mutex_t programs_mu;
    pthread_cond_t loaded; /* a program was loaded, or failed to; a child ended */
    nx_rt_program *buckets[NX_RT_BUCKETS];
    nx_rt_program *newest, *oldest;
    unsigned n_mapped, mapped_max, n_children; /* mapped_max: by what the system allows of descriptors and mappings */
    uint64_t mapped_bytes, warm_bytes;
    nx_rt_metrics metrics;
    char identity[128];
};

/* What is of it ends without an outcome. */
static inline bool nx_rt_share_is_canceled(const nx_rt_share *s) { return atomic_load(&s->group->is_canceled) || atomic_load(&s->group->rt->workers.is_canceled); }
#endif
