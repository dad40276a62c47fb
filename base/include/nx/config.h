/* nx/config.h: nexus.yaml: one table of keys, from which parsing, defaults, validation, nexus.schema.json and the reference are made.
 * Ownership: an nx_config is immutable and reference-counted; all it points to lies in its arena.
 * Threads:   parse on one thread; the result may be read from any.
 * Errors:    all problems of a file are collected in nx_config_issues, none stops at the first. */
#ifndef NX_CONFIG_H
#define NX_CONFIG_H
#include "nx/arena.h"
#include "nx/effect.h"
#include "nx/json.h"
#include "nx/log.h"
#include "nx/run.h"

#define NX_CONFIG_FILE_BYTES (1u << 20) /* a larger file is refused */
#define NX_CONFIG_FUNCTIONS_MAX 4096
#define NX_FUNCTION_NAME_BYTES 64 /* [a-z0-9]([-a-z0-9]*[a-z0-9])? (RFC 1123 label) */

typedef enum { NX_INPUT_DATA,
               NX_INPUT_CLOUDEVENT } nx_input_mode; /* input: data | cloudevent */
typedef enum { NX_RESPOND_ASYNC,
               NX_RESPOND_SYNC } nx_respond_mode; /* respond: async | sync */
typedef enum { NX_ORDERING_NONE,
               NX_ORDERING_KEY } nx_ordering; /* ordering: none | key */
typedef enum { NX_DURABILITY_PROCESS,
               NX_DURABILITY_POWER,
               NX_DURABILITY_QUORUM } nx_durability;
typedef enum { NX_JITTER_NONE,
               NX_JITTER_FULL,
               NX_JITTER_EQUAL } nx_jitter; /* retry.jitter: none | full | equal */
typedef enum { NX_EXHAUSTED_DLQ,
               NX_EXHAUSTED_PAUSE,
               NX_EXHAUSTED_DROP } nx_on_exhausted; /* retry.on_exhausted: dlq | pause | drop */

typedef struct nx_fn_config {
    nx_slice name;
    nx_slice http_method, http_path; /* empty: no HTTP trigger; method upper case; path as it is after percent-decoding */
    nx_slice *nats;
    unsigned n_nats; /* raw subjects; sorted, none twice */
    nx_slice *events;
    unsigned n_events; /* type patterns of `on.event`; sorted, none twice. A path /events/TYPE stands only in http_path */
    nx_slice *crons;
    unsigned n_crons;   /* schedules (nx_cron_parse); sorted, none twice */
    nx_slice runtime;   /* "wasi-preview1" */
    nx_slice code;      /* as written; relative to the file */
    nx_slice code_path; /* resolved */
    nx_slice *files;
    unsigned n_files;                      /* as written; relative to the file's folder and below it */
    bool is_preinit;                       /* `init`, or _initialize, runs when it is deployed */
    nx_slice init;                         /* export; empty: _initialize */
    nx_slice build_command, build_workdir; /* may be empty; workdir resolved */
    nx_slice *build_watch;
    unsigned n_build_watch;
    uint64_t timeout_ns, memory_bytes, fuel; /* fuel 0: no limit of its own */
    nx_input_mode input;
    nx_slice output_event; /* output: {event: TYPE}; empty: stdout is only the answer */
    nx_respond_mode respond;
    nx_kv *env;
    unsigned n_env;
    nx_slice *outbound_hosts;
    unsigned n_outbound_hosts; /* allowed_outbound_hosts; this and the next two: sorted, none twice */
    nx_slice *stores;
    unsigned n_stores; /* key_value_stores */
    nx_slice *emit;
    unsigned n_emit; /* types and patterns of events it may emit */
    nx_slice *secrets;
    unsigned n_secrets; /* names that secret_get answers; sorted */
    nx_kv *secret_env;
    unsigned n_secret_env; /* variable, secret's name; sorted by variable; none of them is in env */
    uint64_t max_output_bytes, max_log_bytes, scratch_bytes;
    nx_slice from;            /* RFC 3339: stored events since then are for it too, when it is new; empty: none */
    unsigned from_rate;       /* of them, a second; 0: as fast as it goes */
    unsigned concurrency;     /* running attempts on one node, or with a key on all; 0: as many as there are slots */
    nx_slice concurrency_key; /* path (nx/event_key.h): of each of its values; empty: of all */
    unsigned rate_limit;      /* runs that may start in rate_period_ns; others are skipped; 0: no limit */
    uint64_t rate_period_ns;
    nx_slice rate_key;
    unsigned throttle; /* runs that may start in throttle_period_ns; others wait; 0: no limit */
    unsigned throttle_burst;
    uint64_t throttle_period_ns;
    nx_slice throttle_key;
    uint64_t debounce_ns, debounce_timeout_ns; /* only the last event of a quiet time runs; 0: all do; 0: no longest wait */
    nx_slice debounce_key;
    unsigned batch_max; /* events that it gets in one run; 0: one by one */
    uint64_t batch_timeout_ns;
    nx_slice batch_key;
    nx_slice singleton, singleton_key; /* "skip", "cancel"; empty: no singleton */
    nx_slice priority_run;             /* path (nx/event_key.h) of seconds by which an event goes before others of the function; empty: none */
    unsigned weight;                   /* of the function, where slots are short; 100 is usual */
    nx_slice cpu;                      /* "250m"; empty: no limit; nx_config_cpu_milli() */
    unsigned warm;                     /* instances that are kept ready, with the module mapped; 0: none */
    unsigned retry_max_attempts;       /* the first one counts; 1: a failure is final */
    unsigned retry_factor_milli;       /* thousandths */
    uint64_t retry_initial_ns, retry_max_ns;
    nx_jitter retry_jitter;
    nx_on_exhausted on_exhausted;
    nx_slice *retry_on;
    unsigned n_retry_on;    /* reasons (nx_run_why_name) after which it is tried again; none: all of nx_run_why_can_retry() */
    nx_recording recording; /* how much of what it saw and said its records keep */
    nx_slice *redact;
    unsigned n_redact; /* paths whose values no record keeps (nx/redact.h); at most NX_REDACT_PATHS_MAX */
    nx_ordering ordering;
    unsigned line;                   /* in the file, for messages */
    unsigned code_line, code_column; /* of `code`; 0: none */
} nx_fn_config;

typedef struct nx_secret_source { /* where a secret's value is, if not in the node's store */
    nx_slice name;
    bool is_file;
    nx_slice at; /* file, resolved; or variable of the node's environment */
} nx_secret_source;

typedef struct nx_config {
    nx_slice path;          /* file, or "" */
    nx_slice dir;           /* folder of the file: base of relative paths */
    nx_slice project;       /* `name:`; default: the folder's name */
    nx_slice ns;            /* `namespace:`; "default" */
    nx_slice listen, admin; /* "127.0.0.1:8080", "127.0.0.1:8081" */
    nx_slice data_dir;      /* ".nexus", resolved */
    nx_log_level log_level;
    bool log_json;
    nx_slice tls_cert, tls_key; /* PEM files; empty: plain HTTP */
    uint64_t max_body_bytes, max_buffered_bytes, max_header_bytes;
    unsigned max_connections;
    uint64_t head_timeout_ns, body_timeout_ns, idle_timeout_ns;
    bool ingest_strict, ingest_batch; /* ingest.strict, ingest.batch */
    unsigned ingest_max_types, hop_limit;
    nx_slice nats_url; /* empty: private server */
    nx_slice nats_credentials, nats_user, nats_password, nats_token, nats_tls_ca, nats_tls_cert, nats_tls_key, nats_js_prefix;
    nx_durability durability;
    unsigned replicas;
    uint64_t versions_max_age_ns;
    unsigned versions_keep;
    uint64_t events_max_age_ns, events_max_bytes, runs_max_age_ns, runs_max_bytes, dedupe_window_ns;
    nx_slice outbound_ca; /* PEM file; may be empty */
    uint64_t outbound_connect_timeout_ns;
    unsigned outbound_max_in_flight;
    nx_secret_source *secrets;
    unsigned n_secrets;                              /* sorted by name */
    nx_slice secret_key_file;                        /* resolved; empty: data_dir/secret.key */
    nx_slice audit;                                  /* replay.audit: "1%" of live runs are repeated in idle time; nx_config_share_ppm() */
    unsigned workers;                                /* running slots; 0: one per core */
    unsigned weight;                                 /* priority.weight: the namespace's part of the slots, beside others of the process */
    uint64_t warm_memory_bytes, server_memory_bytes; /* server_memory_bytes 0: by the consumers of its store */
    nx_fn_config *functions;
    unsigned n_functions;
} nx_config;

typedef struct nx_config_issue {
    char path[160];        /* "functions[0].timeout" */
    char reason[256];      /* `"5 parsecs" is not a duration` */
    char suggestion[256];  /* "try 5s"; may be empty; of several lines (a whole sample) only for an empty file */
    unsigned line, column; /* from 1; 0: none */
    char source[128];      /* where the value came from when not from the file: "NEXUS_LISTEN", "--listen", another file; else empty */
} nx_config_issue;

#define NX_CONFIG_ISSUES_MAX 100
typedef struct nx_config_issues {
    nx_slice file; /* name used in messages; lent */
    nx_config_issue *v;
    unsigned n, cap;
    bool is_cut; /* there were more than NX_CONFIG_ISSUES_MAX */
} nx_config_issues;

typedef enum {
    NX_CONFIG_CHECK_CODE = 1,   /* `code` must exist and begin with the WebAssembly magic and version; `files` must exist */
    NX_CONFIG_NO_FUNCTIONS = 2, /* a file without functions is allowed (node settings) */
    NX_CONFIG_STORED = 4        /* settings of stored versions: `code` may be missing (the artifact is known by its digest) */
} nx_config_flags;

/* Reads and validates `file`: YAML 1.2 without anchors, aliases, merge keys, tags and further documents (refused, so a tree is never larger than its
 * file), or JSON. On NX_EINVAL `issues` (zeroed before its first use; may be NULL) holds everything that is wrong, in the order of the file, and
 * reterr the first of it; *ret is not set. Other errors (NX_ENOENT, NX_EDENIED, NX_EIO, NX_ENOMEM) are in reterr alone. `file` is lent to issues. */
nx_err nx_config_load(const char *file, unsigned flags, nx_config **ret, nx_config_issues *issues, nx_error *reterr);
/* The same from memory; `name` stands in messages, `dir` is the base of relative paths. */
nx_err nx_config_parse(nx_slice text, const char *name, const char *dir, unsigned flags, nx_config **ret, nx_config_issues *issues, nx_error *reterr);
/* One setting from outside the files, by its path in nexus.yaml. */
typedef struct nx_config_override {
    nx_slice path;   /* "log.level"; scalar keys that stand outside functions[] */
    nx_slice value;  /* text as it would stand in the file, without quotes */
    nx_slice origin; /* "NEXUS_LOG_LEVEL", "--log-level": named in messages */
} nx_config_override;

/* The layers of a node's settings, weakest first: default < user file < project file < environment < flags. All is lent for the call. */
typedef struct nx_config_layers {
    const char *user_file; /* "~/.config/nexus/config.yaml" expanded; NULL: none. A missing file is no error. Node settings only: no `functions`, no `name` */
    const char *file;      /* project file; NULL: none */
    const char *dir;       /* base of relative paths where file is NULL; NULL: the current folder */
    const nx_config_override *overrides;
    unsigned n_overrides; /* later ones win: environment first, then flags. Relative paths in them start at the current folder */
} nx_config_layers;
nx_err nx_config_load_layers(const nx_config_layers *layers, unsigned flags, nx_config **ret, nx_config_issues *issues, nx_error *reterr);

/* "1%", "0.05%", "100%" in millionths; at most four decimals. NX_EPARSE. */
nx_err nx_config_share_ppm(nx_slice text, uint32_t *ret);

/* "250m", "0.5", "2" in thousandths of a core: 10m to 256 cores. NX_EPARSE. */
nx_err nx_config_cpu_milli(nx_slice text, unsigned *ret);

/* Overrides from an environment block (`environ`): NEXUS_ + the path in capitals, '.' as '_': log.level is NEXUS_LOG_LEVEL.
 * Only names made from the table are taken (not NEXUS_ADMIN_URL, NEXUS_CACHE, …, which belong to other programs). The list lies in `a` and borrows from env. */
nx_err nx_config_env_overrides(char *const *env, nx_arena *a, nx_config_override **ret, unsigned *ret_n);
/* All defaults, no functions: what a node without a file runs with. */
nx_err nx_config_default(const char *dir, nx_config **ret, nx_error *reterr);
void nx_config_ref(nx_config *c);
void nx_config_unref(nx_config *c); /* NULL allowed */
void nx_config_issues_done(nx_config_issues *i);
/* One more, found by a layer above; what is longer than it may be was cut by the caller's snprintf(). NX_ENOMEM. Too many: it is left out, and `is_cut` set. */
nx_err nx_config_issues_add(nx_config_issues *all, const nx_config_issue *issue);
/* "nexus.yaml:14:7: functions[0].timeout: "5 parsecs" is not a duration (try 5s)", one line each. */
nx_err nx_config_issues_text(const nx_config_issues *all, nx_buf *out);
/* One object: {"valid", "file", "is_cut", "issues": [{"source", "line", "column", "path", "reason", "suggestion"}]}. */
nx_err nx_config_issues_json(const nx_config_issues *all, nx_buf *out);
/* Calls put() with each setting of the node that differs and that a running node does not take ("http.max_body"); functions are no such. */
void nx_config_each_restart(const nx_config *a, const nx_config *b, void (*put)(void *self, const char *path), void *self);
/* Of several files of one process the first one's count for what belongs to the process ("workers"): calls put() with each such setting that `c` sets to
 * something else than `first` does. What has its default there (`defaults`: nx_config_default()) was not set. */
void nx_config_each_process(const nx_config *first, const nx_config *c, const nx_config *defaults, void (*put)(void *self, const char *path), void *self);
const nx_fn_config *nx_config_function(const nx_config *c, nx_slice name);
nx_grants nx_fn_config_grants(const nx_fn_config *f); /* lent by f */

/* One function's settings as the JSON object that stands under functions[] in the file, normalised: every default written out, equal settings give
 * equal bytes. This is what a version stores. Left out are `code` and `build`: they say how the artifact came to be, not how it runs. */
nx_err nx_fn_config_to_json(const nx_fn_config *f, nx_jw *w);
/* The object under its key `on` alone. */
void nx_fn_config_triggers_to_json(const nx_fn_config *f, nx_jw *w);
/* The way back: nx_config_parse() of {"version":"v1","functions":[…]} made from stored settings, with NX_CONFIG_STORED. */

/* Generated documents. */
nx_err nx_config_schema_json(nx_buf *out);  /* JSON Schema 2020-12 */
nx_err nx_config_reference_md(nx_buf *out); /* the whole page docs/CONFIG_REFERENCE.md */
#endif
