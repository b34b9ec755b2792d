/*
 * Ends the process at once.
 *
 * Theory of operation
 *
 * process.exit() of Node.js waits until every worker thread has returned to JavaScript. A packet
 * loop that waits in epoll_wait(2) does not return, and it keeps its devices open meanwhile.
 * _exit(2) ends all threads wherever they are, and the kernel closes their descriptors.
 *
 * Handlers of process 'exit' and atexit(3) do not run: when our own state is broken, none of our
 * code should run any more.
 */
#include "exit.h"

#include <unistd.h>

#include "arguments.h"

#define CODE_MAX 255

napi_value exit_now(napi_env env, napi_callback_info info) {
    napi_value arguments[1];
    int32_t code;
    if (!read_arguments(env, info, 1, arguments) ||
        !read_integer(env, arguments[0], "code", 0, CODE_MAX, &code))
        return NULL;
    _exit(code);
}
