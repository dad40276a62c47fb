/* What programs do with files through libc: streams with buffers, listings, positions of their own, appending, times. */
#include "case.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void streams(void)
{
    char buf[8];
    FILE *f = fopen("fs.dir/hello.txt", "r");
    TRUE(f != NULL);
    if (!f) return;
    IS(isatty(fileno(f)), 0);
    IS(fread(buf, 1, 4, f), 4);
    fflush(f);
    IS(lseek(fileno(f), 0, SEEK_CUR), 4); /* what was read ahead is given back */
    IS(fgetc(f), 'o');
    fflush(f);
    IS(lseek(fileno(f), 0, SEEK_CUR), 5);
    IS(fseek(f, -5, SEEK_END), 0);
    IS(ftell(f), 6);
    IS(fread(buf, 1, 8, f), 5);
    TRUE(memcmp(buf, "world", 5) == 0 && feof(f));
    IS(fclose(f), 0);
    f = fopen("fs.dir/hello.txt", "wx");
    TRUE(!f && errno == EEXIST);
    f = fopen("fs.dir/lines", "w+");
    TRUE(f != NULL);
    if (!f) return;
    for (int i = 0; i < 5000; i++) fprintf(f, "line %d\n", i);
    rewind(f);
    int last = -1, n = 0;
    while (fscanf(f, "line %d\n", &last) == 1) n++;
    IS(n, 5000);
    IS(last, 4999);
    IS(fclose(f), 0);
}

static void positions(void)
{
    char buf[16];
    int fd = open("fs.dir/at", O_CREAT | O_EXCL | O_WRONLY);
    TRUE(fd >= 0);
    IS(pwrite(fd, "very long text", 14, 0), 14);
    IS(pwrite(fd, "test", 4, 3), 4);
    IS(lseek(fd, 0, SEEK_CUR), 0);
    IS(read(fd, buf, 1), -1);
    TRUE(errno == EBADF || errno == ENOTCAPABLE);
    IS(close(fd), 0);
    fd = open("fs.dir/at", O_RDONLY);
    IS(pread(fd, buf, 16, 2), 12);
    TRUE(memcmp(buf, "rtestng text", 12) == 0);
    IS(read(fd, buf, 16), 14);
    TRUE(memcmp(buf, "vertestng text", 14) == 0);
    IS(close(fd), 0);
    fd = open("fs.dir/at", O_WRONLY | O_APPEND);
    IS(lseek(fd, 0, SEEK_SET), 0);
    IS(write(fd, "+", 1), 1);
    IS(lseek(fd, 0, SEEK_CUR), 15);
    IS(ftruncate(fd, 3), 0);
    IS(write(fd, "+", 1), 1);
    IS(lseek(fd, 0, SEEK_END), 4);
    IS(close(fd), 0);
    IS(truncate("fs.dir/at", 100), 0);
    struct stat s;
    IS(stat("fs.dir/at", &s), 0);
    IS(s.st_size, 100);
}

static void listings(void)
{
    int fd = open("fs.dir/sub", O_RDONLY | O_DIRECTORY), n = 0;
    IS(close(openat(fd, "second.txt", O_CREAT | O_WRONLY)), 0);
    DIR *d = fdopendir(fd);
    TRUE(d != NULL);
    if (!d) return;
    ino_t seen[2] = {0};
    for (const struct dirent *e; (e = readdir(d));) {
        struct stat s;
        if (e->d_name[0] == '.') continue; /* from `fd`, ".." leads out */
        IS(fstatat(fd, e->d_name, &s, AT_SYMLINK_NOFOLLOW), 0);
        IS(e->d_ino, s.st_ino);
        if (n < 2) seen[n++] = e->d_ino;
    }
    IS(n, 2);
    TRUE(seen[0] != seen[1]);
    rewinddir(d);
    TRUE(readdir(d) != NULL);
    IS(closedir(d), 0);
    struct stat one, two;
    IS(stat("fs.dir/sub/inner.txt", &one), 0);
    IS(stat("fs.dir/hello.txt", &two), 0);
    TRUE(one.st_dev == two.st_dev && one.st_ino != two.st_ino);
}

static void test(void)
{
    streams();
    positions();
    listings();
    IS(access("fs.dir/none", F_OK), -1);
    IS(errno, ENOENT);
    IS(access("fs.dir/hello.txt", R_OK | W_OK), 0);
    IS(mkdir("fs.dir/d", 0777), 0);
    IS(mkdir("fs.dir/d", 0777), -1);
    IS(errno, EEXIST);
    IS(rename("fs.dir/hello.txt", "fs.dir/d/moved"), 0);
    IS(link("fs.dir/d/moved", "fs.dir/twin"), 0);
    IS(symlink("d/moved", "fs.dir/soft"), 0);
    char buf[16];
    IS(readlink("fs.dir/soft", buf, sizeof buf), 7);
    struct stat s;
    IS(stat("fs.dir/soft", &s), 0);
    IS(s.st_nlink, 2);
    IS(lstat("fs.dir/soft", &s), 0);
    TRUE(S_ISLNK(s.st_mode));
    const struct timespec times[2] = {{1, 2}, {3, 4}};
    IS(utimensat(AT_FDCWD, "fs.dir/twin", times, 0), 0);
    IS(stat("fs.dir/d/moved", &s), 0);
    IS(s.st_mtim.tv_sec, 3);
    IS(s.st_mtim.tv_nsec, 4);
    IS(rmdir("fs.dir/d"), -1);
    IS(errno, ENOTEMPTY);
    IS(remove("fs.dir/d/moved"), 0);
    IS(remove("fs.dir/d"), 0);
    IS(open("fs.dir/soft", O_RDONLY), -1);
    IS(errno, ENOENT);
    IS(open("fs.dir/soft", O_RDONLY | O_NOFOLLOW), -1);
    IS(errno, ELOOP);
    IS(open("elsewhere/x", O_RDONLY), -1);
    IS(errno, ENOTCAPABLE);
    IS(open("fs.dir/../../etc/passwd", O_RDONLY), -1);
    TRUE(errno == ENOTCAPABLE || errno == EPERM);
}
