/* pub_wait.h: a publication that is waited for.
 * Ownership: caller's storage, from begin to end.
 * Threads:   not on a fabric thread.
 * Errors:    what the publication came to. */
#ifndef NX_REPLAY_PUB_WAIT_H
#define NX_REPLAY_PUB_WAIT_H
#include "nx/fab.h"
#include <pthread.h>

typedef struct nx_pub_wait {
    nx_fab_pub pub; /* to be handed to nx_fab_publish_…() */
    pthread_mutex_t mu;
    pthread_cond_t cv;
    bool is_done;
} nx_pub_wait;

void nx_pub_wait_begin(nx_pub_wait *w);
/* `published` is what the publishing call returned. BLOCKING, bounded: the fabric ends every publication. */
nx_err nx_pub_wait_end(nx_pub_wait *w, nx_err published);
#endif
