/* keys.h: which node has which keys of a function whose limits hold for a key over all nodes (`concurrency.key`, `singleton`).
 * Why:       where all events of a key are run by one node, what holds on that node holds over all, and no event costs a request for it. The node that the
 *            log gives an event to hands it to the one that has its key (run_source.c), and gate.c counts there.
 *            The keys of a function are divided into ranges. Who has which is one entry of a key-value bucket, changed by compare-and-set; each node
 *            renews its part of it twice a second. A node is sure of its ranges for LEASE_NS after it began the last change that succeeded, and another one
 *            takes them when it has seen no renewal for longer. A range that goes to another node is given up when nothing of it runs here any more.
 * Ownership: nx_core_keys is the node's; a keyring, a function's part of it, is reference-counted: gate and runs hold it.
 * Threads:   keyrings: any; the table is kept by the thread nx-keys.
 * Limits:    NX_CORE_KEYS_FNS functions of a namespace and NX_CORE_KEYS_NODES nodes; further functions' limits hold on each node, further nodes get no keys. */
#ifndef NX_CORE_KEYS_H
#define NX_CORE_KEYS_H
#include "core_internal.h"

/* ---- the table: keys_table.c ---------------------------------------------------------------------------------------------------------- */

#define NX_CORE_KEY_RANGES 32u
#define NX_CORE_KEYS_NODES 64u
#define NX_CORE_KEYS_FNS 256u
#define NX_CORE_KEYS_TEXT_BYTES (512u << 10)

typedef struct nx_core_keys_node {
    nx_id id;
    uint64_t beat; /* it counts the node's renewals */
} nx_core_keys_node;

typedef struct nx_core_keys_fn {
    char name[NX_FUNCTION_NAME_BYTES + 1];
    uint64_t members;                 /* which nodes run it, by their place in the table */
    uint32_t has[NX_CORE_KEYS_NODES]; /* ranges; 0 where it is no member */
} nx_core_keys_fn;

typedef struct nx_core_keys_table {
    nx_core_keys_node nodes[NX_CORE_KEYS_NODES];
    unsigned n_nodes;
    nx_core_keys_fn fns[NX_CORE_KEYS_FNS];
    unsigned n_fns;
} nx_core_keys_table;

/* Text that can't be read is an empty table. */
void nx_core_keys_parse(nx_slice text, nx_core_keys_table *ret);
nx_err nx_core_keys_format(const nx_core_keys_table *t, nx_buf *out);
int nx_core_keys_find_node(const nx_core_keys_table *t, const nx_id *id);       /* -1: it is not there */
int nx_core_keys_add_node(nx_core_keys_table *t, const nx_id *id);              /* its place, also where it was there; -1: there is no room */
void nx_core_keys_remove_node(nx_core_keys_table *t, unsigned node);            /* and all that it had */
nx_core_keys_fn *nx_core_keys_find_fn(nx_core_keys_table *t, const char *name); /* NULL: it is not there */
nx_core_keys_fn *nx_core_keys_add_fn(nx_core_keys_table *t, const char *name);  /* also where it was there; NULL: there is no room */
void nx_core_keys_leave_fn(nx_core_keys_table *t, nx_core_keys_fn *f, unsigned node);
int nx_core_keys_owner(const nx_core_keys_fn *f, unsigned range); /* its node; -1: nobody */
/* A node's turn with a function: ranges of `leaving` that are not `busy` are given up, as many that nobody has are taken as are the node's share.
 * Returns which ones it is to leave, because another node has too few. is_over: all. */
bool nx_core_keys_is_shared_out(const nx_core_keys_fn *f); /* every range is somebody's */
uint32_t nx_core_keys_share(nx_core_keys_fn *f, unsigned node, uint32_t busy, uint32_t leaving, bool is_over);

/* ---- a function's keys on this node: keys.c --------------------------------------------------------------------------------------------- */

typedef struct nx_core_keyring nx_core_keyring;

nx_err nx_core_keys_new(nx_node *n, nx_core_keys **ret);
void nx_core_keys_stop(nx_core_keys *k); /* BLOCKING: what this node still has goes to others now, or once it is taken for dead. NULL allowed */
void nx_core_keys_free(nx_core_keys *k); /* NULL allowed; stopped first */

/* NULL: this node has all keys (it has a log of its own), or no memory is left. */
nx_core_keyring *nx_core_keyring_new(nx_core_keys *k, const char *function);
nx_core_keyring *nx_core_keyring_ref(nx_core_keyring *r);
void nx_core_keyring_unref(nx_core_keyring *r); /* NULL allowed */
void nx_core_keyring_close(nx_core_keyring *r); /* this node's runs of the function end: its keys go to others. NULL allowed */
unsigned nx_core_keyring_range(const nx_core_keyring *r, const uint8_t key[NX_CORE_GATE_KEY_BYTES]);

typedef enum { NX_CORE_KEY_OURS,
               NX_CORE_KEY_OTHERS,
               NX_CORE_KEY_NOBODYS } nx_core_key_owner;
nx_core_key_owner nx_core_keyring_owner(nx_core_keyring *r, unsigned range, nx_id *ret_node); /* *ret_node: with NX_CORE_KEY_OTHERS */
bool nx_core_keyring_enter(nx_core_keyring *r, unsigned range);                               /* true: the range is ours, and stays so until _leave() */
void nx_core_keyring_leave(nx_core_keyring *r, unsigned range);
bool nx_core_keyring_may_begin(nx_core_keyring *r, unsigned range); /* of what has entered: false, the range is on its way to another node */
#endif
