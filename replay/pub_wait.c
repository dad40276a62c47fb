/* pub_wait.c: waiting for a publication. */
#include "pub_wait.h"

static void on_done(nx_fab_pub *pub)
{
    nx_pub_wait *w = pub->owner;
    pthread_mutex_lock(&w->mu);
    w->is_done = true;
    pthread_cond_signal(&w->cv);
    pthread_mutex_unlock(&w->mu);
}

void nx_pub_wait_begin(nx_pub_wait *w)
{
    *w = (nx_pub_wait){.pub = {.done = on_done, .owner = w}};
    pthread_mutex_init(&w->mu, NULL);
    pthread_cond_init(&w->cv, NULL);
}

nx_err nx_pub_wait_end(nx_pub_wait *w, nx_err published)
{
    nx_err err = published;
    if (err == NX_OK) {
        pthread_mutex_lock(&w->mu);
        while (!w->is_done)
            pthread_cond_wait(&w->cv, &w->mu);
        pthread_mutex_unlock(&w->mu);
        err = w->pub.err;
    }
    pthread_cond_destroy(&w->cv);
    pthread_mutex_destroy(&w->mu);
    return err;
}
