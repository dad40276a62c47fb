/* tests/fuzz/corpus_main.c: runs a fuzz target once over every file of the folders named on the command line.
 * Why:       inputs that once crashed a parser stay tests in every build, also with compilers that have no libFuzzer. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Returns 0, or -1 where the file can't be read. */
static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat st;
    uint8_t *data = NULL;
    int result = -1;

    if (file == NULL || fstat(fileno(file), &st) != 0) {
        goto out;
    }
    size_t size = (size_t)st.st_size;
    /* Exactly as large as the input, so that a sanitizer sees the first byte read past its end. */
    data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        goto out;
    }
    LLVMFuzzerTestOneInput(data, size);
    result = 0;
out:
    free(data);
    if (file != NULL) {
        fclose(file);
    }
    return result;
}

int main(int argc, char **argv)
{
    unsigned files = 0;

    if (LLVMFuzzerInitialize != NULL) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (folder == NULL) {
            continue; /* a fuzzer without a corpus yet */
        }
        for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
            char path[4096];
            if (entry->d_type != DT_REG || snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name) >= (int)sizeof(path)) {
                continue;
            }
            if (run_file(path) != 0) {
                fprintf(stderr, "cannot read %s\n", path);
                return 1;
            }
            files++;
        }
        closedir(folder);
    }
    printf("%u inputs, no crash\n", files);
    return 0;
}
