#include <stdio.h>

/* Called for every event: its data on stdin, the answer on stdout, log lines on stderr. */
__attribute__((export_name("handle_event"))) void handle_event(void)
{
    char piece[4096];
    size_t n;

    fputs("Processing user event\n", stderr);

    fputs("Processed: ", stdout);
    while ((n = fread(piece, 1, sizeof piece, stdin)) > 0)
        fwrite(piece, 1, n, stdout);
}
