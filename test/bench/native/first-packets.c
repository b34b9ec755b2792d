/*
 * The first packets of a flow, with the moment at which each passed the client's device.
 *
 *   first-packets serve IP PORT                   answers by UDP and by TCP until it is killed
 *   first-packets ask udp|tcp IP PORT QUESTIONS   prints a JSON object, then waits to be killed
 *
 * A question is sent as soon as the one before was answered. `times_us` has a moment for each
 * packet of the flow in either direction, 0 for the first one: those that a packet socket sees at
 * eth0, with the kernel's own time stamps. The flow stays open until the process is killed, so that
 * nothing of its end is on the way before who asked has looked.
 */
#include "common.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>

#define QUESTION_BYTES 8
#define EVENTS 16
#define BACKLOG 64
#define PACKETS_MAX 1024
/* IP and TCP headers with all options, of which the ports are read. */
#define HEAD_BYTES 120
#define PATIENCE_US 500000

static void watch(int poll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl");
}

static int listen_at(const struct sockaddr_in *at, int type) {
    int fd = socket(AF_INET, type, 0), one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (const struct sockaddr *)at, sizeof *at) != 0 ||
        (type == SOCK_STREAM && listen(fd, BACKLOG) != 0))
        fail("listen");
    return fd;
}

_Noreturn static void run_server(char **arguments) {
    struct sockaddr_in at = address_of(arguments[0], arguments[1]);
    int datagrams = listen_at(&at, SOCK_DGRAM);
    int listener = listen_at(&at, SOCK_STREAM);
    int poll = epoll_create1(0), on = 1;
    /* The kernel begins to stamp some time after the first socket asks for it, so one of ours does
     * before the askers. */
    if (poll < 0 || setsockopt(datagrams, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0)
        fail("epoll_create1");
    watch(poll, datagrams);
    watch(poll, listener);
    say_ready();
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            char question[QUESTION_BYTES];
            struct sockaddr_in from;
            socklen_t from_bytes = sizeof from;
            int fd = events[i].data.fd, one = 1;
            if (fd == listener) {
                int made = accept(listener, NULL, NULL);
                if (made < 0)
                    continue;
                setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                watch(poll, made);
                continue;
            }
            ssize_t got =
                recvfrom(fd, question, sizeof question, 0, (struct sockaddr *)&from, &from_bytes);
            if (fd == datagrams && got >= 0)
                sendto(fd, question, (size_t)got, 0, (struct sockaddr *)&from, from_bytes);
            else if (got > 0)
                send(fd, question, (size_t)got, MSG_NOSIGNAL);
            else if (fd != datagrams)
                close(fd);
        }
    }
}

/* Sees what passes eth0, either way, from now on. */
static int open_sniffer(void) {
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex("eth0")};
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, htons(ETH_P_ALL)), one = 1;
    if (fd < 0 || at.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) != 0)
        fail("packet socket");
    return fd;
}

/* Whether it is a packet of the flow that has this port at our end. */
static bool is_of_flow(const uint8_t *head, size_t bytes, int protocol, uint16_t port) {
    const struct iphdr *ip = (const struct iphdr *)head;
    if (bytes < sizeof *ip || ip->version != 4 || ip->protocol != protocol)
        return false;
    size_t ports = (size_t)ip->ihl * 4;
    uint16_t source, destination;
    if (bytes < ports + 4)
        return false;
    memcpy(&source, head + ports, sizeof source);
    memcpy(&destination, head + ports + 2, sizeof destination);
    return source == port || destination == port;
}

/* Returns the time of the next packet of the flow in ns; 0 if there is none. */
static int64_t next_packet(int sniffer, int protocol, uint16_t port) {
    for (;;) {
        _Alignas(struct iphdr) uint8_t head[HEAD_BYTES];
        _Alignas(struct cmsghdr) uint8_t control[256];
        struct iovec vector = {head, sizeof head};
        struct msghdr message = {.msg_iov = &vector,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t bytes = recvmsg(sniffer, &message, 0);
        if (bytes < 0)
            return 0;
        if (!is_of_flow(head, (size_t)bytes, protocol, port))
            continue;
        for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one != NULL;
             one = CMSG_NXTHDR(&message, one)) {
            struct timespec at;
            if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_TIMESTAMPNS)
                continue;
            memcpy(&at, CMSG_DATA(one), sizeof at);
            return at.tv_sec * NS_PER_SEC + at.tv_nsec;
        }
    }
}

static void print_times(int sniffer, int protocol, uint16_t port) {
    int64_t first = 0;
    printf("{\"times_us\":[");
    for (int i = 0; i < PACKETS_MAX; i++) {
        int64_t at = next_packet(sniffer, protocol, port);
        if (at == 0)
            break;
        if (i == 0)
            first = at;
        printf("%s%.3f", i == 0 ? "" : ",", (double)(at - first) / 1e3);
    }
    puts("]}");
    fflush(stdout);
}

_Noreturn static void run_asker(char **arguments) {
    bool is_tcp = strcmp(arguments[0], "tcp") == 0;
    struct sockaddr_in to = address_of(arguments[1], arguments[2]), own;
    socklen_t own_bytes = sizeof own;
    int questions = (int)number_of(arguments[3]), one = 1;
    int sniffer = open_sniffer();
    int fd = socket(AF_INET, is_tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
    struct timeval patience = {0, PATIENCE_US};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        getsockname(fd, (struct sockaddr *)&own, &own_bytes) != 0)
        fail("connect");
    if (is_tcp && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        fail("TCP_NODELAY");
    for (int i = 0; i < questions; i++) {
        char question[QUESTION_BYTES] = {0};
        if (send(fd, question, sizeof question, MSG_NOSIGNAL) != sizeof question)
            fail("send");
        for (size_t got = 0; got < sizeof question;) {
            ssize_t bytes = recv(fd, question + got, sizeof question - got, 0);
            if (bytes <= 0)
                fail("recv");
            got += (size_t)bytes;
        }
    }
    print_times(sniffer, is_tcp ? IPPROTO_TCP : IPPROTO_UDP, own.sin_port);
    for (;;)
        pause();
}

int main(int count, char **arguments) {
    if (count == 4 && strcmp(arguments[1], "serve") == 0)
        run_server(arguments + 2);
    bool is_known =
        count == 6 && (strcmp(arguments[2], "udp") == 0 || strcmp(arguments[2], "tcp") == 0);
    if (is_known && strcmp(arguments[1], "ask") == 0)
        run_asker(arguments + 2);
    fputs("usage: first-packets serve IP PORT | first-packets ask udp|tcp IP PORT QUESTIONS\n",
          stderr);
    return 2;
}
