/* What every program of a sanitizer build runs with, so that it needs no environment: ASAN_OPTIONS and its kin only add to it.
 * The engine's shared library is not instrumented; clean means our own code. */

/* Called by the sanitizers' runtimes, which declare them nowhere for C. */
const char *__asan_default_options(void);
const char *__lsan_default_suppressions(void);
const char *__ubsan_default_options(void);
const char *__tsan_default_options(void);
const char *__tsan_default_suppressions(void);

/* The engine turns the faults of guests into traps, so SIGSEGV is its own; libfaketime may be preloaded before the runtime. */
const char *__asan_default_options(void)
{
    return "abort_on_error=1:handle_segv=0:allow_user_segv_handler=1:detect_stack_use_after_return=1:strict_string_checks=1:"
           "check_initialization_order=1:verify_asan_link_order=0";
}

/* The engine keeps tables for the life of the process (signal handlers, code registry). */
const char *__lsan_default_suppressions(void)
{
    return "leak:libwasmtime.so\n";
}

const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1:halt_on_error=1";
}

const char *__tsan_default_options(void)
{
    return "abort_on_error=1:halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1";
}

/* The engine's own locks are invisible, so what it calls is not judged. */
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libwasmtime.so\n";
}
