/* fake_node.h: an in-memory nx_ingest_ops for tests: a node without a log. Types steer what happens:
 *   many            two subscribers; none.*: no subscriber; everything else: one
 *   err.busy        publish() fails with NX_EBUSY;  err.types: with NX_EMANY;  err.full, err.lost: done() with NX_EFULL, NX_ETIMEOUT
 *   hang            done() only by fake_node_finish(), until then it can be abandoned
 *   late            a wait ends as is_late;  fail: a waiting caller gets a 502 problem;  big: 4 MiB of output
 * Own routes: POST /hello (function hello, sync), PUT /job (function job, async), GET /hello/world (function get, sync). */
#ifndef FAKE_NODE_H
#define FAKE_NODE_H
#include <pthread.h>
#include <stdatomic.h>

#include "nx/ingest.h"

#define FAKE_EVENTS_MAX 4096

typedef struct fake_event {
    nx_event event; /* copies, in the node's arena */
    nx_slice key;
    bool wants_wait;
    uint32_t wait_ms;
    nx_slice wait_function;
} fake_event;

typedef struct fake_node {
    nx_ingest_ops ops;
    pthread_mutex_t mu;
    pthread_cond_t changed;
    pthread_t thread;
    nx_arena arena;
    fake_event events[FAKE_EVENTS_MAX];
    unsigned n_events, n_hanging, n_abandoned;
    nx_ingest *hanging[64];
    nx_mailbox box;
    _Atomic bool is_ready;
    _Atomic int n_answers_out; /* answers not yet released */
    bool is_stopping, has_work;
} fake_node;

void fake_node_init(fake_node *f);
void fake_node_done(fake_node *f);
/* Lets everything that hangs end well. */
void fake_node_finish(fake_node *f);
/* Waits (5 s at most) until that many events hang, or were abandoned. */
bool fake_node_wait_hanging(fake_node *f, unsigned n);
bool fake_node_wait_abandoned(fake_node *f, unsigned n);
unsigned fake_node_count(fake_node *f);
/* The last event that was stored. */
fake_event fake_node_last(fake_node *f);
#endif
