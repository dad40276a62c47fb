/* give.c: a message that the log has delivered to this node, in the hands of another one: it is sent on as it is, with two headers more, and whoever has
 * it keeps it alive and acknowledges it, as if it had come from the log. It is stored nowhere: one that gets lost on its way is delivered again.
 * The server takes no reply subject of JetStream's from a client, so that of the acknowledgement stands in a header. */
#include "nats/consume.h"
#include <stdio.h>

#define ACK_HEADER "nx-given-ack"
#define SUBJECT_HEADER "nx-given-subject"
#define MORE_BYTES 128u /* what begins and ends the headers */

bool nx_fab_is_given(const nx_fab *f, nx_slice subject)
{
    return nx_slice_eq_cstr(nx_slice_sub(subject, f->reply_inbox_n, subject.n), NX_FAB_GIVEN);
}

bool nx_fab_given_read(natsMsg *nm, const char **ret_reply, const char **ret_subject)
{
    return natsMsgHeader_Get(nm, ACK_HEADER, ret_reply) == NATS_OK && natsMsgHeader_Get(nm, SUBJECT_HEADER, ret_subject) == NATS_OK;
}

static nx_err copy(const nx_fab_msg *m, const nx_id *node, natsMsg **ret)
{
    char to[64], text[NX_FAB_HDR_BYTES];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    nx_slice key, value;
    nx_fab_lines l;
    natsMsg *nm = NULL;

    for (nx_fab_lines_of(m->nm, &l); nx_fab_lines_next(&l, &key, &value);)
        nx_fab_hdr_add_line(&h, key, value);
    nx_fab_hdr_add(&h, ACK_HEADER, nx_slice_cstr(m->reply));
    nx_fab_hdr_add(&h, SUBJECT_HEADER, nx_slice_cstr(m->subject));
    if (h.is_bad || h.n + (size_t)natsMsg_GetDataLength(m->nm) + MORE_BYTES > nx_fab_max_payload(m->c->f))
        return NX_ELIMIT;
    snprintf(to, sizeof to, NX_FAB_REPLIES "%s" NX_FAB_GIVEN, node->s);
    if (natsMsg_Create(&nm, to, NULL, natsMsg_GetData(m->nm), natsMsg_GetDataLength(m->nm)) != NATS_OK)
        return NX_ENOMEM;
    nx_err e = nx_fab_hdr_set(&h, nm);
    if (e) {
        natsMsg_Destroy(nm);
        return e;
    }
    *ret = nm;
    return NX_OK;
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
