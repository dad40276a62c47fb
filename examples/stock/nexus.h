/* nexus.h: what a function may do to the world outside, by the host calls of module `nexus` (ABI 1).
 * Why:       key-value stores, HTTP requests, events and secrets for C, in one file without dependencies but libc.
 * Grants:    each call needs one in nexus.yaml; without it, it gives NEXUS_DENIED and nexus_error() says which key is missing.
 * Ownership: what a call gives in `char **` or a nexus_text is malloc()ed, ends with a NUL that its length does not count, and is the caller's to free().
 * Recording: answers are recorded; a replay gets the very same ones and touches nothing (docs/EFFECTS.md). */
#ifndef NEXUS_H
#define NEXUS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
    NEXUS_OK,
    NEXUS_DENIED,      /* not granted in nexus.yaml, or a replay that denies */
    NEXUS_NOT_FOUND,   /* no such key, no such secret */
    NEXUS_CONFLICT,    /* compare-and-set: another revision is there */
    NEXUS_INVALID,     /* malformed request */
    NEXUS_LIMIT,       /* request or answer too large */
    NEXUS_TIMEOUT,     /* the other side took too long */
    NEXUS_UNAVAILABLE, /* the other side can't be reached */
    NEXUS_FAULT,
    NEXUS_NO_MEMORY = 1000 /* of the function itself */
} nexus_status;

#define NEXUS_IMPORT(name) __attribute__((import_module("nexus"), import_name(name)))
NEXUS_IMPORT("http_request")
int32_t nexus_sys_http_request(const void *message, size_t message_n);
NEXUS_IMPORT("kv_get")
int32_t nexus_sys_kv_get(const char *store, size_t store_n, const char *key, size_t key_n);
NEXUS_IMPORT("kv_put")
int32_t nexus_sys_kv_put(const char *store, size_t store_n, const char *key, size_t key_n, const void *value, size_t value_n, int64_t expected);
NEXUS_IMPORT("kv_delete")
int32_t nexus_sys_kv_delete(const char *store, size_t store_n, const char *key, size_t key_n, int64_t expected);
NEXUS_IMPORT("emit")
int32_t nexus_sys_emit(const void *message, size_t message_n);
NEXUS_IMPORT("secret_get")
int32_t nexus_sys_secret_get(const char *name, size_t name_n);
NEXUS_IMPORT("answer_size")
size_t nexus_sys_answer_size(void);
NEXUS_IMPORT("answer_read")
int32_t nexus_sys_answer_read(void *to, size_t offset, size_t n);

typedef struct nexus_text {
    char *p; /* NULL: none */
    size_t n;
} nexus_text;

/* ---- what the calls share */

/* Why the last call failed, in words; cut at 255 bytes. Valid until the next call. */
static inline char *nexus_error_text(void)
{
    static char text[256];
    return text;
}
static inline const char *nexus_error(void) { return nexus_error_text(); }

/* What the last call left to read, from `offset` on. */
static inline nexus_status nexus_take_answer(size_t offset, nexus_text *ret)
{
    size_t n = nexus_sys_answer_size();
    n = n > offset ? n - offset : 0;
    ret->p = malloc(n + 1);
    ret->n = n;
    if (!ret->p || nexus_sys_answer_read(ret->p, offset, n) != 0) {
        free(ret->p);
        *ret = (nexus_text){NULL, 0};
        (void)snprintf(nexus_error_text(), 256, "out of memory");
        return NEXUS_NO_MEMORY;
    }
    ret->p[n] = '\0';
    return NEXUS_OK;
}

static inline nexus_status nexus_status_of(int32_t status)
{
    size_t n = status ? nexus_sys_answer_size() : 0;
    if (n > 255) n = 255;
    if (n && nexus_sys_answer_read(nexus_error_text(), 0, n) != 0) n = 0;
    nexus_error_text()[n] = '\0';
    return (nexus_status)status;
}

static inline bool nexus_put(nexus_text *t, const void *p, size_t n)
{
    char *grown = realloc(t->p, t->n + n + 1);
    if (!grown) return false;
    if (n) memcpy(grown + t->n, p, n);
    t->p = grown;
    t->n += n;
    return true;
}

/* "name: value\n"; nothing where there is no value. A line break in it would begin another line: the host refuses the character that stands for it. */
static inline bool nexus_put_line(nexus_text *t, const char *name, const char *value)
{
    if (!value || !*value) return true;
    size_t at = t->n + strlen(name);
    if (!nexus_put(t, name, strlen(name)) || !nexus_put(t, value, strlen(value))) return false;
    for (; at < t->n; at++)
        if (t->p[at] == '\n') t->p[at] = '\r';
    return nexus_put(t, "\n", 1);
}

static inline nexus_status nexus_no_memory(nexus_text *t)
{
    free(t->p);
    (void)snprintf(nexus_error_text(), 256, "out of memory");
    return NEXUS_NO_MEMORY;
}

/* ---- key-value stores. store NULL: "default". */

#define NEXUS_ANY (-1)   /* expected: whatever is there */
#define NEXUS_ABSENT (0) /* expected: nothing is there */

/* ret_revision may be NULL. */
static inline nexus_status nexus_kv_get(const char *store, const char *key, nexus_text *ret_value, uint64_t *ret_revision)
{
    char head[24];
    nexus_status s = nexus_status_of(nexus_sys_kv_get(store, store ? strlen(store) : 0, key, strlen(key)));
    if (s) return s;
    size_t n = nexus_sys_answer_size() < sizeof head - 1 ? nexus_sys_answer_size() : sizeof head - 1;
    if (nexus_sys_answer_read(head, 0, n) != 0) return NEXUS_FAULT;
    head[n] = '\0';
    char *end = memchr(head, '\n', n);
    if (!end) return NEXUS_INVALID;
    if (ret_revision) *ret_revision = strtoull(head, NULL, 10);
    return nexus_take_answer((size_t)(end - head) + 1, ret_value);
}

/* expected: NEXUS_ANY, NEXUS_ABSENT, or the revision that has to be there. ret_revision may be NULL. */
static inline nexus_status nexus_kv_put(const char *store, const char *key, const void *value, size_t n, int64_t expected, uint64_t *ret_revision)
{
    nexus_text answer;
    nexus_status s = nexus_status_of(nexus_sys_kv_put(store, store ? strlen(store) : 0, key, strlen(key), value, n, expected));
    if (s || !ret_revision) return s;
    s = nexus_take_answer(0, &answer);
    if (s) return s;
    *ret_revision = strtoull(answer.p, NULL, 10);
    free(answer.p);
    return NEXUS_OK;
}

/* expected: NEXUS_ANY, or a revision. What is not there is deleted with success. */
static inline nexus_status nexus_kv_delete(const char *store, const char *key, int64_t expected)
{
    return nexus_status_of(nexus_sys_kv_delete(store, store ? strlen(store) : 0, key, strlen(key), expected));
}

/* ---- events. All but type and data may be NULL. They are published when the run has ended well, all of them or none. */
static inline nexus_status nexus_emit(const char *type, const char *subject, const char *partition_key, const char *content_type, const void *data, size_t n)
{
    nexus_text t = {NULL, 0};
    if (!nexus_put_line(&t, "", type) || !nexus_put_line(&t, "subject: ", subject) || !nexus_put_line(&t, "partitionkey: ", partition_key) ||
        !nexus_put_line(&t, "content-type: ", content_type) || !nexus_put(&t, "\n", 1) || !nexus_put(&t, data, n))
        return nexus_no_memory(&t);
    nexus_status s = nexus_status_of(nexus_sys_emit(t.p, t.n));
    free(t.p);
    return s;
}

/* ---- HTTP */

typedef struct nexus_response {
    int status;
    const char *headers; /* "name: value\n" each, names in lower case; ends with a NUL */
    const char *body;    /* ends with a NUL that body_n does not count */
    size_t body_n;
    char *memory; /* free() this, and headers and body are gone */
} nexus_response;

/* headers: "name: value\n" each, or NULL. Any status is NEXUS_OK. */
static inline nexus_status nexus_http(const char *method, const char *url, const char *headers, const void *body, size_t n, nexus_response *ret)
{
    nexus_text t = {NULL, 0};
    if (!nexus_put(&t, method, strlen(method)) || !nexus_put(&t, " ", 1) || !nexus_put(&t, url, strlen(url)) || !nexus_put(&t, "\n", 1) ||
        !nexus_put(&t, headers, headers ? strlen(headers) : 0) || !nexus_put(&t, "\n", 1) || !nexus_put(&t, body, n))
        return nexus_no_memory(&t);
    nexus_status s = nexus_status_of(nexus_sys_http_request(t.p, t.n));
    free(t.p);
    if (s) return s;
    s = nexus_take_answer(0, &t);
    if (s) return s;
    char *line = memchr(t.p, '\n', t.n), *end = line;
    while (end && end[1] != '\n') end = strchr(end + 1, '\n'); /* the empty line */
    if (!end) {
        free(t.p);
        return NEXUS_INVALID;
    }
    end[1] = '\0';
    *ret = (nexus_response){.status = atoi(t.p), .headers = line + 1, .body = end + 2, .body_n = t.n - (size_t)(end + 2 - t.p), .memory = t.p};
    return NEXUS_OK;
}

/* ---- secrets */

static inline nexus_status nexus_secret(const char *name, nexus_text *ret_value)
{
    nexus_status s = nexus_status_of(nexus_sys_secret_get(name, strlen(name)));
    return s ? s : nexus_take_answer(0, ret_value);
}
#endif
