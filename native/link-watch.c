/*
 * Tells when interfaces of a namespace come, go or change, and when guards are removed.
 *
 * Theory of operation
 *
 * rtnetlink sends a message for each interface that comes, goes or changes, and nf_tables for each
 * table that is removed. A socket hears those of the namespace that it was opened in. Node cannot
 * wait for a netlink socket: its event loop takes no other sockets than TCP, UDP and unix ones. So
 * a thread waits for both, and writes a record of fixed length for each message into a unix
 * socket, whose other end is JavaScript's. The thread shares no memory with anybody. It owns what
 * it has, and ends when the other end is closed.
 *
 * Nothing is thrown away here: while JavaScript does not read, the thread waits, and the messages
 * wait in the netlink sockets. What these cannot hold the kernel drops, and says so once
 * (ENOBUFS). Then a record says that all must be looked at. So does one for a message that was
 * too long. The first record is of that kind too: it was in time for whatever came before.
 *
 * The kernel tells nothing of an alias that is given to an interface that is down
 * (netdev_state_change).
 *
 * Rejected: a timer that lists the interfaces, which costs an idle machine something and still
 * comes too late. Rejected: one socket for all namespaces (NETLINK_LISTEN_ALL_NSID). It takes
 * CAP_NET_BROADCAST in each, and hears every namespace of the machine that has a number.
 */
#include "link-watch.h"

#include <errno.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"
#include "guard.h"
#include "links.h"
#include "netns.h"

#define CALL "rtnetlink RTNLGRP_LINK"
#define DATAGRAM_BYTES (1 << 16)
/* Some hundred messages about interfaces, of about 4 KB in the kernel's count. */
#define RECEIVE_BYTES (4 << 20)
#define RECEIVE_BYTES_MAX (64 << 20)

#define RECORD_LINK 1
#define RECORD_GONE 2
#define RECORD_UNGUARDED 3
#define RECORD_ALL 4

struct record {
    uint32_t what;
    uint32_t ifindex;
    uint32_t flags;
    uint32_t zero;
    char name[IFNAMSIZ];
    char mac[24];
    char alias[LINK_ALIAS_BYTES];
};
_Static_assert(sizeof(struct record) == LINK_RECORD_BYTES, "src/ports/link-news.ts has it");

struct watch {
    int links;  /* netlink socket */
    int tables; /* netlink socket */
    int out;    /* ours of the pair */
    int receive_bytes;
    uint8_t *bytes;
};

static int open_group(int protocol, int group, int receive_bytes) {
    struct sockaddr_nl own = {.nl_family = AF_NETLINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd < 0)
        return -1;
    /* Beyond the limits of net.core with CAP_NET_ADMIN, else as far as they go. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof receive_bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) == 0 &&
        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0)
        return fd;
    int number = errno;
    close(fd);
    errno = number;
    return -1;
}

/* A netns_work. */
static int open_here(void *context, struct failure *failure) {
    struct watch *watch = context;
    watch->links = open_group(NETLINK_ROUTE, RTNLGRP_LINK, watch->receive_bytes);
    watch->tables = watch->links < 0
                        ? -1
                        : open_group(NETLINK_NETFILTER, NFNLGRP_NFTABLES, watch->receive_bytes);
    if (watch->tables >= 0)
        return 0;
    int number = errno;
    return fail(failure, number, CALL, NULL, "interfaces cannot be watched: %s",
                number == EPERM ? "CAP_NET_ADMIN in their network namespace is needed"
                                : strerror(number));
}

/* Returns false if nobody reads any more. */
static bool tell(const struct watch *watch, const struct record *record) {
    const uint8_t *at = (const uint8_t *)record;
    size_t left = sizeof *record;
    while (left > 0) {
        ssize_t sent = send(watch->out, at, left, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        left -= (size_t)sent;
    }
    return true;
}

static bool tell_all(const struct watch *watch) {
    return tell(watch, &(struct record){.what = RECORD_ALL});
}

static bool tell_link(const struct watch *watch, const struct nlmsghdr *header) {
    struct record record = {.what = header->nlmsg_type == RTM_DELLINK ? RECORD_GONE : RECORD_LINK};
    struct link link;
    if (header->nlmsg_type != RTM_DELLINK && header->nlmsg_type != RTM_NEWLINK)
        return true;
    if (!parse_link(header, &link))
        return tell_all(watch);
    /* A bridge tells of its ports by messages of its own; so does IPv6 of its settings. */
    if (link.family != AF_UNSPEC)
        return true;
    record.ifindex = link.ifindex;
    record.flags = link.flags;
    snprintf(record.name, sizeof record.name, "%s", link.name);
    snprintf(record.mac, sizeof record.mac, "%s", link.mac);
    snprintf(record.alias, sizeof record.alias, "%s", link.alias);
    return tell(watch, &record);
}

/* A chain that is removed alone opens the interface as well. */
static bool tell_table(const struct watch *watch, const struct nlmsghdr *header) {
    struct record record = {.what = RECORD_UNGUARDED};
    const struct nfgenmsg *body = NLMSG_DATA(header);
    int type = header->nlmsg_type & 0xff;
    if (header->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
        (type != NFT_MSG_DELTABLE && type != NFT_MSG_DELCHAIN))
        return true;
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof *body))
        return tell_all(watch);
    if (body->nfgen_family != NFPROTO_NETDEV)
        return true;
    return !name_of_guard(header, record.name) || tell(watch, &record);
}

/* Returns false if nobody reads any more. */
static bool read_datagram(const struct watch *watch, int fd) {
    struct sockaddr_nl sender = {0};
    socklen_t sender_bytes = sizeof sender;
    ssize_t length = recvfrom(fd, watch->bytes, DATAGRAM_BYTES, MSG_TRUNC,
                              (struct sockaddr *)&sender, &sender_bytes);
    if (length < 0)
        return errno == EAGAIN || errno == EINTR || tell_all(watch);
    /* Port 0 is the kernel. */
    if (sender.nl_pid != 0)
        return true;
    if (length > DATAGRAM_BYTES)
        return tell_all(watch);
    size_t offset = 0, end = (size_t)length;
    while (offset + NLMSG_HDRLEN <= end) {
        const struct nlmsghdr *header = (const struct nlmsghdr *)(watch->bytes + offset);
        if (header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > end - offset)
            return tell_all(watch);
        offset += NLMSG_ALIGN(header->nlmsg_len);
        if (!(fd == watch->links ? tell_link(watch, header) : tell_table(watch, header)))
            return false;
    }
    return true;
}

static void discard(struct watch *watch) {
    if (watch->links >= 0)
        close(watch->links);
    if (watch->tables >= 0)
        close(watch->tables);
    if (watch->out >= 0)
        close(watch->out);
    free(watch->bytes);
    free(watch);
}

static void *run(void *context) {
    struct watch *watch = context;
    bool is_read = tell_all(watch);
    while (is_read) {
        struct pollfd fds[] = {
            {.fd = watch->links, .events = POLLIN},
            {.fd = watch->tables, .events = POLLIN},
            {.fd = watch->out}, /* POLLHUP alone */
        };
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            break;
        is_read = fds[2].revents == 0;
        for (int i = 0; is_read && i < 2; i++)
            if (fds[i].revents != 0)
                is_read = read_datagram(watch, fds[i].fd);
    }
    discard(watch);
    return NULL;
}

/* Starts the thread, which owns `watch` then. Returns an errno. */
static int start(struct watch *watch) {
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int number = pthread_attr_init(&attributes);
    if (number != 0)
        return number;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    /* As in netns.c: a new thread inherits the mask, so no signal can hit it. */
    sigfillset(&all);
    number = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (number == 0) {
        number = pthread_create(&thread, &attributes, run, watch);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    return number;
}

/* Returns JavaScript's end of the pair, or -1. */
static int open_watch(const char *netns, int receive_bytes, struct failure *failure) {
    int pair[2];
    struct watch *watch = malloc(sizeof *watch);
    uint8_t *bytes = malloc(DATAGRAM_BYTES);
    if (watch == NULL || bytes == NULL) {
        free(watch);
        free(bytes);
        return fail(failure, ENOMEM, CALL, NULL, "interfaces cannot be watched: no memory");
    }
    *watch = (struct watch){-1, -1, -1, receive_bytes, bytes};
    if (run_in_netns(netns, open_here, watch, failure) != 0) {
        discard(watch);
        return -1;
    }
    int number = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 ? 0 : errno;
    if (number == 0) {
        watch->out = pair[0];
        number = start(watch);
        if (number == 0)
            return pair[1];
        close(pair[1]);
    }
    discard(watch);
    return fail(failure, number, CALL, NULL, "interfaces cannot be watched: %s", strerror(number));
}

napi_value watch_links(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result;
    char storage[PATH_MAX];
    const char *netns;
    int32_t receive_bytes = RECEIVE_BYTES;
    bool is_given;
    struct failure failure;
    if (!read_arguments(env, info, 2, arguments) ||
        !read_netns(env, arguments[0], storage, &netns) ||
        !read_presence(env, arguments[1], &is_given) ||
        (is_given &&
         !read_integer(env, arguments[1], "receiveBytes", 1, RECEIVE_BYTES_MAX, &receive_bytes)))
        return NULL;
    int fd = open_watch(netns, receive_bytes, &failure);
    if (fd < 0)
        return throw_failure(env, &failure);
    if (napi_create_int32(env, fd, &result) == napi_ok)
        return result;
    close(fd);
    return throw_napi(env);
}
