// Reads a counter, counts it up, and emits an event with the old value and what it was sent: everything it does outside is recorded.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nexus.h"

#ifndef STEP
#define STEP 1
#endif

void handle_event(void)
{
    char input[512], text[1024];
    size_t n = fread(input, 1, sizeof input - 1, stdin);
    input[n] = 0;
    nexus_text value = {NULL, 0};
    uint64_t revision = 0;
    nexus_status s = nexus_kv_get("counters", "seen", &value, &revision);
    long seen = s == NEXUS_OK ? strtol(value.p, NULL, 10) : 0;
    (void)snprintf(text, sizeof text, "%ld %s", seen + 1, input);
    nexus_kv_put("counters", "seen", text, strlen(text), -1, NULL);
    (void)snprintf(text, sizeof text, "%ld", seen * STEP);
    nexus_emit("counted", NULL, NULL, "text/plain", text, strlen(text));
    printf("{\"status\": %d, \"seen\": %ld, \"held\": \"%s\"}\n", (int)s, seen, value.p ? value.p : "");
    fflush(stdout);
    free(value.p);
}
