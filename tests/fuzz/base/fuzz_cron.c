/* Schedules and time zone files: whatever is taken ticks forwards, and whatever a zone says moves on. The input is a schedule, a NUL, and a zone's file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nx/clock.h"
#include "nx/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    nx_slice text = nx_slice_make(data, n), file = nul ? nx_slice_make(nul + 1, size - n - 1) : NX_SLICE_NULL;
    nx_tz *z = NULL;
    nx_cron c;
    bool has_zone = file.n && nx_tz_parse(file, &z, NULL) == NX_OK;

    for (int64_t t = 0, i = 0; has_zone && i < 64; i++) {
        nx_tz_span sp;
        nx_tz_span_at(z, t, &sp);
        require(sp.begin_s <= t && sp.end_s > t);
        if (sp.end_s > 7258118400LL) break;
        t = sp.end_s;
    }
    if (nx_cron_parse(text, &c, NULL) != NX_OK) {
        nx_tz_free(z);
        return 0;
    }
    if (has_zone && !c.every_ns) {
        nx_tz_free(c.tz);
        c.tz = z;
        z = NULL;
    }
    uint64_t now = 1767225600ull * NX_NS_PER_S, next;
    for (int i = 0; i < 16 && nx_cron_next(&c, now, &next) == NX_OK; i++) {
        require(next > now);
        require(nx_cron_latest(&c, now, next - 1) < next);
        now = next;
    }
    nx_cron_done(&c);
    nx_tz_free(z);
    return 0;
}
