/* alias.c: see alias.h. */
#include "alias.h"
#include "fn.h"
#include "version.h"
#include <stdio.h>

#define RECORD_BYTES (32u << 10)
#define TRIES 16

/* ---- names and keys ---------------------------------------------------------------------------------------------------------------------------- */

static bool is_digits(nx_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

bool nx_core_is_version_name(nx_slice name)
{
    return nx_slice_starts(name, NX_SLICE("dev-")) || (nx_slice_starts(name, NX_SLICE("v")) && is_digits(nx_slice_sub(name, 1, name.n)));
}

nx_err nx_core_alias_check(nx_slice name, nx_error *reterr)
{
    bool is_name = name.n > 0 && name.n < NX_CORE_ALIAS_BYTES && name.p[0] >= 'a' && name.p[0] <= 'z';
    for (size_t i = 0; is_name && i < name.n; i++)
        is_name = (name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= '0' && name.p[i] <= '9') || name.p[i] == '-';
    if (!is_name)
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is no name of an alias: a lower-case letter, then letters, digits and -, at most %d", NX_SLICE_FMT(name),
                            NX_CORE_ALIAS_BYTES - 1);
    if (nx_core_is_version_name(name) || nx_slice_eq_cstr(name, "recorded"))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" means something else already: an alias needs another name", NX_SLICE_FMT(name));
    return NX_OK;
}

static void key_of(const char *function, const char *alias, char out[NX_CORE_FN_KEY_BYTES])
{
    bool is_live = strcmp(alias, NX_CORE_LIVE) == 0;
    snprintf(out, NX_CORE_FN_KEY_BYTES, is_live ? "fn.%s.%s" : "fn.%s.alias.%s", function, alias);
}

bool nx_core_alias_key_parse(nx_slice key, nx_slice *ret_function, nx_slice *ret_alias)
{
    nx_slice rest;
    if (!nx_slice_starts(key, NX_SLICE("fn.")))
        return false;
    *ret_function = nx_slice_split(nx_slice_sub(key, 3, key.n), '.', &rest);
    if (nx_slice_starts(rest, NX_SLICE("alias.")))
        *ret_alias = nx_slice_sub(rest, 6, rest.n);
    else if (nx_slice_eq_cstr(rest, NX_CORE_LIVE))
        *ret_alias = rest;
    else
        return false;
    return ret_alias->n > 0;
}

/* ---- the record --------------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_core_alias_parse(nx_slice value, nx_core_alias *ret)
{
    nx_json *j = NULL;
    char version[NX_CORE_VERSION_BYTES];
    *ret = (nx_core_alias){.n_before = 0};
    if (nx_core_is_version_name(value) && nx_slice_to_cstr(value, version, sizeof version) == NX_OK) {
        nx_core_split_all(&ret->split, version);
        return NX_OK;
    }
    nx_err err = nx_json_parse(value, RECORD_BYTES, &j, NULL);
    if (err == NX_OK)
        err = nx_core_split_from_json(nx_json_get(j, "traffic"), NULL, &ret->split, NULL);
    if (err == NX_OK)
        snprintf(ret->changed_at, sizeof ret->changed_at, "%.*s", NX_SLICE_FMT(nx_json_get_str(j, "changed_at")));
    const nx_json *before = nx_json_get(j, "before");
    for (size_t i = 0; err == NX_OK && i < nx_json_len(before) && ret->n_before < NX_CORE_BEFORE_MAX; i++)
        err = nx_core_split_from_json(nx_json_at(before, i), NULL, &ret->before[ret->n_before++], NULL);
    nx_json_free(j);
    return err == NX_OK ? NX_OK : NX_ECORRUPT;
}

static void write_members(const nx_core_alias *a, nx_jw *w)
{
    nx_jw_key(w, "traffic");
    nx_core_split_to_json(&a->split, w);
    nx_jw_kcstr(w, "changed_at", a->changed_at);
    nx_jw_key(w, "before");
    nx_jw_array(w);
    for (unsigned i = 0; i < a->n_before; i++)
        nx_core_split_to_json(&a->before[i], w);
    nx_jw_array_end(w);
}

void nx_core_alias_to_json(nx_node *n, const char *function, const char *alias, const nx_core_alias *a, nx_jw *w)
{
    nx_jw_object(w);
    nx_jw_kstr(w, "namespace", nx_fab_ns_name(n->ns));
    nx_jw_kcstr(w, "function", function);
    nx_jw_kcstr(w, "alias", alias);
    write_members(a, w);
    nx_jw_object_end(w);
}

nx_err nx_core_alias_get(nx_node *n, const char *function, const char *alias, nx_core_alias *ret, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    char key[NX_CORE_FN_KEY_BYTES];
    nx_slice value;
    uint64_t revision;
    nx_err err = nx_core_alias_check(nx_slice_cstr(alias), reterr);
    if (err != NX_OK)
        return err;
    key_of(function, alias, key);
    err = nx_fab_kv_get(n->ns, key, &a, &value, &revision, reterr);
    if (err == NX_ENOENT)
        return strcmp(alias, NX_CORE_LIVE) == 0 ? nx_error_set(reterr, err, "there is no function '%s' that is live", function)
                                                : nx_error_set(reterr, err, "function '%s' has no version or alias '%s'", function, alias);
    if (err == NX_OK && nx_core_alias_parse(value, ret) != NX_OK)
        err = nx_error_set(reterr, NX_ECORRUPT, "the alias '%s' of '%s' is damaged", alias, function);
    if (err == NX_OK)
        ret->revision = revision;
    return err;
}

static nx_err put(nx_node *n, const char *function, const char *alias, const nx_core_alias *a, uint64_t *ret_revision, nx_error *reterr)
{
    char key[NX_CORE_FN_KEY_BYTES];
    NX_CLEANUP(nx_buf_done)
    nx_buf json = NX_BUF_INIT(RECORD_BYTES);
    nx_jw w = NX_JW_INIT(&json);
    key_of(function, alias, key);
    nx_jw_object(&w);
    write_members(a, &w);
    nx_jw_object_end(&w);
    nx_err err = nx_jw_err(&w);
    return err == NX_OK ? nx_fab_kv_put(n->ns, key, nx_buf_view(&json), a->revision, ret_revision, reterr) : err;
}

/* ---- what can be set ------------------------------------------------------------------------------------------------------------------------------ */

/* What decides which events come to a function, and how: one consumer brings them for all versions that share, batches among them, and one gate lets them in. */
static nx_err triggers_of(const nx_fn_config *f, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_fn_config_triggers_to_json(f, &w);
    nx_err err = nx_jw_err(&w);
    if (err != NX_OK)
        return err;
    return nx_buf_printf(out, "%d %d %d %u %.*s %.*s %.*s", (int)f->respond, (int)f->ordering, f->batch_max > 0, f->concurrency, NX_SLICE_FMT(f->concurrency_key),
                         NX_SLICE_FMT(f->singleton), NX_SLICE_FMT(f->singleton_key));
}

/* The version is there and can run here; appends its triggers. */
static nx_err check_version(nx_node *n, const char *function, const char *version, nx_buf *triggers, nx_error *reterr)
{
    nx_core_stored v;
    nx_rt_program *program = NULL;
    nx_err err = nx_core_stored_get(n, function, version, &v, reterr);
    if (err != NX_OK)
        return err;
    err = nx_core_program_get(n, &v.artifact, v.settings->memory_bytes, &program, reterr);
    if (err == NX_OK)
        err = triggers_of(v.settings, triggers);
    else
        nx_error_prefix(reterr, "%s", version);
    nx_rt_program_unref(program);
    nx_core_stored_done(&v);
    return err;
}

static nx_err check_split(nx_node *n, const char *function, const nx_core_split *s, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf first = NX_BUF_INIT(NX_CORE_SETTINGS_BYTES_MAX);
    NX_CLEANUP(nx_buf_done)
    nx_buf other = NX_BUF_INIT(NX_CORE_SETTINGS_BYTES_MAX);
    nx_err err = check_version(n, function, s->v[0].version, &first, reterr);
    for (unsigned i = 1; err == NX_OK && i < s->n; i++) {
        nx_buf_clear(&other);
        err = check_version(n, function, s->v[i].version, &other, reterr);
        if (err == NX_OK && !nx_slice_eq(nx_buf_view(&first), nx_buf_view(&other)))
            err = nx_error_set(reterr, NX_ECONFLICT, "%s and %s of '%s' can't share its events: `on`, `respond`, `ordering`, `concurrency` and `singleton` have to be the same, and "
                                                     "both take batches (`batch`), or neither",
                               s->v[0].version, s->v[i].version, function);
    }
    return err;
}

/* ---- changing ------------------------------------------------------------------------------------------------------------------------------------- */

/* One change: from what the alias is (not set: split.n 0) to what it becomes; asked again where somebody else was quicker. */
typedef struct change {
    nx_err (*next)(const struct change *c, const nx_core_alias *now, nx_core_alias *ret, nx_error *reterr);
    const nx_json *traffic;
    const nx_core_split *split;
    const char *version; /* to give `share` to, or to go back to */
    unsigned share;
} change;

/* `ret` becomes what `to` says, and remembers what it was. */
static void go_to(const nx_core_alias *now, const nx_core_split *to, nx_core_alias *ret)
{
    *ret = *now;
    ret->split = *to;
    if (!now->split.n || nx_core_split_equal(&now->split, to))
        return;
    ret->n_before = now->n_before < NX_CORE_BEFORE_MAX ? now->n_before + 1 : NX_CORE_BEFORE_MAX;
    memcpy(&ret->before[1], now->before, (ret->n_before - 1) * sizeof now->before[0]);
    ret->before[0] = now->split;
}

static nx_err next_set(const change *c, const nx_core_alias *now, nx_core_alias *ret, nx_error *reterr)
{
    nx_core_split to;
    nx_err err = nx_core_split_from_json(c->traffic, &now->split, &to, reterr);
    if (err == NX_OK)
        go_to(now, &to, ret);
    return err;
}

static nx_err next_copy(const change *c, const nx_core_alias *now, nx_core_alias *ret, nx_error *reterr)
{
    (void)reterr;
    go_to(now, c->split, ret);
    return NX_OK;
}

static nx_err next_give(const change *c, const nx_core_alias *now, nx_core_alias *ret, nx_error *reterr)
{
    nx_core_split to;
    nx_err err = nx_core_split_give(&now->split, c->version, now->split.n ? c->share : NX_CORE_SHARE_ALL, &to, reterr); /* the first has nobody to share with */
    if (err == NX_OK)
        go_to(now, &to, ret);
    return err;
}

static nx_err next_back(const change *c, const nx_core_alias *now, nx_core_alias *ret, nx_error *reterr)
{
    nx_core_split to;
    unsigned i = 0;
    if (c->version) {
        nx_core_split_all(&to, c->version);
        while (i < now->n_before && !nx_core_split_equal(&now->before[i], &to))
            i++;
        if (i == now->n_before) {
            go_to(now, &to, ret);
            return NX_OK;
        }
    }
    if (i == now->n_before)
        return nx_error_set(reterr, NX_ECONFLICT, "nothing is known from before %s; name a version", now->split.v[0].version);
    *ret = *now;
    ret->split = now->before[i];
    ret->n_before = now->n_before - i - 1;
    memcpy(ret->before, &now->before[i + 1], ret->n_before * sizeof now->before[0]);
    return NX_OK;
}

static nx_err apply(nx_node *n, const char *function, nx_error *reterr)
{
    pthread_mutex_lock(&n->apply_mu);
    nx_err err = nx_core_registry_apply_one(n, function, NULL, reterr);
    pthread_mutex_unlock(&n->apply_mu);
    return err;
}

/* The node could not take it (its route is another function's, say), or a version went meanwhile: a live version that can't run would keep every node
 * from starting. Nobody is told of a failure here, who is told already that the change failed. */
static void take_back(nx_node *n, const char *function, const char *alias, const nx_core_alias *before, uint64_t revision)
{
    char key[NX_CORE_FN_KEY_BYTES];
    nx_core_alias now, was = *before;
    if (nx_core_alias_get(n, function, alias, &now, NULL) != NX_OK || now.revision != revision)
        return; /* a later change has set it */
    key_of(function, alias, key);
    was.revision = revision;
    if (was.split.n)
        put(n, function, alias, &was, NULL, NULL);
    else
        nx_fab_kv_delete(n->ns, key, NULL);
}

/* Versions that nothing names are removed after a while (see prune.c), by whoever looks after having deleted them; so this looks after having named them. */
static nx_err are_there(nx_node *n, const char *function, const nx_core_split *s, nx_error *reterr)
{
    nx_err err = NX_OK;
    for (unsigned i = 0; err == NX_OK && i < s->n; i++) {
        nx_core_stored v;
        err = nx_core_stored_get(n, function, s->v[i].version, &v, reterr);
        if (err == NX_OK)
            nx_core_stored_done(&v);
    }
    return err;
}

static nx_err change_alias(nx_node *n, const char *function, const char *alias, const change *c, nx_core_alias *ret_now, nx_core_split *ret_from, nx_error *reterr)
{
    bool is_live = strcmp(alias, NX_CORE_LIVE) == 0;
    nx_core_alias now, next;
    uint64_t revision = 0;
    nx_err err = NX_ECONFLICT;
    for (int i = 0; i < TRIES && (err == NX_ECONFLICT || err == NX_EEXIST); i++) {
        err = nx_core_alias_get(n, function, alias, &now, reterr);
        if (err == NX_ENOENT)
            now = (nx_core_alias){.revision = 0};
        else if (err != NX_OK)
            return err;
        if ((err = c->next(c, &now, &next, reterr)) != NX_OK || (err = check_split(n, function, &next.split, reterr)) != NX_OK)
            return err;
        next.changed_at[nx_clock_rfc3339(nx_clock_wall_ns(), 3, next.changed_at)] = 0;
        err = put(n, function, alias, &next, &revision, reterr);
    }
    if (err == NX_ECONFLICT || err == NX_EEXIST)
        return nx_error_set(reterr, NX_ECONFLICT, "others keep changing '%s' of '%s'", alias, function);
    if (err != NX_OK)
        return err;
    err = are_there(n, function, &next.split, reterr);
    if (err == NX_OK && is_live)
        err = apply(n, function, reterr);
    if (err != NX_OK) {
        take_back(n, function, alias, &now, revision);
        return err;
    }
    if (ret_now)
        *ret_now = next;
    if (ret_from)
        *ret_from = now.split;
    return NX_OK;
}

nx_err nx_core_alias_set(nx_node *n, const char *function, const char *alias, const nx_json *traffic, nx_core_alias *ret_now, nx_error *reterr)
{
    return change_alias(n, function, alias, &(change){.next = next_set, .traffic = traffic}, ret_now, NULL, reterr);
}

nx_err nx_core_alias_copy(nx_node *n, const char *function, const char *alias, const char *from, nx_core_alias *ret_now, nx_error *reterr)
{
    nx_core_alias other;
    if (nx_core_is_version_name(nx_slice_cstr(from)))
        nx_core_split_all(&other.split, from);
    else {
        nx_err err = nx_core_alias_get(n, function, from, &other, reterr);
        if (err != NX_OK)
            return err;
    }
    return change_alias(n, function, alias, &(change){.next = next_copy, .split = &other.split}, ret_now, NULL, reterr);
}

nx_err nx_core_alias_give(nx_node *n, const char *function, const char *alias, const char *version, unsigned share, nx_error *reterr)
{
    return change_alias(n, function, alias, &(change){.next = next_give, .version = version, .share = share}, NULL, NULL, reterr);
}

nx_err nx_core_alias_roll_back(nx_node *n, const char *function, const char *alias, const char *to, nx_core_alias *ret_now, nx_core_split *ret_from, nx_error *reterr)
{
    nx_core_alias now;
    nx_err err = nx_core_alias_get(n, function, alias, &now, reterr); /* there has to be one */
    return err == NX_OK ? change_alias(n, function, alias, &(change){.next = next_back, .version = to}, ret_now, ret_from, reterr) : err;
}

nx_err nx_core_alias_remove(nx_node *n, const char *function, const char *alias, nx_error *reterr)
{
    char key[NX_CORE_FN_KEY_BYTES];
    nx_core_alias now;
    if (strcmp(alias, NX_CORE_LIVE) == 0)
        return nx_error_set(reterr, NX_EINVAL, "'live' can't be removed: it is what runs");
    nx_err err = nx_core_alias_get(n, function, alias, &now, reterr);
    key_of(function, alias, key);
    return err == NX_OK ? nx_fab_kv_delete(n->ns, key, reterr) : err;
}

nx_err nx_core_make_live(nx_node *n, nx_slice function, nx_slice version, nx_error *reterr)
{
    char name[NX_FUNCTION_NAME_BYTES + 1], v[NX_CORE_VERSION_BYTES];
    if (nx_slice_to_cstr(function, name, sizeof name) != NX_OK || nx_slice_to_cstr(version, v, sizeof v) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a version of a function", NX_SLICE_FMT(version));
    return nx_core_alias_give(n, name, NX_CORE_LIVE, v, NX_CORE_SHARE_ALL, reterr);
}
