/*
 * Asks for huge pages for memory of JavaScript.
 *
 * Theory of operation
 *
 * In a table of hundreds of megabytes with pages of 4 KiB, nearly every access misses the
 * processor's cache of page addresses. It waits for the page's address before it waits for the
 * page. With pages of 2 MiB all addresses fit the cache. madvise(MADV_HUGEPAGE) asks for them.
 * The kernel gives them when the memory is first written, if it has any, and pages of 4 KiB
 * otherwise.
 *
 * It is only a wish. A kernel without such pages, or whose administrator wants none
 * (/sys/kernel/mm/transparent_hugepage/enabled), changes nothing but speed. So a refusal is no
 * error.
 */
#include "memory.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"

napi_value prefer_huge_pages(napi_env env, napi_callback_info info) {
    napi_value arguments[1], result;
    struct bytes memory;
    if (!read_arguments(env, info, 1, arguments) ||
        !read_bytes(env, arguments[0], "memory", &memory))
        return NULL;
    /* Only whole pages: the memory at the ends shares its pages with others. */
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = ((uintptr_t)memory.data + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)memory.data + memory.length) & ~(page - 1);
    bool taken = start < end && madvise((void *)start, end - start, MADV_HUGEPAGE) == 0;
    if (napi_get_boolean(env, taken, &result) != napi_ok)
        return throw_napi(env);
    return result;
}
