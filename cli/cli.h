/* cli.h: what the files of the command share: the table of commands, the invocation, and small services.
 * Why:       one table (table.c, whose rows stand beside their code in cmd_*.c) makes parsing, help, completion, the man
 *            page and the reference, so that they cannot say different things.
 * Ownership: an nx_cli lives for one invocation; strings in it are lent by argv or static.
 * Threads:   nx-main, and a helper for progress that only writes to the terminal.
 * Errors:    run functions return the process's exit code; nx_cli_fail() prints and maps. */
#ifndef NX_CLI_INTERNAL_H
#define NX_CLI_INTERNAL_H
#include "nx/config.h"
#include "nx/httpc.h"
#include "nx/json.h"
#include <stdio.h>

/* ---- the table -------------------------------------------------------------------------------------------------- */

typedef enum {
    NX_CLI_WORD,     /* any text */
    NX_CLI_FILE,     /* a path; shells complete files */
    NX_CLI_FUNCTION, /* the name of a function; shells ask `nexus functions list --names` */
} nx_cli_kind;

typedef struct nx_cli_flag {
    const char *name;           /* "listen", written --listen; NULL ends a list */
    char letter;                /* 'f' for -f; 0: none */
    const char *value;          /* "HOST:PORT" in help; NULL: a switch */
    const char *help;           /* one sentence */
    const char *const *choices; /* values it may have, NULL-terminated; NULL: any */
    nx_cli_kind kind;
    bool is_many; /* may stand several times */
} nx_cli_flag;

typedef struct nx_cli_arg {
    const char *name; /* "event"; NULL ends a list */
    const char *help;
    const char *const *choices;
    nx_cli_kind kind;
    bool is_optional, is_many; /* is_many: the last one takes all that follow */
} nx_cli_arg;

typedef struct nx_cli_example {
    const char *command; /* as typed; NULL ends a list */
    const char *says;    /* what it does, one line */
} nx_cli_example;

typedef struct nx_cli nx_cli;

typedef struct nx_cli_command {
    const char *verb;    /* "events list": one or two words */
    const char *summary; /* one line without a full stop */
    const char *text;    /* paragraphs of help; may be NULL */
    const nx_cli_flag *flags;
    const nx_cli_arg *args;
    const nx_cli_example *examples;
    const char *on_extra; /* what is said of one argument too many, in place of showing it; NULL: it is shown */
    bool is_client;       /* talks to a node: takes --admin-url too */
    bool is_otherwise;    /* of its group, the one that is meant where the second word is no verb but an argument: `nexus shadow NAME` */
    bool is_hidden;       /* for packagers and tests; left out of lists */
    int (*run)(nx_cli *c);
} nx_cli_command;

extern const nx_cli_command *const nx_cli_commands[]; /* NULL-terminated, in the order of help */
extern const nx_cli_flag nx_cli_global_flags[];       /* of every command */
extern const nx_cli_flag nx_cli_client_flags[];       /* of those that talk to a node */

/* Groups of two-word verbs ("events"): what help says of the group. */
typedef struct nx_cli_group {
    const char *word, *summary;
} nx_cli_group;
extern const nx_cli_group nx_cli_groups[]; /* ended by a NULL word */

/* Exit codes that scripts may rely on: those of base/err.def and the few of the command itself. */
typedef struct nx_cli_exit {
    int code;
    const char *means;
} nx_cli_exit;
extern const nx_cli_exit nx_cli_exits[]; /* ended by a NULL `means` */

enum {
    NX_CLI_OK = 0,
    NX_CLI_FAILED = 1,
    NX_CLI_USAGE = 2,
    NX_CLI_NO_NODE = 69,
};

/* ---- one invocation --------------------------------------------------------------------------------------------- */

#define NX_CLI_VALUES_MAX 128
#define NX_CLI_ARGS_MAX 4096

typedef struct nx_cli_value {
    const nx_cli_flag *flag;
    const char *text; /* NULL for a switch */
} nx_cli_value;

struct nx_cli {
    const nx_cli_command *command;
    nx_cli_value values[NX_CLI_VALUES_MAX];
    unsigned n_values;
    const char **args; /* positional */
    unsigned n_args;
    const char *program; /* as it was called: for commands that are shown to be typed */
    bool json, wants_help;
    const char *group;               /* first word of two, while the second is not known */
    bool is_json_asked;              /* --json stands somewhere: how a wrong use is told, before all flags are read */
    bool has_colour, err_has_colour; /* stdout, stderr */
    bool err_is_tty;
};

/* The text of a flag, its last one where given several times; NULL: not given. The name must be in the table (asserted). */
const char *nx_cli_flag_text(const nx_cli *c, const char *name);
bool nx_cli_flag_is_set(const nx_cli *c, const char *name);
/* A number from min to max, or `otherwise` where the flag is not given. NX_EINVAL after a message that names the flag. */
nx_err nx_cli_flag_u64(const nx_cli *c, const char *name, uint64_t min, uint64_t max, uint64_t otherwise, uint64_t *ret);
/* Calls fn for every value of a repeatable flag, in order. */
unsigned nx_cli_flag_count(const nx_cli *c, const char *name);
const char *nx_cli_flag_at(const nx_cli *c, const char *name, unsigned index);

/* args.c: fills c from argv; on a usage error prints it (to `err`) and returns NX_EINVAL. `nexus` alone and --help set wants_help;
 * c->command is NULL for the help of everything, and *ret_group names a group where only that was given. */
nx_err nx_cli_parse(int argc, char *const *argv, nx_cli *c, const char **ret_group, FILE *err);
void nx_cli_done(nx_cli *c);
/* Commands of the table by verb; words are joined by one space. */
const nx_cli_command *nx_cli_command_find(const char *verb);
int nx_cli_main(int argc, char **argv);

/* suggest.c: the nearest of NULL-terminated candidates, within a third of the word's length (at least 1, adjacent swaps count one); NULL: none. */
const char *nx_cli_suggest(const char *word, const char *const *candidates);
unsigned nx_cli_distance(const char *a, const char *b);

/* ---- documents made from the table ------------------------------------------------------------------------------ */

void nx_cli_help(const nx_cli_command *command, bool with_colour, FILE *out);
void nx_cli_help_all(bool with_colour, FILE *out);
void nx_cli_help_group(const char *word, bool with_colour, FILE *out);
void nx_cli_usage_line(const nx_cli_command *command, FILE *out); /* "nexus replay <event> [--function NAME] …" */
void nx_cli_completion_bash(FILE *out);
void nx_cli_completion_zsh(FILE *out);
void nx_cli_completion_fish(FILE *out);
void nx_cli_man(FILE *out);
void nx_cli_reference(FILE *out);
/* Every flag of a command: its own, the client's, the global ones; NULL past the end. */
const nx_cli_flag *nx_cli_each_flag(const nx_cli_command *command, unsigned index);

/* ---- terminal --------------------------------------------------------------------------------------------------- */

#define NX_CLI_BOLD "\033[1m"
#define NX_CLI_DIM "\033[2m"
#define NX_CLI_RED "\033[31m"
#define NX_CLI_GREEN "\033[32m"
#define NX_CLI_YELLOW "\033[33m"
#define NX_CLI_CYAN "\033[36m"
#define NX_CLI_PLAIN "\033[0m"

/* Colour codes, or "" where the stream has no colours. */
const char *nx_cli_paint(bool with_colour, const char *code);
/* Prints text of others: control characters (escape sequences among them) as \xNN, so that an event cannot drive the terminal. */
void nx_cli_print_safe(FILE *out, nx_slice text);
/* Likewise, keeping its lines: each has `indent` before it. */
void nx_cli_print_lines(FILE *out, const char *indent, nx_slice text);
/* Prints a word of a command line that is shown to be typed: in the shell's quotes where it needs them. */
void nx_cli_print_word(FILE *out, const char *word);
/* Prints "nexus: message" (with --json an object {"error":{"code","message"}}) on stderr; returns the exit code of `code`. */
int nx_cli_fail(const nx_cli *c, nx_err code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int nx_cli_fail_error(const nx_cli *c, const nx_error *e);
/* The object alone, on a stream of the caller's. */
void nx_cli_put_error_json(FILE *out, nx_err code, const char *text);
/* A usage error: the message, and where to read on. Returns NX_CLI_USAGE. */
int nx_cli_fail_usage(const nx_cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Words for people: to stdout, or nowhere with --json. */
void nx_cli_say(const nx_cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void nx_cli_format_bytes(uint64_t bytes, char out[16]); /* "512 B", "1.4 kB", "23 MB" */
void nx_cli_format_ms(double ms, char out[16]);         /* "0.8ms", "12ms", "3.4s" */

/* A line on the terminal (stderr, only where it is one) once work takes longer than a second; gone when it ends. */
typedef struct nx_cli_progress nx_cli_progress;
nx_cli_progress *nx_cli_progress_begin(const nx_cli *c, const char *what); /* NULL where there is no terminal or no thread */
void nx_cli_progress_end(nx_cli_progress *p);                              /* NULL allowed */

/* A table with aligned columns; the last one is as long as it is. Cells are copied and made safe for the terminal. */
#define NX_CLI_COLUMNS_MAX 12
typedef struct nx_cli_table {
    unsigned n_columns;
    const char *heads[NX_CLI_COLUMNS_MAX];
    bool is_number[NX_CLI_COLUMNS_MAX]; /* right-aligned */
    nx_buf text;                        /* cells, each ended by a NUL */
    unsigned n_cells;
    bool is_short_of_memory;
} nx_cli_table;
void nx_cli_table_init(nx_cli_table *t, unsigned n_columns, const char *const *heads); /* a head that begins with '>' is a number's */
void nx_cli_table_cell(nx_cli_table *t, nx_slice text);
void nx_cli_table_cellf(nx_cli_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void nx_cli_table_print(const nx_cli_table *t, bool with_colour, FILE *out);
void nx_cli_table_done(nx_cli_table *t);

/* ---- the node, as a client sees it ------------------------------------------------------------------------------ */

typedef struct nx_cli_client {
    const nx_cli *cli;
    nx_httpc *http;
    char url[512]; /* without a slash at the end */
} nx_cli_client;

#define NX_CLI_REPLY_BYTES (256u << 20)

/* Finds the node (--admin-url, NEXUS_ADMIN_URL, the project's node.json, the default) without talking to it; prints on failure. */
nx_err nx_cli_client_open(const nx_cli *c, nx_cli_client *ret);
void nx_cli_client_close(nx_cli_client *n);
/* The node of a project, without a client: where `nexus` looks, for doctor. from_file: "" or the node.json it stands in. */
nx_err nx_cli_node_find(const nx_cli *c, char *url, size_t url_bytes, char *from_file, size_t from_file_bytes, nx_error *reterr);
/* The node that uses this data_dir. NX_ENOENT: none is up. */
nx_err nx_cli_node_of(nx_slice data_dir, char *url, size_t url_bytes, char *from_file, size_t from_file_bytes, nx_error *reterr);

typedef struct nx_cli_request {
    const char *method, *path; /* path with query, from "/api/…" */
    const char *content_type;  /* of the body; NULL: none */
    nx_slice body;
    uint64_t timeout_ms;  /* 0: 60 s */
    const char *progress; /* what is shown when it takes long; NULL: the verb */
} nx_cli_request;
/* The whole answer. Prints and returns the exit code where there is no node or the answer is a problem; 0 with *reply set
 * (whose buffer the caller ends). */
int nx_cli_call(nx_cli_client *n, const nx_cli_request *q, nx_httpc_resp *reply);
/* The same with a client of its own, for commands that ask once. */
int nx_cli_ask(const nx_cli *c, const nx_cli_request *q, nx_httpc_resp *reply);
/* Lines of an endless answer as they come. fn returns other than 0 to stop. */
int nx_cli_follow(nx_cli_client *n, const char *path, int (*fn)(void *self, nx_slice line), void *self);
/* Prints a problem answer as an error; returns the exit code. */
int nx_cli_fail_problem(const nx_cli *c, const nx_httpc_resp *reply);
/* Next line of NDJSON text without its newline; false at the end. Empty lines are passed over. */
bool nx_cli_next_line(nx_slice *rest, nx_slice *ret_line);
/* Appends ?key=value or &key=value, percent-encoded; nothing for a NULL value. */
nx_err nx_cli_query(nx_buf *path, const char *key, const char *value);
nx_err nx_cli_path_segment(nx_buf *path, const char *text);
/* before, the segment, behind: the path. NULL: it does not fit. */
const char *nx_cli_path(nx_buf *path, const char *before, const char *segment, const char *behind);
/* An answer's JSON; prints and returns the exit code where it is none. */
int nx_cli_answer_json(const nx_cli *c, nx_slice text, nx_json **ret);
/* Reads an object but for one member, whose bytes are lent as they stand (NULL where it isn't there): the data of an event is anybody's JSON, which
 * may hold what a reader of values refuses (an integer of more than 64 bits, one key twice). */
nx_err nx_cli_json_but(nx_slice text, const char *member, nx_json **ret, nx_slice *ret_member, nx_error *reterr);
/* An answer that is one object: as it came with --json, else by print(). Ends the answer's buffer; returns the exit code. */
int nx_cli_print_one(const nx_cli *c, nx_httpc_resp *reply, void (*print)(const nx_json *item));
/* Lists: with --json prints the lines as they came; else calls row() for each parsed line and prints the table. */
int nx_cli_list(nx_cli *c, const char *path, const char *nothing, unsigned n_columns, const char *const *heads,
                void (*row)(nx_cli_table *t, const nx_json *item));

/* ---- the project ------------------------------------------------------------------------------------------------ */

#define NX_CLI_PROJECT_FILE "nexus.yaml"
#define NX_CLI_PATH_BYTES 4096

/* nexus.yaml here or in a folder above. NX_ENOENT. */
nx_err nx_cli_project_find(char *ret, size_t ret_bytes, nx_error *reterr);
/* The file that -f names, or the one found; prints on failure and returns the exit code. */
int nx_cli_project_file(const nx_cli *c, char *ret, size_t ret_bytes);
/* Makes the folder $XDG_CACHE_HOME/nexus/NAME (~/.cache/nexus/NAME); false where it can't be written. */
bool nx_cli_user_cache(const char *name, char *ret, size_t ret_bytes);
/* Loads a file (NULL: none) with the user's file, the environment and this command's flags on top (precedence: DESIGN 7). On NX_EINVAL everything
 * that is wrong is in `issues` (zeroed before; `file` is lent to it); with none there, and other errors, in reterr. */
nx_err nx_cli_config_read(const nx_cli *c, const char *file, unsigned flags, nx_config **ret, nx_config_issues *issues, nx_error *reterr);
/* The same with the issues appended to `problems` (text, one line each). */
nx_err nx_cli_config_load(const nx_cli *c, const char *file, unsigned flags, nx_config **ret, nx_buf *problems, nx_error *reterr);
/* The same, which prints the problems (with --json as JSON); returns the exit code. */
int nx_cli_config_load_or_fail(const nx_cli *c, const char *file, unsigned flags, nx_config **ret);
/* Prints what is wrong with a file: text, or with --json one object. NX_ENOMEM: it could not be made. */
nx_err nx_cli_issues_print(const nx_cli *c, const nx_config_issues *issues, FILE *out);

/* Reads a whole file; NX_ELIMIT over max. */
nx_err nx_cli_read_file(const char *path, nx_buf *ret, nx_error *reterr);
/* Writes a whole file, by rename: nobody ever finds half of it. What is no file (/dev/stdout, a pipe) is written to. `mode` as of open(). */
nx_err nx_cli_write_file(const char *path, nx_slice bytes, unsigned mode, nx_error *reterr);

/* SIGINT, SIGTERM: see dev. */
extern const char nx_cli_version[];
#endif
