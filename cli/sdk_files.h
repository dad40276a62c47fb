/* sdk_files.h: the SDKs' files (sdk/), which the build puts into the program. */
#ifndef NX_CLI_SDK_FILES_H
#define NX_CLI_SDK_FILES_H
#include "nx/slice.h"

extern const nx_slice nx_cli_sdk_rust, nx_cli_sdk_c;
#endif
