/* backtrace.c: a trap as status, reason, readable text and frames.
 * The engine prints frames with demangled names; those lines are taken over, bounded. */
#include <stdarg.h>
#include <stdio.h>

#include "nx/clock.h"
#include "rt_internal.h"

#define FRAME_BYTES_MAX 512u /* a Rust name with its type parameters can have kilobytes */
#define BACKTRACE_BYTES (NX_RT_FRAMES_MAX * (FRAME_BYTES_MAX + 32u))

void nx_rt_outcome_set(nx_outcome *o, nx_run_status status, nx_run_why why, const char *fmt, ...)
{
    va_list ap;
    o->status = status;
    o->why = why;
    va_start(ap, fmt);
    (void)vsnprintf(o->message, sizeof o->message, fmt, ap);
    va_end(ap);
}

static const char *trap_text(wasmtime_trap_code_t code)
{
    switch (code) {
    case WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS: return "memory access out of bounds";
    case WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS: return "table access out of bounds";
    case WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL: return "call of a function pointer that is null";
    case WASMTIME_TRAP_CODE_BAD_SIGNATURE: return "call of a function pointer with another type";
    case WASMTIME_TRAP_CODE_INTEGER_OVERFLOW: return "integer overflow";
    case WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO: return "integer division by zero";
    case WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER: return "conversion of a float that fits no integer";
    case WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED: return "unreachable instruction (a panic or an abort)";
    case WASMTIME_TRAP_CODE_NULL_REFERENCE: return "use of a null reference";
    default: return NULL;
    }
}

/* "    3:   0x1a2c - <unknown>!core::panicking::panic" -> "#3 0x1a2c core::panicking::panic" */
static void append_frame(nx_slice line, nx_buf *out)
{
    line = nx_slice_trim(line);
    nx_slice rest, number = nx_slice_split(line, ':', &rest);
    uint64_t index;
    if (nx_slice_u64(number, NX_RT_FRAMES_MAX - 1, &index)) return;
    rest = nx_slice_trim(rest);
    if (!nx_slice_starts(rest, NX_SLICE("0x"))) return;
    nx_slice name, address = nx_slice_split(rest, ' ', &name);
    const char *bang = name.n ? memchr(name.p, '!', name.n) : NULL;
    if (bang) name = nx_slice_make(bang + 1, name.n - (size_t)(bang + 1 - name.p));
    name = nx_slice_sub(name, 0, FRAME_BYTES_MAX);
    size_t begin = out->n;
    if (nx_buf_printf(out, "#%u %.*s %.*s", (unsigned)index, NX_SLICE_FMT(address), NX_SLICE_FMT(name))) return;
    for (size_t i = begin; i < out->n; i++) /* names are the guest's, and reach terminals */
        if ((unsigned char)out->p[i] < ' ' || out->p[i] == 0x7f) out->p[i] = '?';
    (void)nx_buf_append_char(out, '\n');
}

static void append_frames(nx_slice text, nx_buf *out)
{
    out->max = BACKTRACE_BYTES;
    while (text.n) {
        nx_slice line = nx_slice_split(text, '\n', &text);
        append_frame(line, out);
    }
}

/* The engine's own words for what has no entry in trap_text(): its last "cause" line. */
static void set_by_text(nx_outcome *o, nx_slice text)
{
    static const char mark[] = "wasm trap: ";
    const char *at = text.n ? memmem(text.p, text.n, mark, sizeof mark - 1) : NULL;
    nx_slice said = at ? nx_slice_make(at + sizeof mark - 1, text.n - (size_t)(at - text.p) - (sizeof mark - 1)) : text;
    nx_slice rest, line = nx_slice_split(said, '\n', &rest);
    nx_rt_outcome_set(o, NX_RUN_ERROR, NX_WHY_TRAP, "%.*s", NX_SLICE_FMT(line));
}

static uint64_t ms(uint64_t ns) { return ns / 1000000; }

void nx_rt_outcome_cancelled(nx_outcome *o)
{
    nx_rt_outcome_set(o, NX_RUN_CANCELLED, NX_WHY_SUPERSEDED, "%s", "ended while it ran");
}

static void set_by_code(nx_rt_exec *x, wasmtime_trap_code_t code, nx_slice text)
{
    const nx_attempt *a = x->world.attempt;
    nx_outcome *o = &x->world.attempt->out;
    switch (code) {
    case WASMTIME_TRAP_CODE_OUT_OF_FUEL:
        x->is_stopped_at_fuel = a->stop_at_fuel && (!a->fuel || a->stop_at_fuel <= a->fuel);
        if (x->is_stopped_at_fuel && a->is_stop_cancelled)
            nx_rt_outcome_cancelled(o);
        else if (x->is_stopped_at_fuel)
            nx_rt_outcome_set(o, NX_RUN_TIMEOUT, NX_WHY_DEADLINE, "did not finish within %llu ms", (unsigned long long)ms(a->timeout_ns));
        else
            nx_rt_outcome_set(o, NX_RUN_ERROR, NX_WHY_FUEL, "used up its fuel of %llu", (unsigned long long)a->fuel);
        return;
    case WASMTIME_TRAP_CODE_STACK_OVERFLOW:
        nx_rt_outcome_set(o, NX_RUN_ERROR, NX_WHY_STACK_OVERFLOW, "call stack exhausted: it is limited to %u KiB (endless recursion?)",
                          NX_RT_WASM_STACK_BYTES >> 10);
        return;
    case WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED:
        nx_rt_logs_flush_line(&x->world); /* the panic's last line may still lack its end */
        if (!x->world.panic[0]) break;
        nx_rt_outcome_set(o, NX_RUN_ERROR, NX_WHY_TRAP, "%s", x->world.panic);
        return;
    default: break;
    }
    const char *known = trap_text(code);
    if (known) nx_rt_outcome_set(o, NX_RUN_ERROR, NX_WHY_TRAP, "%s", known);
    else set_by_text(o, text);
}

void nx_rt_outcome_frames(nx_outcome *o, const wasmtime_error_t *error, const wasm_trap_t *trap)
{
    wasm_name_t text; /* without a NUL of an error, with one of a trap: it ends no frame */
    if (error) wasmtime_error_message(error, &text);
    else wasm_trap_message(trap, &text);
    append_frames(nx_slice_make(text.data, text.size), &o->backtrace);
    wasm_byte_vec_delete(&text);
}

void nx_rt_outcome_trap(nx_rt_exec *x, wasm_trap_t *trap)
{
    wasm_message_t text;
    wasmtime_trap_code_t code;
    wasm_trap_message(trap, &text);
    nx_slice said = nx_slice_make(text.data, text.size ? text.size - 1 : 0); /* the NUL is counted */
    if (wasmtime_trap_code(trap, &code)) set_by_code(x, code, said);
    else set_by_text(&x->world.attempt->out, said);
    append_frames(said, &x->world.attempt->out.backtrace);
    wasm_byte_vec_delete(&text);
    wasm_trap_delete(trap);
}
