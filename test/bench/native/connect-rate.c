/*
 * TCP connections opened and closed, as many a second as there can be.
 *
 *   connect-rate serve IP PORT                        accepts, waits for the end, closes; until it
 * is killed connect-rate ask IP PORT IN_FLIGHT SECONDS        prints a JSON object
 *
 * A connection counts when it is made, closed by this side (FIN), closed by the other and seen to
 * be: seven segments. IN_FLIGHT of them are under way at any time. The kernel picks source ports;
 * with net.ipv4.tcp_tw_reuse it takes those of connections that ended a second ago.
 */
#include "common.h"

#include <sys/epoll.h>

#define EVENTS 64
#define BACKLOG 4096

_Noreturn static void run_server(char **arguments) {
    struct sockaddr_in at = address_of(arguments[0], arguments[1]);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int one = 1;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, BACKLOG) != 0)
        fail("listen");
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event) != 0)
        fail("epoll");
    say_ready();
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                close(fd);
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                event = (struct epoll_event){.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
                if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0)
                    fail("epoll");
            }
        }
    }
}

/* Starts one; its first event is that it is made or refused. */
static void open_one(int poll, const struct sockaddr_in *to) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        fail("socket");
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0 && errno != EINPROGRESS)
        fail("connect");
    struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll");
}

static int run_client(char **arguments) {
    struct sockaddr_in to = address_of(arguments[0], arguments[1]);
    int in_flight = (int)number_of(arguments[2]);
    double seconds = number_of(arguments[3]);
    int poll = epoll_create1(0);
    if (poll < 0)
        fail("epoll");
    for (int i = 0; i < in_flight; i++)
        open_one(poll, &to);
    uint64_t done = 0;
    uint64_t failed = 0;
    int64_t start = now_ns();
    int64_t end = start + (int64_t)(1e9 * seconds);
    int64_t now = start;
    while (now < end) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll, events, EVENTS, 100);
        now = now_ns();
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            int broken = (events[i].events & EPOLLERR) != 0;
            if (!broken && (events[i].events & EPOLLOUT)) {
                if (shutdown(fd, SHUT_WR) == 0) {
                    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
                    if (epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event) != 0)
                        fail("epoll");
                    continue;
                }
                broken = 1;
            }
            if (broken) {
                failed++;
            } else {
                done++;
            }
            close(fd);
            open_one(poll, &to);
        }
    }
    printf("{\"connections\":%llu,\"failed\":%llu,\"seconds\":%.6f}\n", (unsigned long long)done,
           (unsigned long long)failed, (double)(now - start) / 1e9);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 4 && strcmp(arguments[1], "serve") == 0)
        run_server(arguments + 2);
    if (count == 6 && strcmp(arguments[1], "ask") == 0)
        return run_client(arguments + 2);
    fputs("usage: connect-rate serve IP PORT | connect-rate ask IP PORT IN_FLIGHT SECONDS\n",
          stderr);
    return 2;
}
