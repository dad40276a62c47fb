#include "case.h"

typedef struct dirent {
    u64 next, ino;
    u32 name_n;
    u8 type;
} dirent;
_Static_assert(sizeof(dirent) == 24, "as the specification lays it out");

static u8 buf[1 << 16];

/* All entries, read with a buffer of that size; each must be there once. Returns their number. */
static u32 count(u32 fd, u32 room)
{
    u32 n = 0, used;
    u64 cookie = 0;
    do {
        u32 at = 0, n_before = n;
        memset(buf, 0xee, room + 1);
        IS(w_fd_readdir(fd, P(buf), room, cookie, P(&used)), OK);
        TRUE(used <= room && buf[room] == 0xee);
        while (at + 24 <= used) {
            dirent d;
            memcpy(&d, buf + at, 24);
            if (at + 24 + d.name_n > used) break; /* cut: it comes again */
            at += 24 + d.name_n;
            cookie = d.next;
            n++;
        }
        if (used == room && n == n_before) return NEVER; /* the buffer is too small for one */
    } while (used == room);
    return n;
}

static void test(void)
{
    FOLDER("d");
    u32 fd = OPEN("d", DIRECTORY), used = 77;
    IS(count(fd, 4096), 2);
    dirent d;
    IS(w_fd_readdir(fd, P(buf), 4096, 0, P(&used)), OK);
    memcpy(&d, buf, 24);
    IS(d.name_n, 1);
    IS(buf[24], '.');
    IS(d.type, __WASI_FILETYPE_DIRECTORY);
    IS(d.ino, stat_of("d").ino);
    u64 second = d.next;
    memcpy(&d, buf + 25, 24);
    IS(d.name_n, 2);
    TRUE(memcmp(buf + 49, "..", 2) == 0);
    IS(d.ino, stat_of(".").ino);
    IS(used, 51);
    u64 third = d.next;
    IS(w_fd_readdir(fd, P(buf), 4096, third, P(&used)), OK);
    IS(used, 0);
    FILE_OF("d/file", "x");
    LINK("file", "d/link");
    FOLDER("d/dir");
    IS(count(fd, 4096), 5);
    IS(w_fd_readdir(fd, P(buf), 4096, second, P(&used)), OK); /* from the second on */
    TRUE(memcmp(buf + 24, "..", 2) == 0);
    IS(w_fd_readdir(fd, P(buf), 4096, third, P(&used)), OK);
    u32 types = 0;
    for (u32 at = 0; at < used; at += 24 + d.name_n) {
        char path[40] = "d/";
        memcpy(&d, buf + at, 24);
        memcpy(path + 2, buf + at + 24, d.name_n);
        IS(d.ino, stat_of(path).ino);
        IS(d.type, stat_of(path).type);
        types |= 1u << d.type;
    }
    IS(types, 1u << __WASI_FILETYPE_DIRECTORY | 1u << __WASI_FILETYPE_REGULAR_FILE | 1u << __WASI_FILETYPE_SYMBOLIC_LINK);
    /* Small buffers: cut anywhere, and the rest comes again. */
    for (u32 room = 28; room < 200; room++) IS(count(fd, room), 5);
    IS(w_fd_readdir(fd, P(buf), 10, 0, P(&used)), OK);
    IS(used, 10);
    IS(w_fd_readdir(fd, P(buf), 0, 0, P(&used)), OK);
    IS(used, 0);
    IS(w_fd_readdir(fd, P(buf), 4096, ALL, P(&used)), OK); /* behind all */
    IS(used, 0);
    /* Going on behind an entry that is gone. */
    IS(w_fd_readdir(fd, P(buf), 4096, third, P(&used)), OK);
    memcpy(&d, buf, 24);
    char first[40] = "d/";
    memcpy(first + 2, buf + 24, d.name_n);
    if (stat_of(first).type == __WASI_FILETYPE_DIRECTORY) IS(w_path_remove_directory(ROOT, S(first)), OK);
    else IS(w_path_unlink_file(ROOT, S(first)), OK);
    u32 before = used - 24 - d.name_n;
    IS(w_fd_readdir(fd, P(buf), 4096, d.next, P(&used)), OK);
    IS(used, before);
    /* Many. */
    FOLDER("many");
    u32 many = OPEN("many", DIRECTORY);
    for (u32 i = 0; i < 1000; i++) {
        char name[] = "many/f000";
        name[6] = (char)('0' + i / 100);
        name[7] = (char)('0' + i / 10 % 10);
        name[8] = (char)('0' + i % 10);
        IS(w_fd_close(OPEN(name, CREAT | EXCL)), OK);
    }
    IS(count(many, 256), 1002);
    IS(count(many, 65535), 1002);
    IS(w_fd_readdir(NEVER, P(buf), 100, 0, P(&used)), E(BADF));
    IS(w_fd_readdir(OPEN("hello.txt", 0), P(buf), 100, 0, P(&used)), E(NOTDIR));
    TRUE(w_fd_readdir(0, P(buf), 100, 0, P(&used)) != OK);
    IS(w_fd_readdir(fd, END - 10, 11, 0, P(&used)), E(FAULT));
    IS(w_fd_readdir(fd, P(buf), 100, 0, END - 3), E(FAULT));
    IS(open_with(ROOT, 0, "d", DIRECTORY, R(PATH_OPEN), 0), OK);
    IS(w_fd_readdir(opened, P(buf), 100, 0, P(&used)), E(NOTCAPABLE));
}
