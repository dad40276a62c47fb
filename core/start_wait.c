/* start_wait.c: a node that is not ready yet: it says what it is busy with, and waits for a cluster that can't serve it yet.
 * While servers are started, or one has just died, some streams and consumers have a leader and others not; most have one within 10 s, but one that waits
 * for a second copy has none until a server is back. An exit would only hand the waiting to whoever starts nodes, with a back-off and without a word of
 * what is missing. A single server that does not answer is another matter: there a wrong address is likelier than an election, so the start fails. */
#include "core_internal.h"
#include <stdio.h>
#include <time.h>

#define PAUSE_NS (200 * NX_NS_PER_MS)
#define QUIET_NS (5 * NX_NS_PER_S)  /* an election of the usual length is no news */
#define AGAIN_NS (30 * NX_NS_PER_S) /* between two lines */

void nx_core_start_state(nx_node *n, const char *text)
{
    pthread_mutex_lock(&n->tick_mu);
    snprintf(n->start_state, sizeof n->start_state, "%s", text);
    pthread_mutex_unlock(&n->tick_mu);
}

void nx_core_start_tick(nx_node *n, uint64_t now_ns)
{
    char text[sizeof n->start_state];
    if (now_ns < n->start_said_ns + (n->start_said_ns == n->started_ns ? QUIET_NS : AGAIN_NS))
        return;
    n->start_said_ns = now_ns;
    pthread_mutex_lock(&n->tick_mu);
    memcpy(text, n->start_state, sizeof text);
    pthread_mutex_unlock(&n->tick_mu);
    nx_log(NX_LOG_WARN, "node.waiting", "not ready for %.0f s: %s", (double)(now_ns - n->started_ns) / 1e9, text);
}

static bool may_pass(const nx_node *n, nx_err err)
{
    char url[2048];
    return err == NX_EUNAVAIL && nx_slice_to_cstr(n->cfg->nats_url, url, sizeof url) == NX_OK && nx_fab_has_servers(url);
}

bool nx_core_waits(nx_node *n, nx_err err, const nx_error *why)
{
    char text[sizeof n->start_state];
    if (!may_pass(n, err) || (n->opt.is_ended && atomic_load(n->opt.is_ended)))
        return false;
    snprintf(text, sizeof text, "waiting for the NATS servers: %.400s", why->msg);
    nx_core_start_state(n, text);
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    return true;
}
