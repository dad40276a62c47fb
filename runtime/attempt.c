/* attempt.c: one execution: a store with limits, an instance from the pool, the entry function, the outcome.
 * Nothing here knows what an event is. */
#include <stdio.h>
#include <stdlib.h>

#include "effects/effects.h"
#include "nx/clock.h"
#include "rt_internal.h"

#define DEFAULT_TIMEOUT_NS (5 * NX_NS_PER_S)
#define DEFAULT_MEMORY_BYTES (128ull << 20)
#define DEFAULT_OUTPUT_BYTES (1ull << 20)
#define DEFAULT_LOG_BYTES (256ull << 10)
#define DEFAULT_CALLS_BYTES (64ull << 10)
/* A replay ends by fuel or by the guest's own clock; this only guards against what neither sees. It may run beside much else, at a low priority. */
#define REPLAY_SAFETY 10u
#define REPLAY_SAFETY_MIN_NS (10 * NX_NS_PER_S)

void nx_attempt_init(nx_attempt *a)
{
    memset(a, 0, sizeof *a);
    a->timeout_ns = DEFAULT_TIMEOUT_NS;
    a->memory_bytes = DEFAULT_MEMORY_BYTES;
    a->max_output_bytes = DEFAULT_OUTPUT_BYTES;
    a->max_log_bytes = DEFAULT_LOG_BYTES;
    a->max_calls_bytes = DEFAULT_CALLS_BYTES;
}

void nx_attempt_done(nx_attempt *a)
{
    nx_buf_done(&a->out.backtrace);
    nx_buf_done(&a->out.output);
    nx_buf_done(&a->out.logs);
    nx_buf_done(&a->out.calls);
    nx_buf_done(&a->out.call_marks);
    nx_arena_done(&a->out.arena);
}

static void clear_outcome(nx_outcome *o)
{
    nx_outcome empty = {.backtrace = o->backtrace, .output = o->output, .logs = o->logs, .calls = o->calls, .call_marks = o->call_marks, .arena = o->arena};
    nx_buf_clear(&empty.backtrace);
    nx_buf_clear(&empty.output);
    nx_buf_clear(&empty.logs);
    nx_buf_clear(&empty.calls);
    nx_buf_clear(&empty.call_marks);
    if (empty.arena.head) nx_arena_reset(&empty.arena);
    *o = empty;
}

void nx_attempt_reset(nx_attempt *a)
{
    nx_outcome kept;
    clear_outcome(&a->out);
    kept = a->out;
    nx_attempt_init(a);
    a->out = kept;
}

void nx_outcome_to_run(const nx_outcome *out, nx_run *r)
{
    r->status = out->status;
    r->why = out->why;
    r->exit_code = out->exit_code;
    r->message = nx_slice_cstr(out->message);
    r->backtrace = nx_buf_view(&out->backtrace);
    r->duration_ns = out->duration_ns;
    r->fuel = out->fuel;
    r->memory_bytes = out->memory_bytes;
    r->is_cold = out->is_cold;
    r->output = nx_buf_view(&out->output);
    r->output_bytes = out->output_bytes;
    r->output_sha256 = out->output_sha256;
    r->logs = nx_buf_view(&out->logs);
    r->logs_bytes = out->logs_bytes;
    r->logs_sha256 = out->logs_sha256;
    r->calls = nx_buf_view(&out->calls);
    r->call_marks = nx_buf_view(&out->call_marks);
    r->calls_sha256 = out->calls_sha256;
    r->n_calls = out->n_calls;
    r->effects = out->effects;
    r->n_effects = out->n_effects;
}

static uint64_t fuel_limit(const nx_attempt *a)
{
    uint64_t limit = a->fuel ? a->fuel : UINT64_MAX;
    return a->stop_at_fuel && a->stop_at_fuel < limit ? a->stop_at_fuel : limit;
}

/* A host call ended the run, or the guest returned. */
static void outcome_end(nx_rt_exec *x, int32_t returned, nx_error *reterr)
{
    nx_attempt *a = x->world.attempt;
    nx_outcome *o = &a->out;
    int code = x->world.end == NX_RT_END_EXIT ? x->world.exit_code : returned;
    switch (x->world.end) {
    case NX_RT_END_NONE:
    case NX_RT_END_EXIT:
        o->exit_code = code;
        if (code) nx_rt_outcome_set(o, NX_RUN_ERROR, NX_WHY_EXIT, "exited with code %d", code);
        else nx_rt_outcome_set(o, NX_RUN_OK, NX_WHY_NONE, "%s", "");
        break;
    case NX_RT_END_OUTPUT_LIMIT:
        nx_rt_outcome_set(o, NX_RUN_ERROR, NX_WHY_OUTPUT_LIMIT, "wrote more than %llu bytes to stdout (max_output)",
                          (unsigned long long)a->max_output_bytes);
        break;
    case NX_RT_END_INTERRUPTED:
    case NX_RT_END_DEADLINE:
        if (nx_rt_share_is_canceled(x->share)) { /* the wait was cut short, not over */
            o->err = NX_ECANCELED;
            break;
        }
        if (x->world.end == NX_RT_END_INTERRUPTED && a->is_proof) {
            o->err = nx_error_set(reterr, NX_ETIMEOUT, "after %llu ms it was not where the recorded run ended: this machine is too busy, or too slow",
                                  (unsigned long long)((nx_clock_ns() - x->world.begin_ns) / NX_NS_PER_MS));
            break;
        }
        nx_rt_outcome_set(o, NX_RUN_TIMEOUT, NX_WHY_DEADLINE, "did not finish within %llu ms%s", (unsigned long long)(a->timeout_ns / NX_NS_PER_MS),
                          nx_rt_effects_text(&x->world));
        break;
    case NX_RT_END_ENDED: nx_rt_outcome_cancelled(o); break;
    case NX_RT_END_NOMEM: o->err = NX_ENOMEM; break;
    case NX_RT_END_CANCELED: o->err = NX_ECANCELED; break;
    case NX_RT_END_EFFECTS_LIMIT: nx_rt_outcome_set(o, NX_RUN_ERROR, NX_WHY_EFFECTS_LIMIT, "%s", nx_rt_effects_text(&x->world)); break;
    case NX_RT_END_STOPPED: nx_rt_outcome_set(o, NX_RUN_ERROR, NX_WHY_NONE, "stopped before host call %llu", (unsigned long long)o->n_calls); break;
    case NX_RT_END_NO_SECRET: o->err = nx_error_set(reterr, NX_EDIVERGED, "%s", nx_rt_effects_text(&x->world)); break;
    case NX_RT_END_NOT_RECORDED: nx_rt_outcome_set(o, NX_RUN_ERROR, NX_WHY_NOT_RECORDED, "%s", nx_rt_effects_text(&x->world)); break;
    }
}

/* What calling into the guest came to. Takes error and trap. */
static bool ended(nx_rt_exec *x, wasmtime_error_t *error, wasm_trap_t *trap, nx_error *reterr)
{
    nx_outcome *o = &x->world.attempt->out;
    if (!error && !trap) return false;
    if (x->world.end != NX_RT_END_NONE) {
        outcome_end(x, 0, reterr);
        if (x->world.end == NX_RT_END_STOPPED || x->world.end == NX_RT_END_INTERRUPTED || x->world.end == NX_RT_END_ENDED) nx_rt_outcome_frames(o, error, trap);
        if (error) wasmtime_error_delete(error);
        if (trap) wasm_trap_delete(trap);
    } else if (trap) {
        nx_rt_outcome_trap(x, trap);
    } else {
        o->err = nx_rt_engine_error(reterr, NX_EBUSY, "no instance", error);
    }
    return true;
}

static bool call_export(nx_rt_exec *x, wasmtime_context_t *context, const wasmtime_instance_t *instance, const char *name, int32_t *returned,
                        nx_error *reterr)
{
    wasmtime_extern_t item;
    wasm_trap_t *trap = NULL;
    wasmtime_val_raw_t value[1] = {{.i32 = 0}};
    if (!wasmtime_instance_export_get(context, instance, name, strlen(name), &item) || item.kind != WASMTIME_EXTERN_FUNC) {
        x->world.attempt->out.err = nx_error_set(reterr, NX_EBUG, "export %s is gone", name);
        return false;
    }
    wasmtime_error_t *error = wasmtime_func_call_unchecked(context, &item.of.func, value, 1, &trap);
    if (ended(x, error, trap, reterr)) return false;
    *returned = value[0].i32;
    return true;
}

static void run_guest(nx_rt_exec *x, const nx_rt_program *p, wasmtime_context_t *context, nx_error *reterr)
{
    wasmtime_instance_t instance;
    wasmtime_extern_t item;
    wasm_trap_t *trap = NULL;
    int32_t returned = 0;
    wasmtime_error_t *error = wasmtime_instance_pre_instantiate(p->pre, context, &instance, &trap);
    if (ended(x, error, trap, reterr)) return;
    nx_rt_memory_take_over(x->rt);
    if (!x->has_memory && wasmtime_instance_export_get(context, &instance, "memory", sizeof "memory" - 1, &item) &&
        item.kind == WASMTIME_EXTERN_MEMORY) {
        x->memory = item.of.memory;
        x->has_memory = true;
    }
    if (nx_rt_growth_failed(x, p, reterr)) return;
    if (p->has_initialize && !call_export(x, context, &instance, "_initialize", &returned, reterr)) return;
    const char *entry = p->entry == NX_RT_ENTRY_START ? "_start" : "handle_event";
    if (!call_export(x, context, &instance, entry, &returned, reterr)) return;
    int32_t unused;
    if (p->has_flush && !call_export(x, context, &instance, NX_RT_FLUSH_EXPORT, &unused, reterr)) return;
    outcome_end(x, p->entry_returns_i32 ? returned : 0, reterr);
}

/* After a trap or an exit: was it for want of memory? The engine does not tell of a refused memory.grow, so this goes by what is left:
 * a guest that came close to its limit (a small one: all the way), or one whose runtime said so (Rust's message of a failed allocation). */
static bool is_out_of_memory(const nx_rt_exec *x)
{
    const nx_attempt *a = x->world.attempt;
    uint64_t margin = a->memory_bytes / 16, full = a->memory_bytes / NX_RT_PAGE_BYTES * NX_RT_PAGE_BYTES;
    if (a->memory_bytes < 4u << 20) margin = 0;
    return x->world.said_out_of_memory || a->out.memory_bytes + margin >= full;
}

static void blame_memory(nx_rt_exec *x)
{
    const nx_attempt *a = x->world.attempt;
    nx_outcome *o = &x->world.attempt->out;
    if (o->status != NX_RUN_ERROR || (o->why != NX_WHY_TRAP && o->why != NX_WHY_EXIT) || !is_out_of_memory(x)) return;
    o->why = NX_WHY_MEMORY_LIMIT;
    char size[32], before[160];
    (void)nx_size_format(a->memory_bytes, size);
    (void)snprintf(before, sizeof before, "%s", o->message);
    (void)snprintf(o->message, sizeof o->message, "out of memory: the limit is %s (%s)", size, before);
}

static void measure(nx_rt_exec *x, wasmtime_context_t *context, uint64_t fuel_given)
{
    const nx_attempt *a = x->world.attempt;
    nx_outcome *o = &x->world.attempt->out;
    uint64_t left = 0;
    wasmtime_error_t *error = wasmtime_context_get_fuel(context, &left);
    if (error) wasmtime_error_delete(error);
    o->fuel = fuel_given - left;
    if (o->status == NX_RUN_TIMEOUT || o->status == NX_RUN_CANCELLED) {
        /* The engine settles a loop's fuel at its next call only, so this is what was settled before the interruption, always the same for
         * the same attempt. A replay stops at the first check past it, having made the same host calls; it reports the same figure. */
        if (x->is_stopped_at_fuel) o->fuel = a->stop_at_fuel;
        if (o->fuel == 0) o->fuel = 1; /* 0 means: no stop */
    }
    if (x->has_memory) o->memory_bytes = wasmtime_memory_data_size(context, &x->memory);
    blame_memory(x);
}

/* The engine's epoch has moved on since the guest's last check. */
static wasmtime_error_t *on_epoch(wasmtime_context_t *context, void *self, uint64_t *ret_ticks, wasmtime_update_deadline_kind_t *ret_kind)
{
    nx_rt_exec *x = self;
    (void)context;
    uint64_t lost_ns = atomic_load(&x->rt->epoch.lost_ns) - x->lost_before_ns;
    bool is_over = nx_clock_ns() >= (lost_ns > UINT64_MAX - x->world.deadline_ns ? UINT64_MAX : x->world.deadline_ns + lost_ns);
    bool is_ended = atomic_load(&x->world.attempt->is_ended);
    if (!is_over && !is_ended && !nx_rt_share_is_canceled(x->share)) nx_rt_pause_if_due(x);
    if (is_over || nx_rt_share_is_canceled(x->share)) {
        x->world.end = NX_RT_END_INTERRUPTED;
        return wasmtime_error_new("interrupted");
    }
    if (is_ended) {
        x->world.end = NX_RT_END_ENDED;
        return wasmtime_error_new("ended");
    }
    *ret_ticks = 1;
    *ret_kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
    return NULL;
}

static void run_in_store(nx_rt_exec *x, const nx_rt_program *p, nx_error *reterr)
{
    nx_attempt *a = x->world.attempt;
    uint64_t fuel = fuel_limit(a);
    uint64_t allowed_ns = a->timeout_ns;
    if (a->is_replay) allowed_ns = a->timeout_ns > UINT64_MAX / REPLAY_SAFETY ? UINT64_MAX : a->timeout_ns * REPLAY_SAFETY;
    if (a->is_replay && allowed_ns < REPLAY_SAFETY_MIN_NS) allowed_ns = REPLAY_SAFETY_MIN_NS;
    if (x->rt->is_debug) allowed_ns = UINT64_MAX; /* whoever steps through it takes his time; fuel still ends what ended by time */
    wasmtime_store_t *store = wasmtime_store_new(x->rt->classes[p->class_id].engine, x, NULL);
    if (!store) {
        a->out.err = nx_error_set(reterr, NX_ENOMEM, "out of memory for a store");
        return;
    }
    wasmtime_context_t *context = wasmtime_store_context(store);
    x->context = context;
    nx_rt_growth_limit(&x->growth, store, a->memory_bytes);
    wasmtime_store_epoch_deadline_callback(store, on_epoch, x, NULL);
    wasmtime_context_set_epoch_deadline(context, 1);
    /* Canceled since the look above, or ended before it began. */
    if (nx_rt_share_is_canceled(x->share) || atomic_load(&a->is_ended)) wasmtime_context_set_epoch_deadline(context, 0);
    wasmtime_error_t *error = wasmtime_context_set_fuel(context, fuel);
    if (error) {
        a->out.err = nx_rt_engine_error(reterr, NX_EBUG, "fuel", error);
    } else {
        uint64_t now_ns = nx_clock_ns();
        x->world.begin_ns = now_ns;
        x->lost_before_ns = atomic_load(&x->rt->epoch.lost_ns);
        x->world.deadline_ns = allowed_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + allowed_ns;
        nx_rt_epoch_enter(&x->rt->epoch);
        run_guest(x, p, context, reterr);
        (void)nx_rt_growth_failed(x, p, reterr);
        nx_rt_memory_hand_over(x->rt);
        nx_rt_epoch_leave(&x->rt->epoch);
        measure(x, context, fuel);
    }
    wasmtime_store_delete(store);
}

static bool is_too_small(const nx_rt_program *p, nx_attempt *a)
{
    if (p->memory_min_bytes <= a->memory_bytes) return false;
    char have[32], want[32];
    (void)nx_size_format(a->memory_bytes, have);
    (void)nx_size_format(p->memory_min_bytes, want);
    nx_rt_outcome_set(&a->out, NX_RUN_ERROR, NX_WHY_MEMORY_LIMIT, "begins with %s of memory, and the limit is %s", want, have);
    return true;
}

nx_err nx_rt_execute(nx_rt *r, nx_attempt *a, nx_rt_scratch *s, nx_rt_exec *x, nx_error *reterr)
{
    uint64_t begin_ns = nx_clock_ns(), queued_ns = a->out.queued_ns;
    clear_outcome(&a->out);
    a->out.queued_ns = queued_ns;
    x->rt = r;
    x->has_memory = x->is_stopped_at_fuel = false;
    nx_rt_world_init(&x->world, a, s);
    x->world.wait = nx_rt_wait_outside;
    x->world.leave_slot = nx_rt_leave_slot;
    x->world.resume_slot = nx_rt_resume_slot;
    x->world.wait_self = x;
    nx_error detail = NX_ERROR_INIT;
    bool is_canceled = nx_rt_share_is_canceled(x->share);
    nx_err err = is_canceled ? NX_ECANCELED : nx_rt_program_acquire(a->program, &a->out.is_cold, &detail);
    if (err == NX_OK) {
        if (!x->world.files) x->world.files = a->program->own.tree;
        if (!is_too_small(a->program, a)) run_in_store(x, a->program, &detail);
        nx_rt_program_release(a->program);
        err = a->out.err;
    } else if (err == NX_ENOENT || err == NX_EMODULE || err == NX_ECORRUPT) {
        nx_rt_outcome_set(&a->out, NX_RUN_DEAD, NX_WHY_NO_MODULE, "%.200s", detail.msg);
        err = NX_OK;
    }
    nx_rt_world_finish(&x->world);
    nx_rt_world_done(&x->world);
    a->out.duration_ns = nx_clock_ns() - begin_ns;
    a->out.err = err;
    if (err) {
        nx_rt_outcome_set(&a->out, NX_RUN_ERROR, NX_WHY_NONE, "%.200s", detail.msg[0] ? detail.msg : nx_err_text(err));
        (void)nx_error_set(reterr, err, "%s", a->out.message);
    }
    return err;
}

/* ---- instances ahead of time */

/* The guest gets no fuel: where its module has a start function, that ends before it has done anything. */
static nx_err make_instance(nx_rt_exec *x, const nx_rt_program *p, wasmtime_store_t **ret, nx_error *reterr)
{
    wasmtime_instance_t instance;
    wasm_trap_t *trap = NULL;
    wasmtime_store_t *store = wasmtime_store_new(p->rt->classes[p->class_id].engine, x, NULL);
    if (!store) return nx_error_set(reterr, NX_ENOMEM, "out of memory for a store");
    *ret = store;
    x->context = wasmtime_store_context(store);
    wasmtime_error_t *error = wasmtime_instance_pre_instantiate(p->pre, x->context, &instance, &trap);
    if (trap) wasm_trap_delete(trap);
    return error ? nx_rt_engine_error(reterr, NX_EBUSY, "no instance", error) : NX_OK;
}

nx_err nx_rt_make_instances(nx_rt_program *p, unsigned n, nx_error *reterr)
{
    nx_rt_exec x = {.rt = p->rt};
    nx_attempt a;
    nx_rt_scratch *s = nx_rt_scratch_new();
    wasmtime_store_t **stores = calloc(n, sizeof(wasmtime_store_t *));
    nx_err err = s && stores ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory for %u instances", n);
    if (!err) {
        nx_attempt_init(&a);
        a.program = p;
        a.is_replay = true;
        nx_rt_world_init(&x.world, &a, s);
        for (unsigned i = 0; i < n && !err; i++) err = make_instance(&x, p, &stores[i], reterr);
        for (unsigned i = 0; i < n && stores[i]; i++) wasmtime_store_delete(stores[i]);
        nx_rt_world_done(&x.world);
        nx_attempt_done(&a);
    }
    free(stores);
    nx_rt_scratch_free(s);
    return err;
}
