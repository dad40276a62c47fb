/* shape_keys.c: the keys of a JSON value against those of its shape. The shape is in the notation: nx_shape_schema() has said so of all there are. */
#include <stdio.h>

#include "nx/shape.h"

#define KEYS_BYTES 256

static const char *blanks(const char *p)
{
    while (*p == ' ' || *p == '\n') p++;
    return p;
}

/* The end of what begins at p: where ',', '|', '}' or ']' of its own level stands, or the text ends. */
static const char *end_of(const char *p)
{
    unsigned depth = 0;
    for (; *p; p++) {
        if (*p == '\'') {
            p = strchr(p + 1, '\'');
            if (!p) return "";
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (depth == 0 && (*p == ',' || *p == '|' || *p == '}' || *p == ']')) {
            return p;
        } else if (*p == '}' || *p == ']') {
            depth--;
        }
    }
    return p;
}

/* A value's shape ends behind its last alternative. */
static const char *end_of_value(const char *p)
{
    for (p = end_of(p); *p == '|'; p = end_of(p + 1)) {}
    return p;
}

typedef struct member {
    nx_slice name;
    const char *shape; /* NULL: a string */
} member;

/* The next field of an object; p stands behind '{' or ','. False: there is none. */
static bool next_member(const char **p, member *ret)
{
    const char *at = blanks(*p), *end;
    if (!*at || *at == '}') return false;
    end = at + strcspn(at, "?:,}");
    ret->name = nx_slice_trim(nx_slice_make(at, (size_t)(end - at)));
    if (*end == '?') end = blanks(end + 1);
    ret->shape = *end == ':' ? blanks(end + 1) : NULL;
    if (*end == ':') end = end_of_value(end + 1);
    *p = *end == ',' ? end + 1 : end;
    return true;
}

typedef struct lookup {
    nx_slice key;
    bool is_known;
    const char *shape; /* of the key's value; NULL: not looked at */
} lookup;

static void look_in(const char *object, lookup *l)
{
    member m;
    for (const char *p = object + 1; !l->is_known && next_member(&p, &m);) {
        bool is_rest = nx_slice_eq_cstr(m.name, "…"), is_map = nx_slice_eq_cstr(m.name, "*");
        if (!is_rest && !is_map && !nx_slice_eq(m.name, l->key)) continue;
        l->is_known = true;
        l->shape = is_rest ? NULL : m.shape;
    }
}

static void list_keys(const char *shape, char *out, size_t size)
{
    member m;
    size_t n = 0;
    out[0] = '\0';
    for (const char *at = blanks(shape);; at = blanks(at + 1)) {
        if (*at == '{')
            for (const char *p = at + 1; next_member(&p, &m) && n < size;)
                n += (size_t)snprintf(out + n, size - n, "%s%.*s", n ? ", " : "", NX_SLICE_FMT(m.name));
        at = end_of(at);
        if (*at != '|') return;
    }
}

typedef struct checking {
    const char *shape;
    nx_error *reterr;
} checking;

static int check_member(void *self, nx_slice key, const nx_json *value)
{
    checking *c = self;
    lookup l = {.key = key};
    bool has_object = false;
    for (const char *at = blanks(c->shape);; at = blanks(at + 1)) {
        if (*at == '{') {
            has_object = true;
            look_in(at, &l);
        }
        at = end_of(at);
        if (*at != '|') break;
    }
    if (l.is_known) return l.shape ? nx_shape_check_keys(l.shape, value, c->reterr) : NX_OK;
    if (!has_object) return NX_OK; /* another type is wanted here */
    char keys[KEYS_BYTES];
    list_keys(c->shape, keys, sizeof keys);
    return nx_error_set(c->reterr, NX_EINVAL, "there is no key \"%.*s\" here; there are: %s", NX_SLICE_FMT(nx_slice_sub(key, 0, 64)), keys[0] ? keys : "none");
}

nx_err nx_shape_check_keys(const char *shape, const nx_json *value, nx_error *reterr)
{
    nx_json_type type = nx_json_typeof(value);
    if (type == NX_JSON_OBJECT) return nx_json_each(value, check_member, &(checking){shape, reterr});
    if (type != NX_JSON_ARRAY) return NX_OK;
    for (const char *at = blanks(shape);; at = blanks(at + 1)) {
        for (size_t i = 0; *at == '[' && i < nx_json_len(value); i++) {
            nx_err err = nx_shape_check_keys(at + 1, nx_json_at(value, i), reterr);
            if (err != NX_OK) return err;
        }
        at = end_of(at);
        if (*at != '|') return NX_OK;
    }
}
