/* nx/rt.h: running functions: programs (what a version's artifact becomes on this node) and attempts (one execution).
 * Why:       one interface without words of WebAssembly, so that containers fit beside it.
 * Ownership: programs are reference-counted; an attempt holds one reference that its owner took. An nx_attempt is the owner's storage,
 *            lent to the runtime from nx_rt_submit() to done(); nx_attempt_done() frees what the outcome holds.
 * Threads:   nx_rt_* from any thread. done() and on_log() are called on the worker (nx-rt-N): they copy or post, and return.
 * Errors:    a guest's failure is an outcome, not an nx_err. NX_EMODULE with names and advice, NX_EBUSY (queue full), NX_ELIMIT, NX_ENOMEM. */
#ifndef NX_RT_H
#define NX_RT_H
#include "nx/arena.h"
#include "nx/buf.h"
#include "nx/digest.h"
#include "nx/effect.h"
#include "nx/json.h"
#include "nx/mailbox.h"
#include "nx/rt_tree.h"
#include "nx/run.h"
#include <stdatomic.h>

typedef struct nx_rt nx_rt;
typedef struct nx_rt_program nx_rt_program;
typedef struct nx_rt_group nx_rt_group;
typedef struct nx_rt_share nx_rt_share;
struct nx_metrics;

typedef struct nx_rt_options {
    const char *cache_dir;      /* made with mode 0700; compiled code by digest and engine fingerprint */
    unsigned slots;             /* running at the same time; 0: one per core */
    unsigned spare_threads;     /* for host calls that wait; 0: 50, of which a group may have 40, a share 32 */
    unsigned queue_max;         /* submitted and not running; 0: 4096 */
    unsigned pool_slots;        /* instances of the small class; 0: 256 (sanitizer builds: 60) */
    uint64_t warm_bytes;        /* that mapped modules may hold, and half as much idle instances; 0: 256 MiB */
    const char *child_program;  /* executable whose nx_rt_child_main() compiles; NULL: /proc/self/exe */
    struct nx_metrics *metrics; /* may be NULL */
    /* For one's own replays under a debugger: code is compiled here (not in the child, not from the cache), without optimisation and with the module's
     * line numbers, which gdb is told of; nothing has a deadline. Fuel and results are the same. NX_ENOTSUP where nx_rt_can_debug() is false. */
    bool is_debug;
} nx_rt_options;

bool nx_rt_can_debug(void); /* the engine of this program can tell debuggers of code */

nx_err nx_rt_new(const nx_rt_options *o, nx_rt **ret, nx_error *reterr);
void nx_rt_free(nx_rt *r);                   /* joins its threads; nothing may be running */
const char *nx_rt_engine_identity(nx_rt *r); /* equal strings: fuel and traces are comparable. "wasmtime-48 fuel nan-canonical …" */
const char *nx_rt_world_identity(void);      /* "nexus-wasi-1" */
const char *nx_rt_arch(void);
const char *nx_rt_engine_linkage(void); /* "shared 48.0.0 (development, not for production)" or "static 48.0.8" */
uint64_t nx_rt_memory_max(void);        /* largest `memory:` a program may ask for, bytes */

/* Validates (entry export, every import by name with advice, memory), compiles in a child with limits or maps from the cache, prepares instances.
 * `bytes` empty: only the cache is tried (NX_ENOENT). memory_bytes chooses the engine class. May block for seconds on a first compile. */
nx_err nx_rt_program_load(nx_rt *r, nx_slice bytes, const nx_sha256 *digest, uint64_t memory_bytes, nx_rt_program **ret, nx_error *reterr);
nx_rt_program *nx_rt_program_ref(nx_rt_program *p);
/* Digest of the module that its init left and that runs in place of the artifact's own; false: there is no init. */
bool nx_rt_program_derived(const nx_rt_program *p, nx_sha256 *ret);
void nx_rt_program_unref(nx_rt_program *p); /* NULL allowed */
/* Maps the module and keeps it mapped, however much others hold, until as many nx_rt_program_cool(); `instances` of it were made once, so that
 * the pool has their memory ready. Blocks for some milliseconds. The program's errors, and NX_EBUSY (no instances left: it is kept mapped all the same). */
nx_err nx_rt_program_warm(nx_rt_program *p, unsigned instances, nx_error *reterr);
void nx_rt_program_cool(nx_rt_program *p);

#define NX_RT_CALL_MARKS 2048u

/* Shares of the running slots, at two levels: groups (a namespace has one) get slots in proportion to their weights, and what a group gets, its shares
 * (a function has one) in proportion to theirs; what nobody else wants is anybody's. */
nx_err nx_rt_group_new(nx_rt *r, nx_rt_group **ret); /* NX_ENOMEM */
/* Before the runtime is. Its attempts are done and its shares let go of, or are being let go of: those hold the memory until then. NULL allowed. */
void nx_rt_group_free(nx_rt_group *g);
void nx_rt_group_set(nx_rt_group *g, unsigned weight); /* 100 is usual; 0 stands for it */
/* Lends the share of those of its attempts that belong to no function; of use for nx_rt_run(), too: nx_rt_group_cancel() ends them. */
nx_rt_share *nx_rt_group_share(nx_rt_group *g);
/* As nx_rt_cancel(), of the group's attempts only. */
void nx_rt_group_cancel(nx_rt_group *g);
/* BLOCKING: until no worker has any of its attempts, nor is in their done(). What it has left has to be ending: nx_rt_group_cancel(). */
void nx_rt_group_wait(nx_rt_group *g);
void nx_rt_group_depth(nx_rt_group *g, unsigned *ret_queued, unsigned *ret_running); /* of its attempts; see nx_rt_depth() */

/* Reference-counted; whoever submits holds a reference until done(). The group outlives those who use its shares. */
nx_err nx_rt_share_new(nx_rt_group *g, nx_rt_share **ret); /* NX_ENOMEM */
nx_rt_share *nx_rt_share_ref(nx_rt_share *s);
void nx_rt_share_unref(nx_rt_share *s); /* NULL allowed */
/* weight: 100 is usual; 0 stands for it. cpu_milli: thousandths of a core that it may use, averaged over 100 ms; 0: no limit. A guest that has
 * used them up is paused without a slot, and its deadline moves on by the pause. */
void nx_rt_share_set(nx_rt_share *s, unsigned weight, unsigned cpu_milli);

typedef struct nx_outcome {
    nx_err err;           /* not NX_OK: the node failed (memory, instances), there is no outcome: try again elsewhere or later */
    nx_run_status status; /* dead with no_module: the program can't be mapped any more; load it again with its bytes */
    nx_run_why why;
    int exit_code;
    char message[256];   /* trap text; "" */
    nx_buf backtrace;    /* one frame a line with names where the module has them; may be empty */
    nx_buf output, logs; /* cut at max_output_bytes, max_log_bytes */
    uint64_t output_bytes, logs_bytes;
    nx_sha256 output_sha256, logs_sha256; /* of the whole */
    uint64_t fuel, memory_bytes, duration_ns, queued_ns;
    bool is_cold;
    uint64_t n_calls;
    nx_sha256 calls_sha256;
    nx_buf calls;      /* host-call trace, cut at max_calls_bytes */
    nx_buf call_marks; /* 4 bytes for each call behind those, of the first NX_RT_CALL_MARKS of them: which of two runs' calls differ */
    /* Of programs that import module `nexus`; they lie in the arena, which lives as the buffers do. */
    nx_arena arena;
    nx_effect *effects; /* what was asked and answered, in order */
    unsigned n_effects;
    nx_emit *emitted; /* to be published where the run ended ok */
    unsigned n_emitted;
} nx_outcome;

/* A folder that is open when the guest starts. */
typedef struct nx_rt_preopen {
    nx_slice name;
    nx_rt_tree *tree;
} nx_rt_preopen;

typedef struct nx_attempt {
    nx_mail mail;
    /* in: all lent until done() */
    nx_rt_program *program;
    nx_rt_share *share; /* NULL: one that all such attempts have in common, in a group of their own */
    uint64_t rank_ns;   /* place among those of its share that have not begun, lowest first; 0: behind all that are there */
    nx_slice input;     /* stdin */
    const nx_kv *env;
    unsigned n_env;
    const nx_slice *args; /* with the program's name in front; none: only that, "function" */
    unsigned n_args;
    /* Files: "/" with what `files` (frozen; NULL: those of the program's artifact) holds and, unless scratch_bytes is 0, a "/tmp" of that much; or else, for programs of
     * `nexus run`, folders by name, which may change. With none of these there is no folder. */
    const nx_rt_tree *files;
    uint64_t scratch_bytes;
    const nx_rt_preopen *preopens;
    unsigned n_preopens;
    bool is_replay; /* sleeps do not wait; no wall deadline but a safety of 10 x timeout, at least 10 s */
    bool is_proof;  /* of a replay: the recorded code in the recorded world, so its end does not depend on the machine: the safety's is NX_ETIMEOUT, no outcome */
    bool keep_logs; /* fill outcome.logs */
    uint8_t seed[32];
    uint64_t start_wall_ns; /* where the guest's clock starts */
    uint64_t timeout_ns, memory_bytes;
    uint64_t fuel; /* 0: no limit */
    uint64_t max_output_bytes, max_log_bytes, max_calls_bytes;
    /* Host calls of module `nexus`; looked at only when the guest makes one. All zero: recorded, and nothing is in the recording. */
    nx_effects_policy effects;
    const nx_grants *grants; /* NULL: none */
    const nx_effect_ops *effect_ops;
    void *effect_self;         /* live calls, and a recorded secret's value; ops NULL: none can be made */
    bool has_secret_env;       /* values of secrets stand in `env` */
    const nx_trace *trace;     /* handed to the ops; may be NULL */
    const nx_effect *recorded; /* policy recorded: the answers, in order */
    unsigned n_recorded;
    void (*on_note)(struct nx_attempt *self, nx_slice text); /* what its author should know: a call that was denied, and the key that grants it. May be NULL */
    uint64_t stop_at_fuel;                                   /* replay of a timeout: ends as `timeout` when this much is used; 0: no */
    bool is_stop_cancelled;                                  /* of a cancelled run: it ends so there */
    uint64_t stop_at_call;                                   /* ends before this host call, 1 being the first, with a backtrace of where it is made; 0: no */
    void (*on_start)(struct nx_attempt *self);               /* a worker takes it out of the queue and runs it now; may be NULL */
    void (*on_log)(struct nx_attempt *self, nx_slice line);  /* each complete stderr line (and the unfinished last one); may be NULL */
    void (*done)(struct nx_attempt *self);
    void *owner;
    nx_outcome out;
    uint64_t rt_private[8];
    atomic_bool is_ended; /* by nx_rt_end_attempt() */
} nx_attempt;

void nx_attempt_init(nx_attempt *a);
void nx_attempt_done(nx_attempt *a);  /* frees the outcome's buffers */
void nx_attempt_reset(nx_attempt *a); /* for reuse: keeps the buffers' memory */
/* What the attempt came to, into its record, which borrows from the outcome. Emitted events are the caller's. */
void nx_outcome_to_run(const nx_outcome *out, nx_run *r);
nx_err nx_rt_submit(nx_rt *r, nx_attempt *a, nx_error *reterr); /* queued; NX_EBUSY */
nx_err nx_rt_run(nx_rt *r, nx_attempt *a, nx_error *reterr);    /* on the calling thread; done() is not called. For replays, benches, tests */
/* Any thread, until done() is called: the attempt ends `cancelled` at its next check, also where it has not begun, unless it ends before that. A sleep is cut
 * short; another host call that is under way is finished. */
void nx_rt_end_attempt(nx_rt *r, nx_attempt *a);
/* What runs is interrupted, what waits is woken, what is queued is not begun: each ends with out.err NX_ECANCELED, without an outcome.
 * For good: later attempts end the same way. For a node that has to stop now. */
void nx_rt_cancel(nx_rt *r);
void nx_rt_depth(nx_rt *r, unsigned *ret_queued, unsigned *ret_running);

/* A backtrace with " at FILE:LINE" behind the frames whose place the module's DWARF line tables know (a debug build), as it was where they do not.
 * In the limited child; blocks for some milliseconds to seconds. */
nx_err nx_rt_symbolise(nx_rt *r, nx_slice module, nx_slice backtrace, nx_buf *out, nx_error *reterr);

#define NX_RT_NO_FURTHER_CALL "no further call"
#define NX_RT_CALL_NOT_KEPT "a call that is not kept"
/* What a record keeps of a host-call trace: `calls` are the first of `n`, `marks` stand for the next. */
typedef struct nx_rt_trace {
    nx_slice calls, marks;
    uint64_t n;
} nx_rt_trace;
/* Where two traces first differ, and the text of both calls there, NX_RT_NO_FURTHER_CALL or NX_RT_CALL_NOT_KEPT. *ret_index counts from 0; -1: nowhere,
 * as far as both are kept. `any_environ`: environments of different sizes are no difference. */
nx_err nx_rt_calls_first_difference(const nx_rt_trace *a, const nx_rt_trace *b, bool any_environ, int64_t *ret_index, nx_buf *ret_text_a, nx_buf *ret_text_b);

/* What the system allows this process: mappings of memory, and with them modules that are mapped at the same time. */
uint64_t nx_rt_mappings_max(void);
unsigned nx_rt_mapped_limit(void);
/* What lets it refuse memory to a guest that is within its limit, and what to do about it, both for people; NULL: nothing. */
const char *nx_rt_memory_refusal(const char **ret_advice);

/* What a module is: imports, exports, entry, memory, problems with advice, whether it can run here. Needs no engine state beyond a config. */
nx_err nx_rt_inspect(nx_slice bytes, const nx_sha256 *derived, nx_jw *w, nx_error *reterr); /* derived: may be NULL */

/* The limited child: main() calls it first: when argv[1] is NX_RT_CHILD_VERB it does the child's work and its result is the exit code. */
#define NX_RT_CHILD_VERB "__nexus-compile"
int nx_rt_child_main(int argc, char **argv);
#endif
