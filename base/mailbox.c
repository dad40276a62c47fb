/* mailbox.c: bounded queue of intrusive nodes. The lock is held for a few instructions only; wake-ups happen outside of it. */
#include "nx/mailbox.h"

void nx_mailbox_init(nx_mailbox *m, unsigned max, void (*wake)(void *), void *wake_self)
{
    (void)pthread_mutex_init(&m->mu, NULL); /* cannot fail for a default mutex */
    m->head = NULL;
    m->tail = &m->head;
    m->count = 0;
    m->max = max;
    m->is_closed = false;
    m->wake = wake;
    m->wake_self = wake_self;
}

void nx_mailbox_done(nx_mailbox *m) { (void)pthread_mutex_destroy(&m->mu); }

nx_err nx_mailbox_post(nx_mailbox *m, nx_mail *node)
{
    node->next = NULL;
    (void)pthread_mutex_lock(&m->mu);
    nx_err err = m->is_closed ? NX_ECLOSED : m->count >= m->max ? NX_EBUSY
                                                                : NX_OK;
    bool was_empty = m->count == 0;
    if (!err) {
        *m->tail = node;
        m->tail = &node->next;
        m->count++;
    }
    (void)pthread_mutex_unlock(&m->mu);
    if (!err && was_empty && m->wake) m->wake(m->wake_self);
    return err;
}

nx_mail *nx_mailbox_drain(nx_mailbox *m)
{
    (void)pthread_mutex_lock(&m->mu);
    nx_mail *all = m->head;
    m->head = NULL;
    m->tail = &m->head;
    m->count = 0;
    (void)pthread_mutex_unlock(&m->mu);
    return all;
}

void nx_mailbox_close(nx_mailbox *m)
{
    (void)pthread_mutex_lock(&m->mu);
    m->is_closed = true;
    (void)pthread_mutex_unlock(&m->mu);
}

unsigned nx_mailbox_count(nx_mailbox *m)
{
    (void)pthread_mutex_lock(&m->mu);
    unsigned n = m->count;
    (void)pthread_mutex_unlock(&m->mu);
    return n;
}
