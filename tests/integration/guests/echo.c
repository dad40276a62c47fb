// Says what it was sent in every way that leaves a trace: output, log output, the words of its end.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void handle_event(void)
{
    char input[4096];
    size_t n = fread(input, 1, sizeof input - 1, stdin);
    input[n] = 0;
    printf("{\"echo\": %s, \"subject\": \"%s\"}\n", n ? input : "null", getenv("EVENT_SUBJECT"));
    fprintf(stderr, "log of %s\n", input);
    char *wide = strstr(input, "\"wrap\"");
    for (size_t i = 0; wide && i < n; i++) /* in lines of 13 characters */
        fprintf(stderr, i % 13 == 12 ? "%c\n" : "%c", input[i]);
    fflush(stdout);
    if (strstr(input, "\"fail\"")) exit(3);
}
