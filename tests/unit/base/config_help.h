/* config_help.h: parsing a text and looking at what is wrong with it, for the tests of nexus.yaml. */
#ifndef NX_TEST_CONFIG_HELP_H
#define NX_TEST_CONFIG_HELP_H
#include "nx/config.h"

/* One function that needs nothing: a base for files whose interesting part stands above it. */
#define ONE_FUNCTION "functions:\n  - {name: f, on: {event: a}, code: f.wasm}\n"

typedef struct parsed {
    nx_err err;
    nx_config *config;
    nx_config_issues issues;
    nx_error error;
} parsed;

parsed parse_flags(nx_slice text, unsigned flags);
parsed parse(const char *text);
/* Fails the test with the issues' text where there are any. */
parsed parse_good(const char *text, unsigned flags);
void parsed_done(parsed *p);
/* The issue at line:column, or a failed test that shows all there are. */
const nx_config_issue *issue_at(const parsed *p, unsigned line, unsigned column, const char *path);
void print_issues(const nx_config_issues *i);
#endif
