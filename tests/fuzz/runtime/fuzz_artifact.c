/* fuzz_artifact.c: bytes as an artifact, and as a section of files: what can be read is put together again to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "nx/rt_artifact.h"

#define OUT_BYTES (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_files(nx_slice section)
{
    nx_rt_tree *one = NULL, *two = NULL;
    nx_buf first = NX_BUF_INIT(OUT_BYTES), second = NX_BUF_INIT(OUT_BYTES);
    nx_error e = NX_ERROR_INIT;
    nx_rt_artifact parts;
    nx_slice module = NX_SLICE("\0asm\1\0\0\0");
    if (nx_rt_artifact_files(section, &one, &e)) {
        if (!e.msg[0]) abort();
        return;
    }
    if (nx_rt_artifact_join(module, NX_SLICE("go"), one, &first, &e) == NX_OK) {
        if (nx_rt_artifact_split(nx_buf_view(&first), &parts, &e) || parts.module.n != module.n) abort();
        if (parts.files.n) {
            if (nx_rt_artifact_files(parts.files, &two, &e) || nx_rt_artifact_join(module, NX_SLICE("go"), two, &second, &e)) abort();
            if (first.n != second.n || memcmp(first.p, second.p, first.n) != 0) abort();
        }
    }
    nx_rt_tree_free(one);
    nx_rt_tree_free(two);
    nx_buf_done(&first);
    nx_buf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_error e = NX_ERROR_INIT;
    nx_rt_artifact parts;
    nx_slice bytes = nx_slice_make(data, size);
    if (nx_rt_artifact_split(bytes, &parts, &e) == NX_OK && parts.files.n) read_files(parts.files);
    read_files(bytes);
    return 0;
}
