#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Runs for every order.priced, whoever published it. TRACE_ID is that of the order that began it all. */
int main(void)
{
    char event[4096];
    size_t n = fread(event, 1, sizeof event - 1, stdin);
    event[n] = 0;

    const char *total = strstr(event, "\"total_cents\":");
    if (!total) {
        fprintf(stderr, "no total in event %s\n", getenv("EVENT_ID"));
        return 1;
    }
    unsigned long cents = strtoul(total + strlen("\"total_cents\":"), NULL, 10);
    const char *id = getenv("EVENT_ID");
    size_t length = strlen(id);
    fprintf(stderr, "invoice over %lu.%02lu written\n", cents / 100, cents % 100);
    printf("{\"invoice\": \"INV-%s\", \"total_cents\": %lu}\n", id + (length > 8 ? length - 8 : 0), cents);
    return 0;
}
