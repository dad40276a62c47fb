// Answers with all it can see of where and when it runs, and what it was sent: small enough that a bundle of it is kept with the tests.
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

void handle_event(void)
{
    char input[256];
    unsigned char random[8];
    struct timespec now;
    size_t n = fread(input, 1, sizeof input - 1, stdin);
    input[n] = 0;
    clock_gettime(CLOCK_REALTIME, &now);
    getentropy(random, sizeof random);
    printf("{\"input\": \"%zu bytes\", \"time\": \"%lld.%09ld\", \"random\": \"", n, (long long)now.tv_sec, now.tv_nsec);
    for (size_t i = 0; i < sizeof random; i++) printf("%02x", random[i]);
    printf("\", \"event\": \"%s\"}\n", getenv("EVENT_ID") ? getenv("EVENT_ID") : "");
    fprintf(stderr, "seen %zu bytes\n", n);
    if (input[0] == '!') exit(3);
    fflush(stdout);
}
