/*
 * Preloaded into Node.js (LD_PRELOAD): before each answer of the kernel to an rtnetlink request,
 * recvfrom(2) hands out a datagram that the kernel did not send for it. All of them say that the
 * request succeeded. FORGED names which: `sender` bears another port than the kernel's, `sequence`
 * is about another request, `short` ends before what it promises, `type` is no acknowledgement,
 * `endless` is `sender` for ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static __thread int is_turn = 1;

ssize_t recvfrom(int fd, void *restrict bytes, size_t size, int flags,
                 struct sockaddr *restrict sender, socklen_t *restrict sender_bytes) {
    static ssize_t (*real)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
    const char *forged = getenv("FORGED");
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "recvfrom");
    if (forged == NULL || sender_bytes == NULL || *sender_bytes != sizeof(struct sockaddr_nl))
        return real(fd, bytes, size, flags, sender, sender_bytes);
    int is_forged = is_turn || strcmp(forged, "endless") == 0;
    is_turn = !is_turn;
    if (!is_forged)
        return real(fd, bytes, size, flags, sender, sender_bytes);
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
    } answer = {.header = {.nlmsg_len = sizeof answer, .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = 1}};
    struct sockaddr_nl from = {.nl_family = AF_NETLINK};
    if (strcmp(forged, "sender") == 0 || strcmp(forged, "endless") == 0)
        from.nl_pid = 4242;
    if (strcmp(forged, "sequence") == 0)
        answer.header.nlmsg_seq = 2;
    if (strcmp(forged, "short") == 0)
        answer.header.nlmsg_len += 4;
    if (strcmp(forged, "type") == 0)
        answer.header.nlmsg_type = RTM_NEWLINK;
    memcpy(bytes, &answer, sizeof answer);
    memcpy(sender, &from, sizeof from);
    return sizeof answer;
}
