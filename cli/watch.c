/* watch.c: telling that something was saved. What it was is for the caller to find out by looking: events of editors differ (write in
 * place, rename over, remove and make anew), states do not. */
#include "watch.h"
#include "cli.h"
#include "nx/clock.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <uv.h>

#define QUIET_MS 50       /* after the last event of a save */
#define QUIET_MOST_MS 150 /* after the first, however many follow */
#define LOOK_MS 2000      /* file systems whose changes come from elsewhere (mounts, containers) send no events */
#define LOOK_OFTEN_MS 300 /* where the system has no watches left */
#define FOLDERS_MAX 4096

typedef struct folder {
    uv_fs_event_t event;
    struct folder *next;
    struct nx_cli_watch *watch;
    char *path;
    dev_t dev;
    ino_t ino;
    bool is_kept;
} folder;

struct nx_cli_watch {
    uv_loop_t *loop;
    uv_timer_t quiet, look;
    folder *folders;
    unsigned n_folders, open_handles;
    uint64_t first_ns; /* event of the save that is under way; 0: none */
    bool is_polling, is_ending;
    void (*changed)(void *self);
    void *self;
};

static void release(nx_cli_watch *w)
{
    if (--w->open_handles == 0)
        free(w);
}

static void on_timer_closed(uv_handle_t *h)
{
    release(h->data);
}

static void on_quiet(uv_timer_t *t)
{
    nx_cli_watch *w = t->data;
    w->first_ns = 0;
    w->changed(w->self);
}

static void on_look(uv_timer_t *t)
{
    nx_cli_watch *w = t->data;
    w->changed(w->self);
}

static void on_event(uv_fs_event_t *h, const char *name, int events, int status)
{
    nx_cli_watch *w = ((folder *)h->data)->watch;
    (void)name, (void)events, (void)status;
    uint64_t now = nx_clock_ns();
    if (w->first_ns == 0)
        w->first_ns = now;
    else if (now - w->first_ns > (QUIET_MOST_MS - QUIET_MS) * NX_NS_PER_MS)
        return; /* the timer runs out as it is */
    uv_timer_start(&w->quiet, on_quiet, QUIET_MS, 0);
}

nx_err nx_cli_watch_new(struct uv_loop_s *loop, void (*changed)(void *self), void *self, nx_cli_watch **ret, nx_error *reterr)
{
    nx_cli_watch *w = calloc(1, sizeof *w);
    if (!w)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    *w = (nx_cli_watch){.loop = loop, .changed = changed, .self = self, .open_handles = 2};
    uv_timer_init(loop, &w->quiet);
    uv_timer_init(loop, &w->look);
    w->quiet.data = w->look.data = w;
    uv_timer_start(&w->look, on_look, LOOK_MS, LOOK_MS);
    *ret = w;
    return NX_OK;
}

static void on_folder_closed(uv_handle_t *h)
{
    folder *f = h->data;
    nx_cli_watch *w = f->watch;
    free(f->path);
    free(f);
    release(w);
}

void nx_cli_watch_free(nx_cli_watch *w)
{
    if (!w || w->is_ending)
        return;
    w->is_ending = true;
    while (w->folders) {
        folder *f = w->folders;
        w->folders = f->next;
        uv_close((uv_handle_t *)&f->event, on_folder_closed);
    }
    uv_close((uv_handle_t *)&w->quiet, on_timer_closed);
    uv_close((uv_handle_t *)&w->look, on_timer_closed);
}

/* ---- the set of folders ----------------------------------------------------------------------------------------- */

void nx_cli_watch_begin(nx_cli_watch *w)
{
    for (folder *f = w->folders; f; f = f->next)
        f->is_kept = false;
}

void nx_cli_watch_folder(nx_cli_watch *w, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return;
    for (folder *f = w->folders; f; f = f->next) {
        /* A folder that was made anew under its old name needs a new watch. */
        if (strcmp(f->path, path) == 0 && f->ino == st.st_ino && f->dev == st.st_dev) {
            f->is_kept = true;
            return;
        }
    }
    folder *f = w->n_folders < FOLDERS_MAX ? calloc(1, sizeof *f) : NULL;
    if (!f || !(f->path = strdup(path))) {
        free(f);
        w->is_polling = true;
        return;
    }
    f->watch = w;
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    f->is_kept = true;
    f->event.data = f;
    uv_fs_event_init(w->loop, &f->event);
    if (uv_fs_event_start(&f->event, on_event, path, 0) != 0)
        w->is_polling = true;
    f->next = w->folders;
    w->folders = f;
    w->n_folders++;
    w->open_handles++;
}

void nx_cli_watch_end(nx_cli_watch *w)
{
    for (folder **p = &w->folders; *p;) {
        folder *f = *p;
        if (f->is_kept) {
            p = &f->next;
            continue;
        }
        *p = f->next;
        w->n_folders--;
        uv_close((uv_handle_t *)&f->event, on_folder_closed);
    }
    uint64_t every = w->is_polling ? LOOK_OFTEN_MS : LOOK_MS;
    if (uv_timer_get_repeat(&w->look) != every)
        uv_timer_start(&w->look, on_look, every, every);
}
