/* watch.h: a set of folders and the news that something in them was saved.
 * Ownership: nx_cli_watch_free() closes its handles; the memory goes once the loop has run them out.
 * Threads:   the loop's. */
#ifndef NX_CLI_WATCH_H
#define NX_CLI_WATCH_H
#include "nx/err.h"

struct uv_loop_s;
typedef struct nx_cli_watch nx_cli_watch;

/* changed() comes some 50 ms after the last write of a save, and every two seconds without a reason: the caller looks what differs. */
nx_err nx_cli_watch_new(struct uv_loop_s *loop, void (*changed)(void *self), void *self, nx_cli_watch **ret, nx_error *reterr);
void nx_cli_watch_free(nx_cli_watch *w);
/* The set is named anew as a whole: begin, every folder, end. Folders that stay keep their watch. */
void nx_cli_watch_begin(nx_cli_watch *w);
void nx_cli_watch_folder(nx_cli_watch *w, const char *path);
void nx_cli_watch_end(nx_cli_watch *w);
#endif
