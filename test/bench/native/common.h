/* What the load generators share: a monotonic clock, sleeping till a moment, arguments, ways to
 * fail. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC 1000000000LL

/* Says which call failed and ends. */
static inline void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/* Sleeps: a generator that spun would take a core from what it measures. */
static inline void sleep_until(int64_t at_ns) {
    struct timespec t = {at_ns / NS_PER_SEC, at_ns % NS_PER_SEC};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}

/* Timers as exact as the kernel has them; the default lets them be 50 us late. */
static inline void want_exact_timers(void) {
    if (prctl(PR_SET_TIMERSLACK, 1UL) != 0)
        fail("prctl");
}

/*
 * A generator stands for another machine: it must not lose its turn to what it measures, or to
 * whatever else runs here. Nor must a receiver lose its turn to the generator that it shares a
 * processor with: its socket overflows then, and datagrams that passed would count as lost. Without
 * the right to it (root), they take their chances.
 */
static inline void want_priority(void) {
    struct sched_param priority = {.sched_priority = 1};
    if (sched_setscheduler(0, SCHED_FIFO, &priority) != 0)
        fprintf(stderr, "no real-time priority: %s\n", strerror(errno));
}

static inline double number_of(const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (*text == 0 || *end != 0 || value < 0) {
        fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return value;
}

static inline struct sockaddr_in address_of(const char *ip, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)number_of(port))};
    if (inet_pton(AF_INET, ip, &address.sin_addr) != 1) {
        fprintf(stderr, "not an IPv4 address: %s\n", ip);
        exit(2);
    }
    return address;
}

/* Buffers as big as asked for, whatever the limit (root); else as big as the limit. */
static inline void want_buffer(int fd, int force, int plain, int bytes) {
    if (setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof bytes) != 0 &&
        setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes) != 0)
        fail("setsockopt");
}

/* Tells whoever started this program that it listens. */
static inline void say_ready(void) {
    puts("ready");
    fflush(stdout);
}

#endif
