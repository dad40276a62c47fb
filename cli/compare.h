/* compare.h: what the commands that compare codes share: naming code, and printing differences.
 * Threads: nx-main. */
#ifndef NX_CLI_COMPARE_H
#define NX_CLI_COMPARE_H
#include "cli.h"

#define NX_CLI_EXIT_DIFFERENT 1
#define NX_CLI_EXIT_NOT_COMPARED 3
#define NX_CLI_EXIT_DIVERGED 10
#define NX_CLI_EXIT_ARTIFACT_GONE 11
#define NX_CLI_CODE_BYTES 72
/* A .wasm file as an artifact: with the files of the project's function whose `code` it is. */
nx_err nx_cli_code_read(const nx_cli *c, const char *path, nx_buf *out, nx_error *reterr);
/* The name of code for the node: a version (v3, live), "recorded", a digest, or a .wasm file, which is uploaded and named by its digest.
 * `what` begins messages: "flag --against". Prints and returns the exit code on failure. */
int nx_cli_code_name(nx_cli_client *node, const char *what, const char *text, char ret[NX_CLI_CODE_BYTES]);
/* Code as people are told of it: a digest is shortened. */
void nx_cli_print_code(nx_slice name);

/* diff_text.c: a difference ("diff" of a replay or a comparison) for people, indented by two spaces. */
void nx_cli_print_diff(const nx_cli *c, const nx_json *diff);
void nx_cli_print_diff_parts(const nx_cli *c, const nx_json *diff, const char *indent); /* without what it costs */
void nx_cli_print_first_call(const nx_cli *c, const nx_json *diff);                     /* nothing where there is none */
/* Frames and likely cause of a replay's first_difference. */
void nx_cli_print_where(const nx_cli *c, const nx_json *first_difference);
/* The shape in one line: "output.total changed; status ok -> error: trap"; cut with "…" at out_bytes. */
void nx_cli_diff_summary(const nx_json *diff, char *out, size_t out_bytes);

/* "settings" of a comparison of versions; nothing where there is none. */
void nx_cli_print_settings(const nx_cli *c, const nx_json *changes);

/* range_text.c: the "diff" of a job's summary: kinds of differences with their counts and examples, fuel and memory. */
void nx_cli_print_groups(const nx_cli *c, const nx_json *diff);
int nx_cli_range_junit(const nx_cli *c, const nx_json *diff, const char *path);
#endif
