/*
 * Theory of operation
 *
 * A descriptor that a service manager kept may be of any interface, or of none: the configuration
 * changed while nobody ran, the interface was deleted or moved, or somebody else filled the store.
 * What goes to the wrong interface is a hole in the firewall, so nothing is believed: kind, name,
 * virtio header and network namespace are asked of the kernel, and must be what the caller wants.
 * Only then are header size and offloads set as for a device that was just opened.
 *
 * On failure the descriptor is left as it was; it is the caller's to close.
 */
#include "adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "device.h"
#include "failure.h"
#include "link.h"
#include "netns.h"

/* Linux 5.2; absent from older headers. */
#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif

static int explain_stranger(const struct opening *opening, struct failure *failure,
                            const char *why) {
    return fail(failure, ENODEV, "ioctl TUNGETIFF", opening->wanted, "descriptor %d is not %s: %s",
                opening->fd, opening->wanted, why);
}

struct location {
    int fd;
    int netns;
    char name[IFNAMSIZ];
    unsigned ifindex;
};

/* Runs inside the interface's namespace. */
static int look_up_here(void *context, struct failure *failure) {
    struct location *location = context;
    if (find_ifindex(location->name, &location->ifindex, failure) != 0)
        return -1;
    if (location->ifindex == 0)
        return fail(failure, ENODEV, "ioctl SIOCGIFINDEX", location->name,
                    "interface %s is gone from its network namespace", location->name);
    return 0;
}

/*
 * By the descriptor and nothing else: a path or an index kept from an earlier time may stand for
 * another namespace, or for another interface in it.
 */
static int locate(struct location *location, struct failure *failure) {
    struct ifreq request = {0};
    if (ioctl(location->fd, TUNGETIFF, &request) != 0) {
        int number = errno;
        return fail(failure, number, "ioctl TUNGETIFF", NULL, "descriptor %d has no interface: %s",
                    location->fd, strerror(number));
    }
    memcpy(location->name, request.ifr_name, IFNAMSIZ);
    location->name[IFNAMSIZ - 1] = '\0';
    location->netns = ioctl(location->fd, TUNGETDEVNETNS);
    if (location->netns < 0) {
        int number = errno;
        return fail(failure, number, "ioctl TUNGETDEVNETNS", location->name,
                    "the network namespace of interface %s cannot be told: %s", location->name,
                    strerror(number));
    }
    char path[sizeof "/proc/self/fd/" + 3 * sizeof(int)];
    snprintf(path, sizeof path, "/proc/self/fd/%d", location->netns);
    if (run_in_netns(path, look_up_here, location, failure) == 0)
        return 0;
    close(location->netns);
    return -1;
}

napi_value locate_device(napi_env env, napi_callback_info info) {
    napi_value argument, result, netns, ifindex;
    struct location location = {.netns = -1};
    if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &location.fd))
        return NULL;
    struct failure failure;
    if (locate(&location, &failure) != 0)
        return throw_failure(env, &failure);
    if (napi_create_object(env, &result) == napi_ok &&
        napi_create_int32(env, location.netns, &netns) == napi_ok &&
        napi_set_named_property(env, result, "netns", netns) == napi_ok &&
        napi_create_uint32(env, location.ifindex, &ifindex) == napi_ok &&
        napi_set_named_property(env, result, "ifindex", ifindex) == napi_ok)
        return result;
    close(location.netns);
    return throw_napi(env);
}

static int check_interface(struct opening *opening, struct failure *failure) {
    struct ifreq request = {0};
    if (ioctl(opening->fd, TUNGETIFF, &request) != 0)
        return explain_stranger(opening, failure,
                                errno == EBADFD ? "its interface is gone" : "it is of no TUN");
    memcpy(opening->name, request.ifr_name, IFNAMSIZ);
    opening->name[IFNAMSIZ - 1] = '\0';
    if (strcmp(opening->name, opening->wanted) != 0)
        return explain_stranger(opening, failure, "it has another name");
    unsigned flags = (unsigned short)request.ifr_flags;
    unsigned kind = opening->kind == DEVICE_TUN ? IFF_TUN : IFF_TAP;
    if ((flags & (IFF_TUN | IFF_TAP)) != kind)
        return explain_stranger(opening, failure, "it is of the other kind");
    if ((flags & (IFF_VNET_HDR | IFF_NO_PI)) != (IFF_VNET_HDR | IFF_NO_PI))
        return explain_stranger(opening, failure, "it was opened in another way");
    if (((flags & IFF_MULTI_QUEUE) != 0) != opening->multi_queue)
        return explain_stranger(
            opening, failure, opening->multi_queue ? "it has one queue" : "it has several queues");
    return 0;
}

/* Runs inside the namespace that the interface has to be in. */
static int check_namespace(const struct opening *opening, struct failure *failure) {
    struct stat here, there;
    int fd = ioctl(opening->fd, TUNGETDEVNETNS);
    if (fd < 0)
        return explain_stranger(opening, failure, "its network namespace cannot be told");
    int status = fstat(fd, &there);
    close(fd);
    if (status != 0 || stat("/proc/thread-self/ns/net", &here) != 0)
        return explain_stranger(opening, failure, "its network namespace cannot be compared");
    if (here.st_dev != there.st_dev || here.st_ino != there.st_ino)
        return explain_stranger(opening, failure, "it is in another network namespace");
    return 0;
}

static int adopt_here(void *context, struct failure *failure) {
    struct opening *opening = context;
    if (check_interface(opening, failure) != 0 || check_namespace(opening, failure) != 0)
        return -1;
    int flags = fcntl(opening->fd, F_GETFL);
    if (flags < 0 || fcntl(opening->fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(opening->fd, F_SETFD, FD_CLOEXEC) != 0) {
        int number = errno;
        return fail(failure, number, "fcntl", opening->wanted, "descriptor %d cannot be set up: %s",
                    opening->fd, strerror(number));
    }
    return configure_device(opening, failure);
}

napi_value adopt_device(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result;
    struct opening opening = {0};
    char storage[PATH_MAX];
    const char *netns;
    if (!read_arguments(env, info, 2, arguments) ||
        !read_descriptor(env, arguments[0], &opening.fd) ||
        !read_device_options(env, arguments[1], &opening, storage, &netns))
        return NULL;
    struct failure failure;
    if (run_in_netns(netns, adopt_here, &opening, &failure) != 0)
        return throw_failure(env, &failure);
    return describe_device(env, &opening, &result) == napi_ok ? result : throw_napi(env);
}
