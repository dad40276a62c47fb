/* effect.c: names, statuses and digests of host calls and emitted events. */
#include "nx/effect.h"

#include <stdio.h>

#include "nx/clock.h"

static bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

nx_sha256 nx_effect_request_digest(nx_slice name, nx_slice request)
{
    const nx_slice parts[] = {name, request};
    return nx_sha256_of_parts(parts, NX_ARRAY_LEN(parts));
}

nx_sha256 nx_emit_digest(const nx_emit *e)
{
    const nx_slice parts[] = {e->type, e->subject, e->partition_key, e->content_type, e->data};
    return nx_sha256_of_parts(parts, NX_ARRAY_LEN(parts));
}

nx_id nx_emit_event_id(const nx_id *run_id, unsigned index, uint64_t event_wall_ns, nx_slice type, nx_slice partition_key, char ret_key[NX_EMIT_KEY_BYTES])
{
    (void)snprintf(ret_key, NX_EMIT_KEY_BYTES, "emit/%s/%u", run_id->s, index);
    nx_sha256 digest = nx_sha256_of(nx_slice_cstr(ret_key));
    return nx_ulid_derive_late(event_wall_ns / NX_NS_PER_MS, digest.b, partition_key.n ? nx_shard_of(partition_key) : digest.b[9] % NX_SHARDS, type);
}

nx_effect_status nx_effect_status_of(nx_err err)
{
    switch (err) {
    case NX_OK: return NX_EFFECT_OK;
    case NX_EDENIED: return NX_EFFECT_DENIED;
    case NX_ENOENT: return NX_EFFECT_NOT_FOUND;
    case NX_EEXIST:
    case NX_ECONFLICT: return NX_EFFECT_CONFLICT;
    case NX_EINVAL:
    case NX_EPARSE:
    case NX_ENOTSUP: return NX_EFFECT_INVALID;
    case NX_ELIMIT: return NX_EFFECT_LIMIT;
    case NX_ETIMEOUT: return NX_EFFECT_TIMEOUT;
    default: return NX_EFFECT_UNAVAILABLE;
    }
}

const char *nx_effect_status_name(nx_effect_status s)
{
    switch (s) {
    case NX_EFFECT_OK: return "OK";
    case NX_EFFECT_DENIED: return "DENIED";
    case NX_EFFECT_NOT_FOUND: return "NOT_FOUND";
    case NX_EFFECT_CONFLICT: return "CONFLICT";
    case NX_EFFECT_INVALID: return "INVALID";
    case NX_EFFECT_LIMIT: return "LIMIT";
    case NX_EFFECT_TIMEOUT: return "TIMEOUT";
    case NX_EFFECT_UNAVAILABLE: return "UNAVAILABLE";
    case NX_EFFECT_FAULT: return "FAULT";
    case NX_EFFECT_INTERRUPTED: return "INTERRUPTED";
    case NX_EFFECT_OVER: return "OVER";
    }
    return "unknown";
}

bool nx_kv_key_is_valid(nx_slice key)
{
    if (key.n == 0 || key.n > NX_KV_KEY_BYTES || key.p[0] == '.' || key.p[key.n - 1] == '.') return false;
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bool is_plain = is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || (c && strchr("-/_=.", c));
        if (!is_plain || (c == '.' && key.p[i + 1] == '.')) return false; /* the last is no '.', so there is a next */
    }
    return true;
}

bool nx_kv_store_is_valid(nx_slice store)
{
    if (store.n == 0 || store.n > NX_KV_STORE_BYTES || !is_lower_or_digit(store.p[0])) return false;
    for (size_t i = 0; i < store.n; i++)
        if (!is_lower_or_digit(store.p[i]) && store.p[i] != '-' && store.p[i] != '_') return false;
    return true;
}

bool nx_secret_name_is_valid(nx_slice name)
{
    if (name.n == 0 || name.n > NX_SECRET_NAME_BYTES || name.p[0] == '-' || (name.p[0] >= '0' && name.p[0] <= '9')) return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!is_lower_or_digit(c) && !(c >= 'A' && c <= 'Z') && c != '_' && c != '-') return false;
    }
    return true;
}
