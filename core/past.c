/* past.c: see past.h. */
#include "past.h"
#include "fn.h"
#include "lanes_internal.h"
#include "nx/fab_range.h"
#include <stdio.h>

#define KEY_PREFIX "past."
#define KEY_MAX (sizeof KEY_PREFIX + NX_FUNCTION_NAME_BYTES)

/* ---- the stored form --------------------------------------------------------------------------------------------------------------------------- */

static nx_err read_past(nx_node *n, const char *function, nx_core_past *ret, uint64_t *ret_revision, nx_error *reterr)
{
    char key[KEY_MAX];
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 10);
    nx_slice text;
    nx_json *j = NULL;
    *ret = (nx_core_past){.effects = NX_EFFECTS_LIVE};
    snprintf(key, sizeof key, KEY_PREFIX "%s", function);
    nx_err err = nx_fab_kv_get(n->ns, key, &a, &text, ret_revision, reterr);
    if (err == NX_OK)
        err = nx_json_parse(text, 64u << 10, &j, reterr);
    if (err != NX_OK)
        return err;
    *ret = (nx_core_past){
        .from_seq = nx_json_get_u64(j, "from", 0),
        .to_seq = nx_json_get_u64(j, "to", 0),
        .rate = (unsigned)nx_json_get_u64(j, "rate", 0),
        .is_over = nx_json_get_bool(j, "is_over", false),
    };
    if (nx_clock_parse_rfc3339(nx_json_get_str(j, "since"), &ret->since_wall_ns) != NX_OK || nx_effects_policy_parse(nx_json_get_str(j, "effects"), &ret->effects) != NX_OK)
        err = nx_error_set(reterr, NX_ECORRUPT, "registry key %s is damaged; delete it, and the function begins with new events", key);
    nx_json_free(j);
    return err;
}

static nx_err write_past(nx_node *n, const char *function, const nx_core_past *p, uint64_t revision, nx_error *reterr)
{
    char key[KEY_MAX], since[NX_RFC3339_MAX];
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(4096);
    nx_jw w = NX_JW_INIT(&text);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "since", nx_slice_make(since, nx_clock_rfc3339(p->since_wall_ns, 9, since)));
    nx_jw_ku64(&w, "from", p->from_seq);
    nx_jw_ku64(&w, "to", p->to_seq);
    nx_jw_ku64(&w, "rate", p->rate);
    nx_jw_kcstr(&w, "effects", nx_effects_policy_name(p->effects));
    nx_jw_kbool(&w, "is_over", p->is_over);
    nx_jw_object_end(&w);
    snprintf(key, sizeof key, KEY_PREFIX "%s", function);
    nx_err err = nx_jw_err(&w);
    return err == NX_OK ? nx_fab_kv_put(n->ns, key, nx_buf_view(&text), revision, NULL, reterr) : err;
}

nx_err nx_core_past_get(nx_node *n, const char *function, nx_core_past *ret, nx_error *reterr)
{
    nx_err err = read_past(n, function, ret, NULL, reterr);
    return err == NX_ENOENT ? NX_OK : err;
}

/* ---- asking for it ------------------------------------------------------------------------------------------------------------------------------- */

/* NX_ENOENT: the function has no consumer of events, so it never had an event. */
static nx_err find_consumer(nx_node *n, const char *function, nx_error *reterr)
{
    char durable[NX_FUNCTION_NAME_BYTES + 16];
    nx_fab_consumer_info info;
    nx_core_lane_durable(function, 0, durable);
    nx_err err = nx_fab_consumer_info_get(n->ns, durable, &info, reterr);
    if (err != NX_ENOENT)
        return err;
    snprintf(durable, sizeof durable, "fn-%s", function);
    return nx_fab_consumer_info_get(n->ns, durable, &info, reterr);
}

nx_err nx_core_past_ask(nx_node *n, const char *function, uint64_t since_wall_ns, unsigned rate, nx_effects_policy effects, nx_error *reterr)
{
    nx_core_past before, p = {.since_wall_ns = since_wall_ns, .rate = rate, .effects = effects};
    uint64_t revision = 0;
    nx_err err = find_consumer(n, function, reterr);
    if (err == NX_OK)
        return nx_error_set(reterr, NX_ECONFLICT, "'%s' has `ordering: key` and gets events already: older ones behind them would break the order of a key (only a function that is new "
                                                  "takes the past; give it another name)",
                            function);
    if (err != NX_ENOENT)
        return err;
    err = read_past(n, function, &before, &revision, reterr);
    if (err == NX_OK || err == NX_ENOENT)
        err = nx_fab_range_bounds(n->ns, true, since_wall_ns, 0, &p.from_seq, &p.to_seq, reterr);
    if (err != NX_OK)
        return err;
    if (p.from_seq > p.to_seq) /* nothing is stored since then: it begins with what comes next */
        p.from_seq = p.to_seq + 1;
    return write_past(n, function, &p, revision, reterr);
}

nx_err nx_core_past_of_settings(nx_node *n, const nx_core_fn *fn, nx_core_past *ret, nx_error *reterr)
{
    uint64_t since;
    nx_slice from = fn->settings->from;
    nx_err err = read_past(n, fn->name, ret, NULL, reterr);
    if (err != NX_ENOENT)
        return err;
    err = from.n ? nx_clock_parse_when("from", from, nx_clock_wall_ns(), &since, reterr) : NX_ENOENT;
    if (err == NX_OK)
        err = nx_core_past_ask(n, fn->name, since, fn->settings->from_rate, NX_EFFECTS_LIVE, reterr);
    if (err == NX_OK || err == NX_EEXIST || err == NX_ECONFLICT) /* another node was first, or it is not new */
        err = nx_core_past_get(n, fn->name, ret, reterr);
    return err == NX_ENOENT ? NX_OK : err;
}

/* ---- its end --------------------------------------------------------------------------------------------------------------------------------------- */

static void end_in_lanes(nx_core_slot *s)
{
    nx_core_lane *v[NX_CORE_LANES];
    unsigned count = nx_core_lanes_of(s, v);
    for (unsigned i = 0; i < count; i++) {
        nx_core_lane_end_past(v[i]);
        nx_core_lane_unref(v[i]);
    }
}

nx_err nx_core_past_end(nx_node *n, const char *function, nx_error *reterr)
{
    nx_core_past p;
    uint64_t revision;
    nx_err err = read_past(n, function, &p, &revision, reterr);
    if (err != NX_OK)
        return err == NX_ENOENT ? NX_OK : err;
    if (p.is_over)
        return NX_OK;
    p.is_over = true;
    err = write_past(n, function, &p, revision, reterr);
    pthread_rwlock_rdlock(&n->snap_mu);
    nx_core_slot *s = err == NX_OK ? nx_core_slot_find(n, function) : NULL;
    if (s)
        end_in_lanes(s);
    pthread_rwlock_unlock(&n->snap_mu);
    return err;
}

static bool has_past(nx_core_slot *s)
{
    nx_core_lane *v[NX_CORE_LANES];
    unsigned count = nx_core_lanes_of(s, v);
    bool is_so = count > 0;
    for (unsigned i = 0; i < count; i++) {
        pthread_mutex_lock(&v[i]->mu);
        is_so &= v[i]->past.to_seq && !v[i]->past.is_over;
        pthread_mutex_unlock(&v[i]->mu);
        nx_core_lane_unref(v[i]);
    }
    return is_so;
}

void nx_core_past_look(nx_core_slot *s)
{
    nx_core_past p;
    if (has_past(s) && nx_core_past_get(s->node, s->name, &p, NULL) == NX_OK && p.is_over)
        end_in_lanes(s);
}
