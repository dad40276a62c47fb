/* give.c: a message that the log has delivered to this node, in the hands of another one: it is sent on as it is, with two headers more, and whoever has
 * it keeps it alive and acknowledges it, as if it had come from the log. It is stored nowhere: one that gets lost on its way is delivered again.
 * The server takes no reply subject of JetStream's from a client, so that of the acknowledgement stands in a header. */
#include "nats/consume.h"
#include <stdio.h>
#include <stdlib.h>

#define ACK_HEADER "nx-given-ack"
#define SUBJECT_HEADER "nx-given-subject"
#define MORE_BYTES 128u /* of the two headers, beside their values */

bool nx_fab_is_given(const nx_fab *f, nx_slice subject)
{
    return nx_slice_eq_cstr(nx_slice_sub(subject, f->reply_inbox_n, subject.n), NX_FAB_GIVEN);
}

bool nx_fab_given_read(natsMsg *nm, const char **ret_reply, const char **ret_subject)
{
    return natsMsgHeader_Get(nm, ACK_HEADER, ret_reply) == NATS_OK && natsMsgHeader_Get(nm, SUBJECT_HEADER, ret_subject) == NATS_OK;
}

/* An empty value is left out: nats.c would read the next line as its value. */
static natsStatus copy_header(natsMsg *from, natsMsg *to, const char *key, size_t *bytes)
{
    const char **values = NULL;
    int n = 0;
    natsStatus s = natsMsgHeader_Values(from, key, &values, &n);

    for (int i = 0; s == NATS_OK && i < n; i++) {
        if (values[i][0])
            s = natsMsgHeader_Add(to, key, values[i]);
        *bytes += strlen(key) + strlen(values[i]) + 4;
    }
    free(values);
    return s;
}

static natsStatus copy_headers(natsMsg *from, natsMsg *to, size_t *bytes)
{
    const char **keys = NULL;
    int n = 0;
    natsStatus s = natsMsgHeader_Keys(from, &keys, &n);

    if (s == NATS_NOT_FOUND)
        return NATS_OK;
    for (int i = 0; s == NATS_OK && i < n; i++)
        s = copy_header(from, to, keys[i], bytes);
    free(keys);
    return s;
}

static nx_err copy(const nx_fab_msg *m, const nx_id *node, natsMsg **ret)
{
    char to[64];
    size_t bytes = (size_t)natsMsg_GetDataLength(m->nm) + strlen(m->reply) + strlen(m->subject) + MORE_BYTES;
    natsMsg *nm = NULL;

    snprintf(to, sizeof to, NX_FAB_REPLIES "%s" NX_FAB_GIVEN, node->s);
    natsStatus s = natsMsg_Create(&nm, to, NULL, natsMsg_GetData(m->nm), natsMsg_GetDataLength(m->nm));
    if (s == NATS_OK)
        s = copy_headers(m->nm, nm, &bytes);
    if (s == NATS_OK)
        s = natsMsgHeader_Set(nm, ACK_HEADER, m->reply);
    if (s == NATS_OK)
        s = natsMsgHeader_Set(nm, SUBJECT_HEADER, m->subject);
    if (s == NATS_OK && bytes <= nx_fab_max_payload(m->c->f)) {
        *ret = nm;
        return NX_OK;
    }
    natsMsg_Destroy(nm);
    return s == NATS_OK ? NX_ELIMIT : NX_ENOMEM;
}

nx_err nx_fab_msg_give(nx_fab_msg *m, const nx_id *node)
{
    natsMsg *nm = NULL;
    nx_err e = copy(m, node, &nm);

    if (e)
        return e;
    e = nx_fab_send(m->c->f, nm);
    if (!e)
        nx_fab_msg_drop(m);
    return e;
}

bool nx_fab_msg_is_given(const nx_fab_msg *m)
{
    return m->is_given;
}
