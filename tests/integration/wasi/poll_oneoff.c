#include "case.h"

enum { CLOCK,
       FD_READ,
       FD_WRITE };

typedef struct subscription {
    u64 userdata;
    u8 tag;
    union {
        struct {
            u32 id;
            u64 timeout, precision;
            uint16_t flags;
        } clock;
        u32 fd;
    } u;
} subscription;
typedef struct event {
    u64 userdata;
    uint16_t error;
    u8 type;
    u64 bytes;
    uint16_t flags;
} event;
_Static_assert(sizeof(subscription) == 48 && sizeof(event) == 32, "as the specification lays them out");

static subscription in[300];
static event out[300];
static u32 n;

static void clock_at(u32 i, u32 id, u64 timeout, uint16_t flags)
{
    in[i] = (subscription){.userdata = 100 + i, .tag = CLOCK};
    in[i].u.clock.id = id;
    in[i].u.clock.timeout = timeout;
    in[i].u.clock.flags = flags;
}
static void fd_at(u32 i, u8 tag, u32 fd)
{
    in[i] = (subscription){.userdata = 100 + i, .tag = tag};
    in[i].u.fd = fd;
}
static u32 poll(u32 count)
{
    memset(out, 0xee, sizeof out);
    n = 77;
    return w_poll_oneoff(P(in), P(out), count, P(&n));
}
static u64 now(u32 id)
{
    u64 t = 0;
    IS(w_clock_time_get(id, 0, P(&t)), OK);
    return t;
}

static void clocks(void)
{
    for (u32 id = 0; id < 2; id++) {
        u64 before = now(id);
        clock_at(0, id, 5000000, 0);
        IS(poll(1), OK);
        IS(n, 1);
        IS(out[0].userdata, 100);
        IS(out[0].error, 0);
        IS(out[0].type, CLOCK);
        TRUE(now(id) >= before + 5000000);
        before = now(id);
        clock_at(0, id, before + 5000000, 1); /* until then */
        IS(poll(1), OK);
        TRUE(now(id) >= before + 5000000);
        clock_at(0, id, 1, 1); /* long past */
        IS(poll(1), OK);
        IS(n, 1);
    }
    clock_at(0, 1, 0, 0);
    IS(poll(1), OK);
    IS(n, 1);
    /* The shortest of several, and it alone. */
    clock_at(0, 1, 3600000000000ull, 0);
    clock_at(1, 1, 2000000, 0);
    clock_at(2, 0, 3600000000000ull, 0);
    IS(poll(3), OK);
    IS(n, 1);
    IS(out[0].userdata, 101);
    clock_at(0, 4, 0, 0); /* no such clock */
    clock_at(1, 1, 3600000000000ull, 0);
    IS(poll(2), OK);
    IS(n, 1);
    IS(out[0].userdata, 100);
    IS(out[0].error, E(INVAL));
    clock_at(0, __WASI_CLOCKID_PROCESS_CPUTIME_ID, 0, 0); /* waiting takes none of that time */
    IS(poll(1), OK);
    EITHER(out[0].error, E(NOTSUP), E(INVAL));
}

static void descriptors(void)
{
    u32 file = OPEN("hello.txt", 0);
    fd_at(0, FD_READ, file);
    fd_at(1, FD_WRITE, file);
    fd_at(2, FD_WRITE, 1);
    fd_at(3, FD_WRITE, 2);
    fd_at(4, FD_READ, 0);
    clock_at(5, 1, 3600000000000ull, 0);
    IS(poll(6), OK);
    IS(n, 5);
    for (u32 i = 0; i < 5; i++) {
        IS(out[i].userdata, 100 + i);
        IS(out[i].error, 0);
        IS(out[i].type, in[i].tag);
    }
    IS(out[0].bytes, 11);
    IS(out[4].bytes, 5);
    IS(read_from(0, 100), 5);
    fd_at(0, FD_READ, 0);
    clock_at(1, 1, 3600000000000ull, 0);
    IS(poll(2), OK); /* at its end, a stream is ready: reading does not wait */
    IS(n, 1);
    IS(out[0].error, 0);
    IS(out[0].bytes, 0);
    IS(out[0].flags, __WASI_EVENTRWFLAGS_FD_READWRITE_HANGUP);
    fd_at(0, FD_READ, NEVER);
    fd_at(1, FD_WRITE, 0);
    fd_at(2, FD_READ, file);
    IS(poll(3), OK);
    IS(n, 3);
    IS(out[0].error, E(BADF));
    IS(out[1].error, E(BADF));
    IS(out[2].error, 0);
    IS(out[2].flags, 0);
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_READ) | R(FD_WRITE), 0), OK);
    fd_at(0, FD_READ, opened);
    IS(poll(1), OK);
    IS(out[0].error, E(NOTCAPABLE));
    IS(open_with(ROOT, 0, "hello.txt", 0, R(POLL_FD_READWRITE) | R(FD_READ), 0), OK);
    fd_at(0, FD_READ, opened);
    fd_at(1, FD_WRITE, opened);
    IS(poll(2), OK);
    IS(out[0].error, 0);
    IS(out[1].error, E(NOTCAPABLE));
}

static void test(void)
{
    clocks();
    descriptors();
    IS(poll(0), E(INVAL));
    clock_at(0, 1, 0, 0);
    in[0].tag = 3;
    IS(poll(1), E(INVAL));
    clock_at(0, 1, 0, 2);
    IS(poll(1), E(INVAL));
    clock_at(0, 1, 0, 0);
    IS(w_poll_oneoff(END - 47, P(out), 1, P(&n)), E(FAULT));
    IS(w_poll_oneoff(P(in), END - 31, 1, P(&n)), E(FAULT));
    IS(w_poll_oneoff(P(in), P(out), 1, END - 3), E(FAULT));
    /* The answer may lie where the question lay. */
    for (u32 i = 0; i < 200; i++) fd_at(i, FD_WRITE, 1);
    IS(w_poll_oneoff(P(in), P(in), 200, P(&n)), OK);
    IS(n, 200);
    for (u32 i = 0; i < 200; i++) IS(((event *)(void *)in)[i].userdata, 100 + i);
}
