/*
 * Closes descriptors (close.h), also many at once.
 *
 * To close the last descriptor of a TUN or TAP is to delete the interface, and the kernel waits
 * until no processor can see it any more: some 10 to 30 ms each. These waits may overlap, so
 * several threads close side by side. With 100 interfaces on a busy machine of 2 processors it
 * took 3.5 s one after the other, 0.45 s with 16 threads, and 1.5 s with 100 (Linux 6.18, November
 * 2026).
 */
#include "close.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"

#define THREADS_MAX 16

struct closing {
    struct words fds;
    atomic_size_t next;
    /* errno of a descriptor that could not be closed, and which it is. */
    atomic_int number;
    atomic_int failed;
};

/*
 * On Linux the descriptor is closed even after EINTR. A second close could hit another
 * descriptor.
 */
static int close_once(int fd) {
    return close(fd) == 0 || errno == EINTR ? 0 : errno;
}

static napi_value throw_unclosed(napi_env env, int fd, int number) {
    struct failure failure;
    fail(&failure, number, "close", NULL, "descriptor %d cannot be closed: %s", fd,
         strerror(number));
    return throw_failure(env, &failure);
}

napi_value close_fd(napi_env env, napi_callback_info info) {
    napi_value argument;
    int fd;
    if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
        return NULL;
    int number = close_once(fd);
    return number == 0 ? NULL : throw_unclosed(env, fd, number);
}

/* Closes one after the other of those that nobody has begun with. */
static void *run(void *argument) {
    struct closing *closing = argument;
    for (;;) {
        size_t at = atomic_fetch_add(&closing->next, 1);
        if (at >= closing->fds.length)
            return NULL;
        int number = close_once(closing->fds.data[at]);
        int none = 0;
        if (number != 0 && atomic_compare_exchange_strong(&closing->number, &none, number))
            atomic_store(&closing->failed, closing->fds.data[at]);
    }
}

/* Starts up to `wanted` threads that no signal can hit. Returns how many there are. */
static size_t start(pthread_t *threads, size_t wanted, struct closing *closing) {
    size_t started = 0;
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return 0;
    while (started < wanted && pthread_create(&threads[started], NULL, run, closing) == 0)
        started++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

napi_value close_fds(napi_env env, napi_callback_info info) {
    napi_value argument;
    struct closing closing = {.next = 0, .number = 0, .failed = -1};
    pthread_t threads[THREADS_MAX];
    if (!read_arguments(env, info, 1, &argument) || !read_words(env, argument, "fds", &closing.fds))
        return NULL;
    size_t count = closing.fds.length;
    /* This thread is one of them, and does it alone if there are no others to be had. */
    size_t more = count < THREADS_MAX ? count : THREADS_MAX;
    size_t started = more > 1 ? start(threads, more - 1, &closing) : 0;
    run(&closing);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    int number = atomic_load(&closing.number);
    return number == 0 ? NULL : throw_unclosed(env, atomic_load(&closing.failed), number);
}
