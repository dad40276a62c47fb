#include "case.h"

#define LINKS 32000 /* of one file */

static char name[16];
static const char *numbered(u32 folder, u32 i)
{
    u32 at = 0;
    for (u32 unit = 100; unit; unit /= 10) name[at++] = (char)('0' + folder / unit % 10);
    name[at++] = '/';
    for (u32 unit = 100; unit; unit /= 10) name[at++] = (char)('0' + i / unit % 10);
    name[at] = 0;
    return name;
}

static void test(void)
{
    FILE_OF("file", "x");
    u32 n = 1;
    for (u32 folder = 0; folder < 40; folder++) {
        numbered(folder, 0);
        name[3] = 0;
        FOLDER(name);
        for (u32 i = 0; i < 800 && n < LINKS; i++, n++) IS(w_path_link(ROOT, 0, S("file"), ROOT, S(numbered(folder, i))), OK);
    }
    IS(stat_of("file").links, LINKS);
    IS(w_path_link(ROOT, 0, S("file"), ROOT, S("one-more")), E(MLINK));
    IS(w_path_unlink_file(ROOT, S("000/000")), OK);
    IS(w_path_link(ROOT, 0, S("file"), ROOT, S("one-more")), OK);
}
