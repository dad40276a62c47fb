/* preinit.h: a module's sections, as far as initialising it ahead of time reads and rewrites them.
 * Ownership: nx_rt_sections lends from the module and holds its arrays in the arena.
 * Threads:   plain data.
 * Errors:    NX_EMODULE (what can't be kept), NX_ELIMIT, NX_ENOMEM.
 * Source:    WebAssembly core specification 2.0, chapter 5. */
#ifndef NX_RT_PREINIT_H
#define NX_RT_PREINIT_H
#include "module.h"

#define NX_RT_SECTION_IDS 13u             /* 0 to 12 */
#define NX_RT_SPARE_NAME_BYTES 24u        /* of the exports that instrumenting adds */
#define NX_RT_STATE_BYTES_MAX (48u << 20) /* of memory that is not zero */

typedef struct nx_rt_global {
    nx_slice type; /* value type and mutability, two bytes */
    nx_slice init; /* the constant expression with its end */
    bool is_mutable;
    uint64_t value; /* after initialisation; bits of a float */
} nx_rt_global;

typedef struct nx_rt_sections {
    nx_slice module;
    nx_slice body[NX_RT_SECTION_IDS]; /* p NULL: there is none */
    nx_rt_global *globals;
    unsigned n_globals, n_imported_globals, n_tables, n_memories, n_data; /* defined ones; data: segments */
    uint32_t memory_flags;
    uint64_t memory_min, memory_max; /* pages */
} nx_rt_sections;

/* What initialisation left. */
typedef struct nx_rt_state {
    const char *init; /* export that was run; it and _initialize are exported no more */
    nx_slice memory;
} nx_rt_state;

nx_err nx_rt_sections_read(nx_slice module, nx_arena *a, nx_rt_sections *ret, nx_error *reterr);
/* The module with exports for all that has to be read afterwards. */
nx_err nx_rt_sections_instrument(const nx_rt_sections *s, nx_buf *out, nx_error *reterr);
/* The module whose initial state is what was left: globals, memory; without a start function. */
nx_err nx_rt_sections_derive(const nx_rt_sections *s, const nx_rt_state *state, nx_buf *out, nx_error *reterr);
size_t nx_rt_spare_name(char out[NX_RT_SPARE_NAME_BYTES], char kind, unsigned i);
#endif
