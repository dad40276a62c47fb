/* effects/effects.h: host calls of module nexus: what answers them, and what is written down of them.
 * Why:       an answer that does not follow from event and seed is recorded, so that a replay gets the very same one (DESIGN 6, docs/EFFECTS.md).
 * Ownership: the state belongs to a scratch and serves one attempt after another; recorded effects and emitted events lie in the outcome's arena.
 * Threads:   one at a time. A live call blocks the thread, which has given up its running slot.
 * Knows nothing of the engine, as wasi/. */
#ifndef NX_RT_EFFECTS_H
#define NX_RT_EFFECTS_H
#include "wasi/table.h"

typedef struct nx_rt_effects {
    nx_buf request; /* the request in its canonical form: what is digested */
    nx_buf answer;  /* of a live call, or a text of ours */
    nx_buf keep;    /* what the record keeps instead */
    nx_slice view;  /* what the guest reads: in `answer`, or in the recording */
    bool is_secret; /* `view` is not traced */
    bool is_noted;  /* on_note() was called: once an attempt */
    unsigned next;  /* of the recording */
    unsigned effects_cap, emitted_cap;
    uint64_t kept_bytes, emitted_bytes;
    char text[256]; /* why the attempt ended here */
} nx_rt_effects;

/* The state of this attempt, made and cleared at the first call. NULL: out of memory, the attempt ends. */
nx_rt_effects *nx_rt_effects_of(nx_rt_world *w);
void nx_rt_effects_end(nx_rt_world *w);               /* the attempt is over: large buffers are given back */
void nx_rt_effects_free(nx_rt_effects *e);            /* NULL allowed */
const char *nx_rt_effects_text(const nx_rt_world *w); /* "" or why it ended inside a host call */

/* One call that asks the world. */
typedef struct nx_rt_effect_ask {
    const char *name;  /* "kv.get" */
    const char *grant; /* key in nexus.yaml */
    nx_slice wanted;   /* what would have to stand under that key */
    nx_slice show;     /* of the request, for people: in the trace and in messages */
    bool is_granted;
    bool is_secret; /* its answer is neither kept nor traced; the recording has its keyed digest */
    /* The live call; `ask` is this. */
    nx_err (*live)(const struct nx_rt_effect_ask *ask, const nx_effect_ops *ops, void *self, const nx_effect_call *call, nx_error *reterr);
    nx_slice a, b, value; /* of the call: slices of the canonical request */
    int64_t expected;
} nx_rt_effect_ask;

/* Answers one call by the attempt's policy, and records it; the canonical request stands in state->request. Returns the status, or NX_WASI_END. */
uint8_t nx_rt_effect(nx_rt_call *c, nx_rt_effects *e, const nx_rt_effect_ask *ask);
/* For an event: whether it is denied, by grants or by the recording; *ret is then the status to return, else NX_EFFECT_OK. */
uint8_t nx_rt_effect_emit_status(nx_rt_call *c, nx_rt_effects *e, nx_slice type, bool is_granted);
/* A refusal that follows from the request alone, so it is not recorded: sets the text that the guest may read. */
uint8_t nx_rt_effect_refuse(nx_rt_effects *e, nx_effect_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#endif
