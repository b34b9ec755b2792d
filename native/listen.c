/*
 * Makes bound sockets in another network namespace.
 *
 * Theory of operation
 *
 * A socket belongs for ever to the namespace it was made in. So a program that answers there needs
 * to be there only while it binds, and needs no right afterwards.
 *
 * An address need not be there yet (IP_FREEBIND): the daemon's device goes and comes with the
 * daemon, and the socket outlives that. A hop limit of 1 keeps answers from being forwarded.
 */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"
#include "netns.h"

/* IPV6_FREEBIND of linux/in6.h, which can't be read beside netinet/in.h. */
#define FREEBIND_6 78

struct wanted {
    char text[INET6_ADDRSTRLEN];
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    } address;
    socklen_t length;
    bool is_stream;
    int hops; /* 0: the kernel's default */
    int fd;
};

static bool read_address(struct wanted *wanted, int port) {
    memset(&wanted->address, 0, sizeof wanted->address);
    if (inet_pton(AF_INET, wanted->text, &wanted->address.ip4.sin_addr) == 1) {
        wanted->address.ip4.sin_family = AF_INET;
        wanted->address.ip4.sin_port = htons((uint16_t)port);
        wanted->length = sizeof wanted->address.ip4;
        return true;
    }
    memset(&wanted->address, 0, sizeof wanted->address);
    if (inet_pton(AF_INET6, wanted->text, &wanted->address.ip6.sin6_addr) != 1)
        return false;
    wanted->address.ip6.sin6_family = AF_INET6;
    wanted->address.ip6.sin6_port = htons((uint16_t)port);
    wanted->length = sizeof wanted->address.ip6;
    return true;
}

static bool set(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

static bool set_options(int fd, const struct wanted *wanted) {
    bool is_ip4 = wanted->address.any.sa_family == AF_INET;
    int level = is_ip4 ? IPPROTO_IP : IPPROTO_IPV6;
    if (wanted->is_stream && !set(fd, SOL_SOCKET, SO_REUSEADDR, 1))
        return false;
    if (!is_ip4 && !set(fd, level, IPV6_V6ONLY, 1))
        return false;
    if (wanted->hops > 0 && !set(fd, level, is_ip4 ? IP_TTL : IPV6_UNICAST_HOPS, wanted->hops))
        return false;
    return set(fd, level, is_ip4 ? IP_FREEBIND : FREEBIND_6, 1);
}

static int bind_there(void *context, struct failure *failure) {
    struct wanted *wanted = context;
    int type = (wanted->is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = socket(wanted->address.any.sa_family, type, 0);
    if (fd < 0) {
        int number = errno;
        return fail(failure, number, "socket", NULL, "no socket for %s: %s", wanted->text,
                    strerror(number));
    }
    const char *call = "setsockopt";
    if (set_options(fd, wanted)) {
        call = "bind";
        if (bind(fd, &wanted->address.any, wanted->length) == 0) {
            wanted->fd = fd;
            return 0;
        }
    }
    int number = errno;
    close(fd);
    return fail(failure, number, call, NULL, "%s can't be answered at: %s", wanted->text,
                strerror(number));
}

napi_value bind_socket(napi_env env, napi_callback_info info) {
    napi_value arguments[5];
    char storage[PATH_MAX];
    const char *path;
    struct wanted wanted;
    int32_t port;
    int32_t hops;
    if (!read_arguments(env, info, 5, arguments) ||
        !read_netns(env, arguments[0], storage, &path) ||
        !read_text(env, arguments[1], "address", wanted.text, sizeof wanted.text) ||
        !read_integer(env, arguments[2], "port", 0, UINT16_MAX, &port) ||
        !read_boolean(env, arguments[3], "isStream", &wanted.is_stream) ||
        !read_integer(env, arguments[4], "hops", 0, UINT8_MAX, &hops))
        return NULL;
    if (!read_address(&wanted, port)) {
        throw_range(env, "address", "an IPv4 or IPv6 address");
        return NULL;
    }
    wanted.hops = hops;
    struct failure failure;
    if (run_in_netns(path, bind_there, &wanted, &failure) != 0)
        return throw_failure(env, &failure);
    napi_value result;
    if (napi_create_int32(env, wanted.fd, &result) != napi_ok)
        return throw_napi(env);
    return result;
}
