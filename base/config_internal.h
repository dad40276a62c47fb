/* config_internal.h: what the parts of the configuration code share.
 * Why:       one table (config_table.c) says what nexus.yaml may hold; reading, checking, the schema and the reference all walk it.
 * Files:     config_table.c   the rows
 *            config_yaml.c    bytes -> tree of nodes with positions (libfyaml)
 *            config_json_read.c  the same of settings that were stored, which are JSON
 *            config_scalar.c  the text of a scalar: quotes, escapes, folding
 *            config_format.c  checks of single strings: names, addresses, subjects, paths
 *            config_value.c   text -> one field, by its row
 *            config_read.c    tree -> nx_config
 *            config_secrets.c where the values of secrets come from
 *            config_layers.c  files, defaults and overrides in their order: the public entry points
 *            config_check.c   what only the whole can tell: clashes, missing partners, code
 *            config_issue.c   collecting and printing what is wrong
 *            config_json.c    settings of a version
 *            config_schema.c  nexus.schema.json and the reference
 * Ownership: nodes and marks lie in the reading arena, which dies with the call; the result in its own.
 * Threads:   one.
 * Errors:    what is wrong with the input becomes an issue and the work goes on; only NX_ENOMEM and NX_ELIMIT stick in nx_cfg_ctx.err. */
#ifndef NX_CONFIG_INTERNAL_H
#define NX_CONFIG_INTERNAL_H
#include "nx/config.h"

#define NX_CFG_DEPTH_MAX 16       /* the deepest key stands at depth 5 */
#define NX_CFG_NODES_MAX 200000u  /* more than any honest file of NX_CONFIG_FILE_BYTES */
#define NX_CFG_KEYS_MAX 256u      /* in one mapping; bounds the search for duplicates too */
#define NX_CFG_LIST_MAX 256u      /* of strings */
#define NX_CFG_STRING_BYTES 4096u /* one string, unless its format says less */
#define NX_CFG_ENV_VALUE_BYTES 32768u
#define NX_CFG_ENV_BYTES 131072u /* all names and values of one function */
#define NX_CFG_READ_ARENA_BYTES (96u << 20)
#define NX_CFG_ARENA_BYTES (64u << 20)

/* ---- tree */
typedef enum { NX_CFG_NODE_SCALAR,
               NX_CFG_NODE_MAP,
               NX_CFG_NODE_SEQ } nx_cfg_node_kind;

typedef struct nx_cfg_node {
    nx_cfg_node_kind kind;
    bool is_plain;         /* scalar without quotes */
    bool is_null;          /* plain and empty, ~ or null */
    bool is_broken;        /* already reported (an alias, a tag): not looked at again */
    unsigned line, column; /* from 1 */
    unsigned key_line, key_column;
    nx_slice text; /* of a scalar, decoded */
    nx_slice key;  /* in a mapping */
    unsigned n;    /* children */
    struct nx_cfg_node *first, *last, *next, *parent;
} nx_cfg_node;

static inline void nx_cfg_node_append(nx_cfg_node *parent, nx_cfg_node *n)
{
    n->parent = parent;
    if (parent->last)
        parent->last->next = n;
    else
        parent->first = n;
    parent->last = n;
    parent->n++;
}

typedef struct nx_cfg_mark {
    const char *source; /* as nx_config_issue.source; NULL: the file */
    unsigned line, column;
    bool is_wrong; /* what stands there was reported: checks of the whole leave it alone */
} nx_cfg_mark;

/* ---- table */
typedef struct nx_cfg_why { /* why a string does not fit */
    char reason[256];
    char suggestion[256];
} nx_cfg_why;

typedef struct nx_cfg_format {
    const char *noun;    /* "an HTTP path" */
    const char *pattern; /* ECMA 262 regular expression of the schema; NULL: any. Never narrower than check() */
    unsigned max_bytes;  /* 0: NX_CFG_STRING_BYTES */
    bool may_be_empty;
    bool (*check)(nx_slice s, nx_cfg_why *why); /* s is not empty, UTF-8, within max_bytes; NULL: any */
} nx_cfg_format;

extern const nx_cfg_format nx_cfg_text, nx_cfg_project, nx_cfg_namespace, nx_cfg_function_name, nx_cfg_address, nx_cfg_file, nx_cfg_own_file, nx_cfg_export, nx_cfg_folder,
    nx_cfg_secret, nx_cfg_nats_url, nx_cfg_js_prefix, nx_cfg_http_path, nx_cfg_subject, nx_cfg_event_type, nx_cfg_type_pattern,
    nx_cfg_cron, nx_cfg_moment, nx_cfg_command, nx_cfg_env_value, nx_cfg_why_name, nx_cfg_outbound_host, nx_cfg_store, nx_cfg_secret_name, nx_cfg_env_name,
    nx_cfg_redact_path, nx_cfg_share, nx_cfg_event_key, nx_cfg_cpu;

typedef enum {
    NX_CFG_SECTION,   /* mapping of the rows below it */
    NX_CFG_FUNCTIONS, /* the list of functions */
    NX_CFG_CONST,     /* exactly `def` */
    NX_CFG_STRING,
    NX_CFG_ENUM, /* index into `choices`, or the text where the field is a slice */
    NX_CFG_DURATION,
    NX_CFG_SIZE,
    NX_CFG_INT,
    NX_CFG_DECIMAL, /* up to three digits behind the point; kept in thousandths */
    NX_CFG_BOOL,
    NX_CFG_LIST,        /* of strings */
    NX_CFG_ONE_OR_LIST, /* one string, or a list */
    NX_CFG_CRON,        /* the same, of schedules, where one may also be a mapping of schedule and timezone; kept as "TZ=<timezone> <schedule>" */
    NX_CFG_ENV,         /* mapping of names of variables to strings */
    NX_CFG_SECRETS      /* mapping of names to {file: …} or {env: …} */
} nx_cfg_shape;

typedef struct nx_cfg_row {
    const char *path; /* "functions[].on.http.path" */
    nx_cfg_shape shape;
    const nx_cfg_format *format; /* of strings */
    const char *def;             /* as it would stand in the file; NULL: none */
    const char *min, *max;       /* bounds, in the same form */
    const char *const *choices;  /* NULL-terminated */
    const char *unit;            /* of integers: "connections" */
    const char *help;            /* Markdown, one paragraph */
    const char *example;         /* shown where a value is missing or wrong; NULL: def */
    unsigned at, width;          /* field in nx_config, or nx_fn_config under functions[] */
    unsigned count_at;           /* of lists and maps */
    unsigned resolved_at;        /* of files: field of the resolved path; the same as `at` where only that is kept */
    const char *list_row;        /* of a section: the row below it that one value or a list in place of the section stands for */
    bool is_required, is_path;   /* is_path: resolved_at is meant */
    bool is_secret;              /* never shown in a message */
    bool is_project;             /* belongs to the project, not to a node: refused in the user file and as an override */
    bool is_live;                /* of a node's: a running one takes a change at once; all others wait for its next start */
    bool is_process;             /* of the process: where several namespaces are served by one, the first file's counts */
} nx_cfg_row;

extern const nx_cfg_row nx_cfg_rows[];
extern const unsigned nx_cfg_n_rows;

#define NX_CFG_IN_FUNCTION "functions[]"
bool nx_cfg_row_is_function(const nx_cfg_row *row); /* below functions[] */
bool nx_cfg_row_is_scalar(const nx_cfg_row *row);   /* one value of text */
const char *nx_cfg_row_key(const nx_cfg_row *row);  /* last component */
/* The row `prefix.key`; prefix "" is the top. NULL: unknown. */
const nx_cfg_row *nx_cfg_row_child(const char *prefix, nx_slice key);
bool nx_cfg_row_is_child_of(const nx_cfg_row *row, const char *prefix);
const nx_cfg_row *nx_cfg_row_find(const char *path);
static inline unsigned nx_cfg_row_index(const nx_cfg_row *row) { return (unsigned)(row - nx_cfg_rows); }
/* NEXUS_LOG_LEVEL for log.level; 0 where the row cannot be overridden, else the length. */
#define NX_CFG_ENV_NAME_BYTES 64
size_t nx_cfg_row_env_name(const nx_cfg_row *row, char out[NX_CFG_ENV_NAME_BYTES]);

/* ---- one call */
typedef struct nx_cfg_ctx {
    nx_arena *read;       /* nodes, marks: dies with the call */
    nx_arena *arena;      /* the result's */
    const char *base_dir; /* the project's folder */
    nx_config *config;
    nx_config_issues *issues;
    unsigned flags;
    nx_err err;         /* sticky: NX_ENOMEM, NX_ELIMIT, NX_EINVAL where there are issues */
    const char *source; /* of what is read at the moment; NULL: issues->file */
    const char *dir;    /* base of relative paths of what is read at the moment */
    bool is_user_file;
    char path[160]; /* of what is read at the moment: "functions[0].on" */
    size_t path_n;
    nx_cfg_mark *marks;    /* by row: where the value of a node's setting came from; line 0, source NULL: default */
    nx_cfg_mark *fn_marks; /* the same for each function: nx_cfg_n_rows for the first, then for the second, … */
} nx_cfg_ctx;

/* config_issue.c. `path` NULL: ctx->path; fmt makes the reason; suggestion may be NULL. */
void nx_cfg_issue(nx_cfg_ctx *x, nx_cfg_mark at, const char *path, const char *suggestion, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void nx_cfg_issues_sort(nx_config_issues *all, unsigned from);
/* A value for a message: printable UTF-8, quoted, cut after 40 characters; returns out. */
#define NX_CFG_SHOW_BYTES 200
const char *nx_cfg_show(nx_slice s, char out[NX_CFG_SHOW_BYTES]);
/* Nearest of the children of prefix to key (Levenshtein), or NULL. */
const char *nx_cfg_nearest_key(const char *prefix, nx_slice key);
const char *nx_cfg_nearest_choice(const char *const *choices, nx_slice value);
static inline nx_cfg_mark nx_cfg_mark_of(const nx_cfg_ctx *x, const nx_cfg_node *n) { return (nx_cfg_mark){x->source, n->line, n->column, false}; }
static inline nx_cfg_mark nx_cfg_mark_key(const nx_cfg_ctx *x, const nx_cfg_node *n) { return (nx_cfg_mark){x->source, n->key_line, n->key_column, false}; }

/* config_scalar.c: the text of the scalar at file[from, to): without its quotes, or the lines of a block.
 * NX_EPARSE: an escape makes no character; NX_ENOTSUP: an indentation indicator (|2); NX_ENOMEM. */
typedef enum { NX_CFG_PLAIN,
               NX_CFG_SINGLE,
               NX_CFG_DOUBLE,
               NX_CFG_LITERAL,
               NX_CFG_FOLDED } nx_cfg_style;
nx_err nx_cfg_scalar_decode(nx_arena *a, nx_slice file, size_t from, size_t to, nx_cfg_style style, nx_slice *ret);

/* config_yaml.c. *ret is NULL when there were issues, or when the text holds no document. */
void nx_cfg_yaml_read(nx_cfg_ctx *x, nx_slice text, nx_cfg_node **ret);

/* config_json_read.c: false, and nothing is said, where the text is not plain JSON in one line: it is for nx_cfg_yaml_read(). */
bool nx_cfg_json_read(nx_cfg_ctx *x, nx_slice text, nx_cfg_node **ret);

/* config_value.c: a text into the field of row in base (nx_config or nx_fn_config). False: an issue was added (or err set). */
bool nx_cfg_set(nx_cfg_ctx *x, const nx_cfg_row *row, void *base, nx_slice text, nx_cfg_mark at);
/* Checks one string against a format; the issue names ctx->path. */
bool nx_cfg_check_string(nx_cfg_ctx *x, const nx_cfg_format *f, nx_slice text, nx_cfg_mark at);
uint64_t nx_cfg_get_uint(const nx_cfg_row *row, const void *base);
bool nx_cfg_text_to_uint(const nx_cfg_row *row, nx_slice text, uint64_t *ret); /* by shape: duration, size, int */
const char *nx_cfg_resolve(nx_arena *a, const char *dir, nx_slice path);       /* NULL: out of memory */

/* config_read.c: one document into x->config. */
size_t nx_cfg_path_push(nx_cfg_ctx *x, nx_slice key); /* the path of messages, one key longer; what nx_cfg_path_pop() needs */
void nx_cfg_path_pop(nx_cfg_ctx *x, size_t was);
const nx_cfg_node *nx_cfg_earlier_twin(const nx_cfg_node *parent, const nx_cfg_node *n); /* NULL: none has its key */
/* False, with an issue, where something else stands there; null is left to the caller. */
bool nx_cfg_is_kind(nx_cfg_ctx *x, const nx_cfg_node *n, nx_cfg_node_kind kind, const char *expected, const char *example);
bool nx_cfg_report_null(nx_cfg_ctx *x, const nx_cfg_node *n, const char *example); /* true, with an issue, where nothing stands there */
/* config_secrets.c: a node into x->config->secrets, over what lower layers put there. */
void nx_cfg_read_secrets(nx_cfg_ctx *x, const nx_cfg_node *n);
void nx_cfg_read_root(nx_cfg_ctx *x, const nx_cfg_node *root);
void nx_cfg_override(nx_cfg_ctx *x, const nx_config_override *o);
static inline nx_cfg_mark *nx_cfg_fn_marks(const nx_cfg_ctx *x, unsigned i) { return x->fn_marks + (size_t)i * nx_cfg_n_rows; }
static inline bool nx_cfg_is_set(const nx_cfg_mark *m) { return m->line > 0 || m->source; }

/* config_format.c */
bool nx_cfg_env_name_check(nx_slice name, nx_cfg_why *why);
bool nx_cfg_subject_check(nx_slice subject, bool with_wildcards, nx_cfg_why *why);

/* config_check.c: after all layers are read. */
void nx_cfg_check(nx_cfg_ctx *x);
#endif
