/* Prepared ahead of time, and reads files in its runs: libc asks for the folders that are there in _initialize. */
#include <stdio.h>
#include <stdlib.h>

static char greeting[32];

__attribute__((export_name("warm_up"))) void warm_up(void) { snprintf(greeting, sizeof greeting, "prepared"); }
__attribute__((export_name("too_early"))) void too_early(void) { (void)fopen("/words.txt", "r"); }
__attribute__((export_name("by_argument"))) int by_argument(int x) { return x; }

int handle_event(void)
{
    char word[32] = "";
    FILE *words = fopen("/words.txt", "r"), *scratch = fopen("/tmp/scratch", "w");
    if (!words || !scratch || fscanf(words, "%31s", word) != 1) return 1;
    printf("%s %s", greeting, word);
    return fflush(stdout) == 0 ? 0 : 2;
}
