/* fab_test.h: a private nats-server in a directory of its own, a fabric on it, a namespace, and helpers to wait for what comes. */
#ifndef FAB_TEST_H
#define FAB_TEST_H
#include "nx/clock.h"
#include "nx/fab.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct fix {
    char dir[64];
    nx_fab_server *server;
    nx_fab *f;
    nx_fab_ns *n;
    nx_error err;
} fix;

#define ok(call)                                                                             \
    do {                                                                                     \
        nx_err ok_e_ = (call);                                                               \
        if (ok_e_) fail_msg("%s: %s: %s", #call, nx_err_name(ok_e_), fx ? fx->err.msg : ""); \
    } while (0)

void fix_dir(fix *fx);                                 /* only the directory */
void fix_on_dir(fix *fx, const nx_fab_ns_options *o);  /* fx->dir is there: server, fabric, namespace */
void fix_server(fix *fx);                              /* and a server */
void fix_fabric(fix *fx, const nx_fab_options *extra); /* and a fabric (extra may be NULL) */
void fix_open(fix *fx);                                /* and namespace "default" with room for much */
void fix_open_with(fix *fx, const nx_fab_ns_options *o);
void fix_close(fix *fx); /* ends what was begun, removes the directory */
void fix_remove_dir(const char *dir);

/* A publish that can be waited for. */
typedef struct waiter {
    nx_fab_pub pub;
    pthread_mutex_t mu;
    pthread_cond_t cv;
    unsigned n_done;
} waiter;
void waiter_init(waiter *w);
void waiter_wait(waiter *w);
nx_err waiter_publish(fix *fx, waiter *w, const nx_event *e, const char *dedupe_key); /* publishes and waits */

nx_event make_event(nx_slice type, const char *data);                         /* lent: type and data; a fresh id and trace */
uint64_t publish(fix *fx, const char *type, const char *data, nx_id *ret_id); /* returns the sequence */

/* Collects what a consumer brings. */
typedef struct inbox {
    pthread_mutex_t mu;
    pthread_cond_t cv;
    nx_fab_msg *v[4096];
    unsigned n, taken;
} inbox;
void inbox_init(inbox *b);
void inbox_on_msg(void *self, nx_fab_msg *take_msg);
nx_fab_msg *inbox_next(inbox *b, unsigned timeout_ms); /* NULL: nothing came */
void wait_until(bool (*is_so)(void *self), void *self, unsigned timeout_ms);
bool fab_is_ready(void *fx); /* for wait_until(), with a fix */
bool fab_is_not_ready(void *fx);

/* Connected anew since `lives` was taken: not ready may be over before a busy machine has looked. */
struct fab_reconnect {
    fix *fx;
    uint32_t lives;
};
uint32_t fab_lives(fix *fx);
bool fab_is_reconnected(void *reconnect); /* for wait_until() */
#endif
