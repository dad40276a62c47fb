/* module.h: what a WebAssembly binary says of itself, read without an engine, and what keeps it from running here.
 * Why:       a module that can't run must be refused with all reasons by name, before seconds are spent on compiling it.
 * Ownership: nx_rt_facts lends from the module's bytes and holds its arrays in the arena given to nx_rt_facts_read().
 * Threads:   plain data.
 * Errors:    NX_EMODULE with the offset of what can't be read; NX_ENOMEM.
 * Source:    WebAssembly core specification 2.0, chapter 5 (binary format). */
#ifndef NX_RT_MODULE_H
#define NX_RT_MODULE_H
#include "nx/arena.h"
#include "nx/buf.h"

#define NX_RT_MODULE_BYTES_MAX (128u << 20)
#define NX_RT_PAGE_BYTES 65536u
#define NX_RT_IMPORTS_MAX 4096u
#define NX_RT_EXPORTS_MAX 100000u

typedef enum { NX_RT_FUNC,
               NX_RT_TABLE,
               NX_RT_MEMORY,
               NX_RT_GLOBAL,
               NX_RT_TAG } nx_rt_extern_kind;
const char *nx_rt_extern_kind_name(nx_rt_extern_kind k);

/* A function type as two strings of value type bytes (0x7f i32, 0x7e i64, …); lent from the module. */
typedef struct nx_rt_functype {
    nx_slice params, results;
    bool is_known; /* false: a form that this reader does not take apart (GC types) */
} nx_rt_functype;

typedef struct nx_rt_import {
    nx_slice module, name;
    nx_rt_extern_kind kind;
    uint32_t type; /* index into types; functions only */
} nx_rt_import;

typedef struct nx_rt_export {
    nx_slice name;
    nx_rt_extern_kind kind;
    uint32_t index;
} nx_rt_export;

typedef struct nx_rt_memory_facts {
    uint64_t min_pages, max_pages; /* max_pages UINT64_MAX: none */
    bool is_shared, is_64, is_imported, has_custom_page;
} nx_rt_memory_facts;

typedef struct nx_rt_facts {
    bool is_component;
    nx_rt_functype *types;
    uint32_t n_types;
    nx_rt_import *imports;
    uint32_t n_imports;
    nx_rt_export *exports;
    uint32_t n_exports;
    uint32_t *func_types; /* type of every function, imported ones first */
    uint32_t n_funcs, n_imported_funcs;
    nx_rt_memory_facts memory; /* the first */
    uint32_t n_memories, n_tables;
    bool has_start, has_names, has_dwarf;
    nx_slice producers;                             /* payload of the custom section of that name */
    nx_slice debug_line, debug_str, debug_line_str; /* DWARF line tables and their strings */
    nx_slice source_map_url;                        /* where the module's source map is, or the map itself as a data: URL */
    nx_slice code;                                  /* the code section's payload */
    size_t code_offset;                             /* of the code section's payload: where DWARF's addresses begin */
} nx_rt_facts;

nx_err nx_rt_facts_read(nx_slice bytes, nx_arena *a, nx_rt_facts *ret, nx_error *reterr);
const nx_rt_export *nx_rt_facts_export(const nx_rt_facts *f, const char *name);
/* Type of the exported function `name`; NULL: not exported, not a function, or of unknown form. */
const nx_rt_functype *nx_rt_facts_export_type(const nx_rt_facts *f, const char *name);
/* "(i32, i64) -> i32" */
nx_err nx_rt_functype_text(const nx_rt_functype *t, nx_buf *out);

/* What keeps a module from running, each with what to do about it. */
typedef struct nx_rt_problem {
    const char *code; /* "unknown_import", "no_entry", … */
    nx_slice subject; /* "env.foo"; may be empty */
    nx_slice message, advice;
} nx_rt_problem;

#define NX_RT_PROBLEMS_MAX 64
typedef struct nx_rt_problems {
    nx_arena *arena;
    nx_rt_problem v[NX_RT_PROBLEMS_MAX];
    unsigned n;
    unsigned n_more; /* found and not kept */
} nx_rt_problems;

/* An optional export, called when handle_event has returned. Rust keeps what was written to stdout until a newline or the end of main(), and
 * a library has no main(): a build adds this function to flush it, so that the plainest source works. */
#define NX_RT_FLUSH_EXPORT "__nexus_flush"

typedef enum { NX_RT_ENTRY_NONE,
               NX_RT_ENTRY_HANDLE_EVENT,
               NX_RT_ENTRY_START } nx_rt_entry;
nx_rt_entry nx_rt_facts_entry(const nx_rt_facts *f);
/* memory_bytes: the limit the module will run with; 0: none known, only what no node allows is reported. */
void nx_rt_facts_check(const nx_rt_facts *f, uint64_t memory_bytes, nx_rt_problems *p);
/* NX_EMODULE with every problem and its advice in reterr (cut at its size); NX_OK where there is none. */
nx_err nx_rt_problems_error(const nx_rt_problems *p, nx_error *reterr);
#endif
