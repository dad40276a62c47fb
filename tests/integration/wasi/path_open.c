#include "case.h"

#define TRY(path, oflags) open_with(ROOT, 0, path, oflags, ALL & ~((oflags)&DIRECTORY ? R(FD_WRITE) : 0), 0)

static void flags_of_existing(void)
{
    IS(TRY("hello.txt", 0), OK);
    IS(TRY("hello.txt", CREAT), OK);
    IS(TRY("hello.txt", CREAT | EXCL), E(EXIST));
    IS(TRY("hello.txt", CREAT | EXCL | TRUNC), E(EXIST));
    IS(stat_of("hello.txt").size, 11);
    IS(TRY("hello.txt", DIRECTORY), E(NOTDIR));
    TRUE(TRY("hello.txt", DIRECTORY | TRUNC) != OK);
    IS(stat_of("hello.txt").size, 11);
    IS(TRY("sub", DIRECTORY), OK);
    IS(fd_of(opened).type, __WASI_FILETYPE_DIRECTORY);
    IS(open_with(ROOT, 0, "sub", 0, R(FD_READ), 0), OK);
    IS(open_with(ROOT, 0, "sub", 0, 0, 0), OK);
    IS(open_with(ROOT, 0, ".", 0, 0, __WASI_FDFLAGS_NONBLOCK), OK);
    IS(open_with(ROOT, 0, "sub", 0, R(FD_READ) | R(FD_WRITE), 0), E(ISDIR));
    IS(open_with(ROOT, 0, "sub", DIRECTORY, R(FD_READ) | R(FD_WRITE), 0), E(ISDIR));
    IS(open_with(ROOT, 0, ".", DIRECTORY, fd_of(ROOT).rights, 0), OK);
    IS(open_with(ROOT, 0, "sub", TRUNC, 0, 0), E(ISDIR));
    IS(open_with(ROOT, 0, "sub", CREAT, R(FD_READ), 0), E(ISDIR));
    IS(TRY("sub", CREAT | EXCL), E(EXIST));
    EITHER(TRY("sub", CREAT | DIRECTORY), E(INVAL), E(ISDIR));
    IS(TRY("hello.txt", TRUNC), OK);
    IS(stat_of("hello.txt").size, 0);
}

static void flags_of_new(void)
{
    IS(TRY("new", 0), E(NOENT));
    IS(TRY("new", TRUNC), E(NOENT));
    IS(TRY("new", DIRECTORY), E(NOENT));
    IS(TRY("new", EXCL), E(NOENT));
    EITHER(TRY("new", CREAT | DIRECTORY), E(INVAL), E(NOTDIR));
    TRUE(!IS_THERE("new"));
    IS(TRY("new", CREAT | EXCL | TRUNC), OK);
    IS(stat_of("new").type, __WASI_FILETYPE_REGULAR_FILE);
    IS(TRY("none/new", CREAT), E(NOENT));
    IS(TRY("new/x", CREAT), E(NOTDIR));
    IS(TRY("slash/", CREAT), E(ISDIR));
    EITHER(TRY("new/", 0), E(NOTDIR), E(NOENT));
    EITHER(TRY("new///", 0), E(NOTDIR), E(NOENT));
}

static void links(void)
{
    LINK("sub", "dir-link");
    LINK("new", "link");
    LINK("made", "dangling");
    LINK("loop", "loop");
    IS(TRY("link", 0), E(LOOP));
    IS(TRY("link", CREAT), E(LOOP));
    EITHER(TRY("dir-link", DIRECTORY), E(LOOP), E(NOTDIR));
    IS(open_with(ROOT, FOLLOW, "link", 0, ALL, 0), OK);
    IS(open_with(ROOT, FOLLOW, "link", DIRECTORY, 0, 0), E(NOTDIR));
    IS(open_with(ROOT, FOLLOW, "dir-link", DIRECTORY, 0, 0), OK);
    IS(TRY("dir-link/inner.txt", 0), OK);
    IS(TRY("loop", 0), E(LOOP));
    IS(open_with(ROOT, FOLLOW, "loop", 0, 0, 0), E(LOOP));
    IS(open_with(ROOT, FOLLOW, "dangling", 0, 0, 0), E(NOENT));
    IS(TRY("dangling", CREAT | EXCL), E(EXIST));
    IS(open_with(ROOT, FOLLOW, "dangling", CREAT | EXCL, 0, 0), E(EXIST));
    TRUE(!IS_THERE("made"));
    IS(open_with(ROOT, FOLLOW, "dangling", CREAT, 0, 0), OK);
    TRUE(IS_THERE("made"));
    LINK("../sub/..", "sub/up");
    IS(open_with(ROOT, 0, "sub/up/sub/up/hello.txt", 0, 0, 0), OK);
    IS(open_with(OPEN("sub", DIRECTORY), FOLLOW, "up", 0, 0, 0), E(PERM)); /* from there, it leads out */
}

static void test(void)
{
    u32 lowest = OPEN("hello.txt", 0);
    IS(lowest, ROOT + 1);
    IS(w_fd_close(lowest), OK);
    flags_of_existing();
    flags_of_new();
    links();
    /* Paths. */
    IS(TRY("sub/.//../sub/./inner.txt", 0), OK);
    IS(TRY("sub///", DIRECTORY), OK);
    EITHER(TRY("/hello.txt", 0), E(PERM), E(NOTCAPABLE));
    EITHER(TRY("../fs.dir/hello.txt", 0), E(PERM), E(NOTCAPABLE));
    EITHER(TRY("sub/../../fs.dir/hello.txt", 0), E(PERM), E(NOTCAPABLE));
    EITHER(open_with(OPEN("sub", DIRECTORY), 0, "../hello.txt", 0, 0, 0), E(PERM), E(NOTCAPABLE));
    IS(TRY("", 0), E(NOENT));
    u32 fd;
    EITHER(w_path_open(ROOT, 0, P("hello.txt\0"), 10, 0, 0, 0, 0, P(&fd)), E(INVAL), E(ILSEQ));
    static char name[5000];
    memset(name, 'n', sizeof name);
    IS(w_path_open(ROOT, 0, P(name), 255, 0, 0, 0, 0, P(&fd)), E(NOENT));
    IS(w_path_open(ROOT, 0, P(name), 256, 0, 0, 0, 0, P(&fd)), E(NAMETOOLONG));
    IS(w_path_open(ROOT, 0, P(name), sizeof name, 0, 0, 0, 0, P(&fd)), E(NAMETOOLONG));
    /* Arguments. */
    IS(open_with(ROOT, 2, "new", 0, 0, 0), E(INVAL));
    IS(open_with(ROOT, 0, "new", 16, 0, 0), E(INVAL));
    IS(open_with(ROOT, 0, "new", 0, 0, 32), E(INVAL));
    IS(open_with(NEVER, 0, "new", 0, 0, 0), E(BADF));
    IS(open_with(0, 0, "new", 0, 0, 0), E(NOTDIR));
    IS(open_with(OPEN("new", 0), 0, "new", 0, 0, 0), E(NOTDIR));
    IS(w_path_open(ROOT, 0, END - 2, 3, 0, 0, 0, 0, P(&fd)), E(FAULT));
    IS(w_path_open(ROOT, 0, S("never"), CREAT, 0, 0, 0, END - 3), E(FAULT));
    TRUE(!IS_THERE("never"));
    /* What was not asked for can't be done. */
    IS(open_with(ROOT, 0, "new", 0, R(FD_WRITE), 0), OK);
    IS(write_to(opened, "x"), OK);
    EITHER(read_from(opened, 1), (u64)E(NOTCAPABLE) << 32, (u64)E(BADF) << 32);
    /* Two descriptors of one file have positions of their own. */
    u32 one = OPEN("new", 0), two = OPEN("new", 0);
    IS(read_from(one, 1), 1);
    IS(read_from(two, 1), 1);
    /* There is an end of descriptors, and none is lost there. */
    u32 n = 0, err;
    while ((err = TRY("new", 0)) == OK && n < 100000) n++;
    EITHER(err, E(MFILE), E(NFILE));
    err = TRY("never", CREAT);
    EITHER(err, E(MFILE), E(NFILE));
    TRUE(!IS_THERE("never"));
    IS(w_fd_close(one), OK);
    IS(OPEN("new", 0), one);
}
