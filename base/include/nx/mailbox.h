/* nx/mailbox.h: the door between thread roles: a bounded queue of intrusive nodes, many producers, one consumer.
 * Why:       completions must come in batches, with one wake-up for many (DESIGN 7).
 * Ownership: the poster hands the node over; it is the consumer's after nx_mailbox_drain().
 * Threads:   post from any thread; drain from the one owner.
 * Errors:    NX_EBUSY when `max` nodes wait, NX_ECLOSED after close; the node stays the poster's then. */
#ifndef NX_MAILBOX_H
#define NX_MAILBOX_H
#include "nx/err.h"
#include <pthread.h>

typedef struct nx_mail {
    struct nx_mail *next;
} nx_mail;

typedef struct nx_mailbox {
    pthread_mutex_t mu;
    nx_mail *head, **tail;
    unsigned count, max;
    bool is_closed;
    void (*wake)(void *self); /* called, without the lock, when the box was empty before the post; e.g. uv_async_send */
    void *wake_self;
} nx_mailbox;

void nx_mailbox_init(nx_mailbox *m, unsigned max, void (*wake)(void *), void *wake_self);
void nx_mailbox_done(nx_mailbox *m);
nx_err nx_mailbox_post(nx_mailbox *m, nx_mail *node);
nx_mail *nx_mailbox_drain(nx_mailbox *m); /* all of them, oldest first; NULL when empty; never blocks */
void nx_mailbox_close(nx_mailbox *m);
unsigned nx_mailbox_count(nx_mailbox *m);
#endif
