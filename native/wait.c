/* Waits for descriptors with input, and wakes such a wait (wait.h). */
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"

/*
 * The most events of one wait. Others that are ready come with the next wait, before these come
 * again.
 */
#define EVENTS_MAX 128

#define READY_INPUT 1
#define READY_ERROR 2

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Makes an epoll instance. The kernel keeps the list, so a wait costs what is ready, not what is
 * watched.
 */
napi_value create_poller(napi_env env, napi_callback_info info) {
    (void)info;
    napi_value result;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) {
        struct failure failure;
        int number = errno;
        fail(&failure, number, "epoll_create1", NULL, "a poller cannot be made: %s",
             strerror(number));
        return throw_failure(env, &failure);
    }
    if (napi_create_int32(env, fd, &result) == napi_ok)
        return result;
    close(fd);
    return throw_napi(env);
}

static napi_value change_watch(napi_env env, int poller, int operation, int fd, int32_t number,
                               bool for_output) {
    struct epoll_event event = {.events = EPOLLIN | (for_output ? EPOLLOUT : 0u),
                                .data.u64 = (uint32_t)number};
    if (epoll_ctl(poller, operation, fd, &event) != 0) {
        struct failure failure;
        int error = errno;
        fail(&failure, error, "epoll_ctl", NULL, "descriptor %d cannot be %s: %s", fd,
             operation == EPOLL_CTL_DEL ? "left alone" : "watched", strerror(error));
        return throw_failure(env, &failure);
    }
    return NULL;
}

napi_value watch_input(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    int poller, fd;
    int32_t number;
    if (!read_arguments(env, info, 3, arguments) || !read_descriptor(env, arguments[0], &poller) ||
        !read_descriptor(env, arguments[1], &fd) ||
        !read_integer(env, arguments[2], "number", INT32_MIN, INT32_MAX, &number))
        return NULL;
    return change_watch(env, poller, EPOLL_CTL_ADD, fd, number, false);
}

napi_value unwatch_input(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    int poller, fd;
    if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &poller) ||
        !read_descriptor(env, arguments[1], &fd))
        return NULL;
    return change_watch(env, poller, EPOLL_CTL_DEL, fd, 0, false);
}

napi_value watch_output(napi_env env, napi_callback_info info) {
    napi_value arguments[4];
    int poller, fd;
    int32_t number;
    bool is_wanted;
    if (!read_arguments(env, info, 4, arguments) || !read_descriptor(env, arguments[0], &poller) ||
        !read_descriptor(env, arguments[1], &fd) ||
        !read_integer(env, arguments[2], "number", INT32_MIN, INT32_MAX, &number) ||
        !read_boolean(env, arguments[3], "isWanted", &is_wanted))
        return NULL;
    return change_watch(env, poller, EPOLL_CTL_MOD, fd, number, is_wanted);
}

/* epoll_wait(2) that a signal neither ends early nor prolongs. */
static int wait_until(int poller, struct epoll_event *found, int most, int timeout_ms) {
    int64_t deadline_ms = timeout_ms > 0 ? now_ms() + timeout_ms : 0;
    for (;;) {
        int ready = epoll_wait(poller, found, most, timeout_ms);
        if (ready >= 0 || errno != EINTR)
            return ready;
        if (timeout_ms > 0) {
            int64_t left_ms = deadline_ms - now_ms();
            timeout_ms = left_ms > 0 ? (int)left_ms : 0;
        }
    }
}

napi_value wait_for_watched(napi_env env, napi_callback_info info) {
    napi_value arguments[3], result;
    int poller;
    struct words events;
    int32_t timeout_ms;
    if (!read_arguments(env, info, 3, arguments) || !read_descriptor(env, arguments[0], &poller) ||
        !read_words(env, arguments[1], "events", &events) ||
        !read_integer(env, arguments[2], "timeoutMs", -1, INT_MAX, &timeout_ms))
        return NULL;
    size_t most = events.length / 2 < EVENTS_MAX ? events.length / 2 : EVENTS_MAX;
    if (most == 0) {
        throw_range(env, "events", "at least two words long");
        return NULL;
    }
    struct epoll_event found[EVENTS_MAX];
    int count = wait_until(poller, found, (int)most, timeout_ms);
    if (count < 0) {
        struct failure failure;
        int number = errno;
        fail(&failure, number, "epoll_wait", NULL, "waiting on poller %d failed: %s", poller,
             strerror(number));
        return throw_failure(env, &failure);
    }
    for (int i = 0; i < count; i++) {
        events.data[2 * i] = (int32_t)found[i].data.u64;
        events.data[2 * i + 1] =
            found[i].events & (EPOLLERR | EPOLLHUP) ? READY_ERROR : READY_INPUT;
    }
    return napi_create_int32(env, count, &result) == napi_ok ? result : throw_napi(env);
}

napi_value read_boot_clock(napi_env env, napi_callback_info info) {
    (void)info;
    struct timespec now;
    napi_value result;
    /* Linux has had it since 2.6.39, so it doesn't fail. */
    clock_gettime(CLOCK_BOOTTIME, &now);
    double ms = (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
    return napi_create_double(env, ms, &result) == napi_ok ? result : throw_napi(env);
}

napi_value set_batch_scheduling(napi_env env, napi_callback_info info) {
    napi_value argument, result;
    bool is_batch;
    if (!read_arguments(env, info, 1, &argument) ||
        !read_boolean(env, argument, "isBatch", &is_batch))
        return NULL;
    const struct sched_param no_priority = {0};
    /* 0 means the calling thread, not the process. */
    int policy = sched_getscheduler(0);
    bool is_ours = policy == (is_batch ? SCHED_OTHER : SCHED_BATCH);
    if (policy < 0 || (is_ours && sched_setscheduler(0, is_batch ? SCHED_BATCH : SCHED_OTHER,
                                                     &no_priority) != 0)) {
        struct failure failure;
        int number = errno;
        fail(&failure, number, "sched_setscheduler", NULL,
             "the scheduling policy of this thread cannot be changed: %s", strerror(number));
        return throw_failure(env, &failure);
    }
    return napi_get_boolean(env, is_ours, &result) == napi_ok ? result : throw_napi(env);
}

napi_value create_eventfd(napi_env env, napi_callback_info info) {
    (void)info;
    napi_value result;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        struct failure failure;
        int number = errno;
        fail(&failure, number, "eventfd", NULL, "an eventfd cannot be made: %s", strerror(number));
        return throw_failure(env, &failure);
    }
    if (napi_create_int32(env, fd, &result) == napi_ok)
        return result;
    close(fd);
    return throw_napi(env);
}

napi_value signal_eventfd(napi_env env, napi_callback_info info) {
    napi_value argument;
    int fd;
    if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
        return NULL;
    const uint64_t one = 1;
    ssize_t written;
    do
        written = write(fd, &one, sizeof one);
    while (written < 0 && errno == EINTR);
    /* EAGAIN: the counter is full, so it is already signalled. */
    if (written < 0 && errno != EAGAIN) {
        struct failure failure;
        int number = errno;
        fail(&failure, number, "write", NULL, "eventfd %d cannot be signalled: %s", fd,
             strerror(number));
        return throw_failure(env, &failure);
    }
    return NULL;
}

napi_value drain_eventfd(napi_env env, napi_callback_info info) {
    napi_value argument, result;
    int fd;
    if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
        return NULL;
    /* One read takes the whole counter. */
    uint64_t counter;
    ssize_t length;
    do
        length = read(fd, &counter, sizeof counter);
    while (length < 0 && errno == EINTR);
    if (length < 0 && errno != EAGAIN) {
        struct failure failure;
        int number = errno;
        fail(&failure, number, "read", NULL, "eventfd %d cannot be read: %s", fd, strerror(number));
        return throw_failure(env, &failure);
    }
    return napi_get_boolean(env, length > 0, &result) == napi_ok ? result : throw_napi(env);
}
