/*
 * Sends datagrams with descriptors to a unix socket.
 *
 * Theory of operation
 *
 * Node has no AF_UNIX datagram sockets, and can pass no descriptors but its own sockets.
 * systemd's notify protocol (sd_notify(3)) and its journal's native protocol use such datagrams.
 * So one sendmsg(2) serves both, without libsystemd.
 *
 * Each message has a socket of its own: messages are few, and no socket is left to be managed. A
 * send blocks for at most SEND_TIMEOUT_SEC: long enough for a busy service manager, and not for
 * ever if it hangs.
 */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"

#define SEND_TIMEOUT_SEC 1
/* A message could carry more (SCM_MAX_FD is 253). The callers send one device at a time. */
#define FDS_MAX 16

/* Returns the address's length. A leading '@' stands for the NUL of the abstract namespace. */
static socklen_t fill_address(struct sockaddr_un *address, const char *path) {
    size_t length = strlen(path);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, length);
    if (path[0] != '@')
        return (socklen_t)sizeof *address;
    address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

static int send_message(const char *path, struct bytes payload, struct words fds,
                        struct failure *failure) {
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct sockaddr_un address;
    struct iovec part = {.iov_base = payload.data, .iov_len = payload.length};
    struct msghdr message = {.msg_name = &address,
                             .msg_namelen = fill_address(&address, path),
                             .msg_iov = &part,
                             .msg_iovlen = 1};
    if (fds.length > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fds.length * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds.length * sizeof(int));
        memcpy(CMSG_DATA(header), fds.data, fds.length * sizeof(int));
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        int number = errno;
        return fail(failure, number, "socket", path, "no socket to reach %s by: %s", path,
                    strerror(number));
    }
    const struct timeval limit = {.tv_sec = SEND_TIMEOUT_SEC};
    ssize_t sent = -1;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0)
        do
            sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
    int number = errno;
    close(fd);
    if (sent >= 0)
        return 0;
    return fail(failure, number, "sendmsg", path, "%zu bytes cannot be sent to %s: %s",
                payload.length, path, strerror(number));
}

napi_value send_datagram(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    struct bytes payload;
    struct words fds;
    if (!read_arguments(env, info, 3, arguments) ||
        !read_text(env, arguments[0], "path", path, sizeof path) ||
        !read_bytes(env, arguments[1], "payload", &payload) ||
        !read_words(env, arguments[2], "fds", &fds))
        return NULL;
    if (fds.length > FDS_MAX) {
        throw_range(env, "fds", "at most 16 descriptors");
        return NULL;
    }
    struct failure failure;
    if (send_message(path, payload, fds, &failure) != 0)
        return throw_failure(env, &failure);
    return NULL;
}
