/* thread.c: starting threads, and the names of the namespaces that they work for. */
#include "nx/thread.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static pthread_mutex_t names_mu = PTHREAD_MUTEX_INITIALIZER;
static char *names[NX_THREAD_NAMES_MAX]; /* the first n_names; added under names_mu */
static atomic_uint n_names;
static __thread const char *of_this_thread;

const char *nx_thread_ns_name(nx_slice ns)
{
    const char *found = NULL;
    (void)pthread_mutex_lock(&names_mu);
    unsigned n = atomic_load_explicit(&n_names, memory_order_relaxed);
    for (unsigned i = 0; i < n && !found; i++) {
        if (nx_slice_eq_cstr(ns, names[i])) found = names[i];
    }
    if (!found && n < NX_THREAD_NAMES_MAX && (names[n] = strndup(ns.p, ns.n)) != NULL) {
        found = names[n];
        atomic_store_explicit(&n_names, n + 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&names_mu);
    return found;
}

bool nx_thread_has_names(void) { return atomic_load_explicit(&n_names, memory_order_relaxed) != 0; }

const char *nx_thread_ns_set(const char *name)
{
    const char *before = of_this_thread;
    of_this_thread = name;
    return before;
}

const char *nx_thread_ns(void) { return of_this_thread; }

typedef struct start {
    void *(*run)(void *self);
    void *self;
    const char *ns;
} start;

static void *start_main(void *take_start)
{
    start s = *(start *)take_start;
    free(take_start);
    of_this_thread = s.ns;
    return s.run(s.self);
}

int nx_thread_start(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *self), void *self)
{
    start *s = malloc(sizeof *s);
    if (!s) return ENOMEM;
    *s = (start){run, self, of_this_thread};
    int rc = pthread_create(ret, attr, start_main, s);
    if (rc != 0) free(s);
    return rc;
}
