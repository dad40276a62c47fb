/* nexus_flush.h: what a function wrote to stdout goes out when handle_event returns.
 * Why:   stdio keeps it until the end of main(), and a function has none. `nexus build` includes this file before every C file ($WASI_CFLAGS).
 * Where: the node calls the export __nexus_flush after handle_event. The C library's own flush is there only in programs that use stdio; in
 *        others this does nothing, and pulls nothing in. */
#ifndef __ASSEMBLER__
#ifdef __cplusplus
extern "C" {
#endif
__attribute__((weak)) void __stdio_exit(void);
__attribute__((weak, export_name("__nexus_flush"))) void __nexus_flush(void);
void __nexus_flush(void)
{
    if (__stdio_exit) __stdio_exit();
}
#ifdef __cplusplus
}
#endif
#endif
