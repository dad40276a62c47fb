/* consume.h: what consume.c (pulls, deliveries, messages) and consumer.c (durable consumers) share.
 * Threads: all with f->cmu held, but release and what is said otherwise. */
#ifndef NX_FAB_CONSUME_H
#define NX_FAB_CONSUME_H
#include "fab_internal.h"

unsigned nx_fab_base_target(const nx_fab *f);
void nx_fab_pull(nx_fab *f, nx_fab_consumer *c); /* asks for more where it may and should */
void nx_fab_ungrant(nx_fab *f, nx_fab_consumer *c, unsigned n);
void nx_fab_unstarve(nx_fab *f, nx_fab_consumer *c);
void nx_fab_feed_starved(nx_fab *f);
nx_err nx_fab_consumer_enlist(nx_fab *f, nx_fab_consumer *c); /* NX_EEXIST, NX_ENOMEM, NX_EMANY */
void nx_fab_consumer_delist(nx_fab *f, nx_fab_consumer *c);
void nx_fab_consumer_unref(nx_fab_consumer *c);
void nx_fab_consumer_release(nx_fab_consumer *c); /* frees one that nobody knows */
#endif
