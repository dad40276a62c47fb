/* journal.c: a small file mapped into memory that survives the process: which runs execute now, and how often one was executing
 * when its node died. Why a mapping: writing an entry is two stores, no system call, and the kernel keeps the pages whatever kills the process.
 * A delivery count can't tell this: it also grows for events that were only queued when a node was stopped. */
#include "core_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define JOURNAL_MAGIC 0x314a584eu /* "NXJ1" */
#define JOURNAL_RUNNING 256
#define JOURNAL_CRASHES 1024

typedef struct journal_file {
    uint32_t magic, size;
    struct {
        atomic_uint is_used;
        char run_id[28];
    } running[JOURNAL_RUNNING];
    struct {
        char run_id[28];
        uint32_t count;
    } crashes[JOURNAL_CRASHES];
    uint32_t next_crash; /* oldest entry, overwritten next when all are used */
} journal_file;

struct nx_core_journal {
    journal_file *f;
    pthread_mutex_t mu; /* guards crashes */
    atomic_uint hint;
};

static void crash_note(journal_file *f, const char *run_id)
{
    for (unsigned i = 0; i < JOURNAL_CRASHES; i++)
        if (memcmp(f->crashes[i].run_id, run_id, NX_ID_LEN) == 0) {
            f->crashes[i].count++;
            return;
        }
    unsigned i = f->next_crash++ % JOURNAL_CRASHES;
    memcpy(f->crashes[i].run_id, run_id, NX_ID_LEN);
    f->crashes[i].count = 1;
}

nx_err nx_core_journal_open(const char *path, nx_core_journal **ret, nx_error *reterr)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    if (posix_fallocate(fd, 0, sizeof(journal_file)) != 0) {
        close(fd);
        return nx_error_set(reterr, NX_EIO, "%s: no space for the run journal (%zu bytes)", path, sizeof(journal_file));
    }
    journal_file *f = mmap(NULL, sizeof *f, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (f == MAP_FAILED)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    nx_core_journal *j = calloc(1, sizeof *j);
    if (!j) {
        munmap(f, sizeof *f);
        return nx_error_set(reterr, NX_ENOMEM, "run journal");
    }
    if (f->magic != JOURNAL_MAGIC || f->size != sizeof *f) {
        memset(f, 0, sizeof *f);
        f->size = sizeof *f;
        f->magic = JOURNAL_MAGIC;
    }
    for (unsigned i = 0; i < JOURNAL_RUNNING; i++)
        if (atomic_load(&f->running[i].is_used)) {
            if (atomic_load(&f->running[i].is_used) == 1) /* 2: taken, its id not yet written: what stands there is another run's */
                crash_note(f, f->running[i].run_id);
            atomic_store(&f->running[i].is_used, 0);
        }
    pthread_mutex_init(&j->mu, NULL);
    j->f = f;
    *ret = j;
    return NX_OK;
}

void nx_core_journal_close(nx_core_journal *j)
{
    if (!j)
        return;
    munmap(j->f, sizeof *j->f);
    pthread_mutex_destroy(&j->mu);
    free(j);
}

int nx_core_journal_begin(nx_core_journal *j, const nx_id *run_id)
{
    unsigned at = atomic_fetch_add_explicit(&j->hint, 1, memory_order_relaxed);
    for (unsigned k = 0; k < JOURNAL_RUNNING; k++) {
        unsigned i = (at + k) % JOURNAL_RUNNING, unused = 0;
        if (!atomic_load_explicit(&j->f->running[i].is_used, memory_order_relaxed) &&
            atomic_compare_exchange_strong(&j->f->running[i].is_used, &unused, 2)) {
            memcpy(j->f->running[i].run_id, run_id->s, NX_ID_LEN);
            atomic_store(&j->f->running[i].is_used, 1);
            return (int)i;
        }
    }
    return -1;
}

void nx_core_journal_end(nx_core_journal *j, int slot)
{
    if (slot >= 0)
        atomic_store(&j->f->running[slot].is_used, 0);
}

unsigned nx_core_journal_crashes(nx_core_journal *j, const nx_id *run_id)
{
    unsigned count = 0;
    pthread_mutex_lock(&j->mu);
    for (unsigned i = 0; i < JOURNAL_CRASHES && count == 0; i++)
        if (memcmp(j->f->crashes[i].run_id, run_id->s, NX_ID_LEN) == 0)
            count = j->f->crashes[i].count;
    pthread_mutex_unlock(&j->mu);
    return count;
}

bool nx_core_journal_next_crash(nx_core_journal *j, nx_id *ret_run_id, unsigned *ret_count)
{
    bool found = false;
    pthread_mutex_lock(&j->mu);
    for (unsigned i = 0; i < JOURNAL_CRASHES && !found; i++) {
        found = j->f->crashes[i].count > 0 && nx_id_parse(nx_slice_make(j->f->crashes[i].run_id, NX_ID_LEN), ret_run_id) == NX_OK;
        *ret_count = j->f->crashes[i].count;
    }
    pthread_mutex_unlock(&j->mu);
    return found;
}

void nx_core_journal_forget(nx_core_journal *j, const nx_id *run_id)
{
    pthread_mutex_lock(&j->mu);
    for (unsigned i = 0; i < JOURNAL_CRASHES; i++)
        if (memcmp(j->f->crashes[i].run_id, run_id->s, NX_ID_LEN) == 0)
            memset(&j->f->crashes[i], 0, sizeof j->f->crashes[i]);
    pthread_mutex_unlock(&j->mu);
}
