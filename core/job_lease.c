/* job_lease.c: how long a job has been seen unchanged. */
#include "job_internal.h"

#define BREAK_NS (3 * NX_JOB_LOOK_NS)

/* Its place, or the one that was not looked at for longest. */
static nx_job_sight *place_of(nx_job_sights *s, const nx_id *id)
{
    nx_job_sight *oldest = &s->v[0];
    for (unsigned i = 0; i < NX_JOBS_ACTIVE_MAX; i++) {
        if (s->v[i].looked_ns && strcmp(s->v[i].id.s, id->s) == 0)
            return &s->v[i];
        if (s->v[i].looked_ns < oldest->looked_ns)
            oldest = &s->v[i];
    }
    *oldest = (nx_job_sight){.id = *id};
    return oldest;
}

uint64_t nx_job_sight_age(nx_job_sights *s, const nx_id *id, uint64_t record_revision, uint64_t state_revision, uint64_t now_ns)
{
    nx_job_sight *t = place_of(s, id);
    if (!t->looked_ns || now_ns - t->looked_ns > BREAK_NS || t->record_revision != record_revision || t->state_revision != state_revision) {
        t->record_revision = record_revision;
        t->state_revision = state_revision;
        t->since_ns = now_ns;
    }
    t->looked_ns = now_ns;
    return now_ns - t->since_ns;
}
