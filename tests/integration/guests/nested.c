/* Makes as many folders in one another as its input says, with a file in the last. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int handle_event(void)
{
    int n = 0, fd = open(".", O_RDONLY | O_DIRECTORY);
    if (scanf("%d", &n) != 1) return 1;
    for (; n > 0; n--) {
        if (mkdirat(fd, "dd", 0777) != 0) return 1;
        int next = openat(fd, "dd", O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = next;
    }
    fd = openat(fd, "last", O_CREAT | O_WRONLY);
    return fd >= 0 && write(fd, "x", 1) == 1 ? 0 : 1;
}
