// Does what the first word of its input says (after "do": in JSON, after the first blank): each a way in which a repetition could come out otherwise.
//   env            all variables, in their order
//   grow           memory page by page until it is refused, then much more than there is
//   nan            bits of NaNs, however they came to be
//   out N, logs N  so many bytes; logs with a line end every 1000
//   late N         the words of an allocation that failed behind N bytes of log, then a trap
//   depth N        recursion on the engine's own stack
//   sleep MS N     N sleeps
//   spin           for ever
//   exit N
//   files          writes, reads and lists
//   echo           the input itself
#include <dirent.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static char input[1 << 20];

static void bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    printf("%016llx ", (unsigned long long)u);
}

static void nan_bits(void)
{
    volatile double zero = 0, one = 1, payload;
    volatile float small;
    uint64_t u = 0xfff8000000001234ull;
    memcpy((void *)&payload, &u, sizeof u);
    bits(zero / zero);
    bits(-(zero / zero));
    bits(payload * one);
    bits(payload + zero / zero);
    bits(sqrt(-one));
    bits(fmax(payload, one));
    bits(copysign(payload, one));
    small = (float)payload;
    bits((double)small * 2);
    small = (float)(zero / zero) * (float)one;
    bits(small);
}

__attribute__((noinline)) static int64_t down(int64_t n, int64_t a, int64_t b, int64_t c)
{
    if (n == 0) return a + b + c;
    int64_t r = down(n - 1, a + n, b ^ a, c + b);
    return r * 3 + a - b + c;
}

static void files(void)
{
    char name[64];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "/tmp/f%d", (i * 7) % 20);
        FILE *f = fopen(name, "w");
        if (!f) {
            printf("no file\n");
            return;
        }
        fprintf(f, "file %d of %s", i, input);
        fclose(f);
    }
    DIR *d = opendir("/tmp");
    for (struct dirent *e; (e = readdir(d));) printf("%s %llu\n", e->d_name, (unsigned long long)e->d_ino);
    closedir(d);
}

static void many(FILE *to, long n, int line)
{
    for (long i = 0; i < n; i++) fputc(line && i % line == line - 1 ? '\n' : 'a' + (int)(i % 26), to);
}

void handle_event(void)
{
    size_t n = fread(input, 1, sizeof input - 1, stdin);
    input[n] = 0;
    char *what = strstr(input, "do:"), *end;
    what = what ? what + 3 : input;
    char *space = strpbrk(what, " \"");
    long number = space ? strtol(space + 1, &end, 10) : 0;
    setvbuf(stderr, NULL, _IOFBF, 4096);
    if (!strncmp(what, "env", 3)) {
        for (char **e = environ; *e; e++) puts(*e);
    } else if (!strncmp(what, "grow", 4)) {
        long pages = 0;
        while (pages < 100000 && __builtin_wasm_memory_grow(0, 1) != (size_t)-1) pages++;
        printf("%ld %ld %ld\n", pages, (long)__builtin_wasm_memory_grow(0, 65535), (long)__builtin_wasm_memory_size(0));
    } else if (!strncmp(what, "nan", 3)) {
        nan_bits();
    } else if (!strncmp(what, "out", 3)) {
        many(stdout, number, 0);
    } else if (!strncmp(what, "logs", 4)) {
        many(stderr, number, 1000);
    } else if (!strncmp(what, "late", 4)) {
        many(stderr, number, 1000);
        fprintf(stderr, "\nmemory allocation of 77 bytes failed\n");
        fflush(stderr);
        __builtin_trap();
    } else if (!strncmp(what, "depth", 5)) {
        printf("%lld\n", (long long)down(number, 1, 2, 3));
    } else if (!strncmp(what, "sleep", 5)) {
        struct timespec t = {0, number * 1000000};
        for (long i = strtol(end, NULL, 10); i > 0; i--) nanosleep(&t, NULL);
        clock_gettime(CLOCK_REALTIME, &t);
        printf("%ld\n", t.tv_nsec);
    } else if (!strncmp(what, "spin", 4)) {
        for (volatile long i = 0;; i++)
            if (i % 1000000 == 0) fprintf(stderr, "still\n"), fflush(stderr);
    } else if (!strncmp(what, "exit", 4)) {
        exit((int)number);
    } else if (!strncmp(what, "files", 5)) {
        files();
    } else {
        fwrite(input, 1, n, stdout);
    }
    unsigned char random[8];
    getentropy(random, sizeof random);
    for (int i = 0; i < 8; i++) printf("%02x", random[i]);
    fflush(stdout);
    fflush(stderr);
}
