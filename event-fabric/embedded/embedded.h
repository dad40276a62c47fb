/* embedded.h: what lock.c, probe.c and server.c share. */
#ifndef NX_FAB_EMBEDDED_H
#define NX_FAB_EMBEDDED_H
#include "nx/fab.h"
#include <limits.h>
#include <sys/types.h>

/* A process that can't be mistaken for another: its number, when it started (clock ticks since boot), and which boot that was. */
typedef struct nx_fab_proc {
    pid_t pid;
    uint64_t start_ticks;
    char boot[40];
} nx_fab_proc;

/* ---- lock.c: who may use a data directory --------------------------------------------------------------------------------------------------- */

/* Takes <data_dir>/lock for this process (released when it ends, however it ends). NX_ECONFLICT names the holder's pid. Returns the descriptor. */
nx_err nx_fab_lock_take(const char *data_dir, int *ret_fd, nx_error *reterr);
nx_err nx_fab_proc_of(pid_t pid, nx_fab_proc *ret); /* NX_ENOENT: there is none */
bool nx_fab_proc_is_alive(const nx_fab_proc *p);    /* false also for a zombie */
bool nx_fab_proc_has_open(const nx_fab_proc *p, const char *file);
bool nx_fab_proc_has_argument(const nx_fab_proc *p, const char *arg);
nx_err nx_fab_proc_write(const char *file, const nx_fab_proc *p);
nx_err nx_fab_proc_read(const char *file, nx_fab_proc *ret); /* NX_ENOENT, NX_EPARSE */
/* The store's own lock (flock on a descriptor that nats-server inherits): free only when no process has the store open.
 * BLOCKING up to deadline_ns: waits for a previous server, asks it to end, then ends it. conf: the argument it was started with. */
nx_err nx_fab_store_take(const char *lock_file, const char *json_file, const char *conf, uint64_t deadline_ns, int *ret_fd, nx_error *reterr);

/* ---- probe.c: is the server there? ------------------------------------------------------------------------------------------------------------ */

nx_err nx_fab_probe_port(uint16_t *ret_port); /* a loopback port that is free now */
/* One try, at most timeout_ms: connects, logs in, asks JetStream. NX_OK: it answers. */
nx_err nx_fab_probe(uint16_t port, const char *user, const char *password, int timeout_ms);
#endif
