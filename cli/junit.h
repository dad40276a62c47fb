/* junit.h: a report in the form that CI systems read (JUnit's XML).
 * Ownership: nx_junit collects until it is written; heap.
 * Threads:   one.
 * Errors:    a case that did not fit is remembered and told by nx_junit_write(). */
#ifndef NX_CLI_JUNIT_H
#define NX_CLI_JUNIT_H
#include "nx/buf.h"

typedef struct nx_junit nx_junit;

nx_junit *nx_junit_new(const char *suite); /* NULL: out of memory */
void nx_junit_free(nx_junit *j);           /* NULL allowed */
/* result: "passed", "failed", or "broken" (an error: it could not be run). */
void nx_junit_case(nx_junit *j, nx_slice class_name, const char *name, const char *result, nx_slice why, double ms);
nx_err nx_junit_write(nx_junit *j, const char *path, nx_error *reterr);
#endif
