/* nx/thread.h: threads, and the namespace that one works for.
 * Why:       where a process serves several namespaces, a line of its log says which one it is of, whatever the depth of the code that writes it.
 *            A node's threads are all started by threads of the same node, so they inherit it; those of no node (the runtime's workers) are told.
 * Ownership: names last as long as the process.
 * Threads:   any.
 * Errors:    without a name lines say no namespace. */
#ifndef NX_THREAD_H
#define NX_THREAD_H
#include "nx/slice.h"
#include <pthread.h>

#define NX_THREAD_NAMES_MAX 64

/* This process serves several namespaces, and this is one of them: its name for nx_thread_ns_set(), the same one each time. NULL: there are
 * NX_THREAD_NAMES_MAX others. From the first one on the text form of log lines says namespaces. */
const char *nx_thread_ns_name(nx_slice ns);
bool nx_thread_has_names(void); /* there was a first one */
/* The calling thread, and those that it starts by nx_thread_start(), work for it from now on; NULL: for none. Returns what it was. */
const char *nx_thread_ns_set(const char *name);
const char *nx_thread_ns(void);
/* pthread_create(3), with the namespace of the caller. */
int nx_thread_start(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *self), void *self);
#endif
