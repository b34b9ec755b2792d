/*
 * Takes over a descriptor of a device that an earlier process opened.
 *
 * Theory of operation
 *
 * A descriptor that a service manager kept may belong to any interface, or to none: the
 * configuration changed while no daemon ran, the interface was deleted or moved, or somebody else
 * filled the store. Packets to the wrong interface are a hole in the firewall, so nothing is
 * believed. Kind, name, virtio header and network namespace are asked of the kernel, and must
 * match what the caller wants. Only then are header size and offloads set, as for a newly opened
 * device.
 *
 * A device that a container runtime configures may be anywhere by now, under any name. The caller
 * says so, and vouches for the descriptor; kind and virtio header must match all the same.
 *
 * On failure the descriptor stays as it was, and the caller closes it.
 */
#include "adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "device.h"
#include "failure.h"
#include "link.h"
#include "netns.h"

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

static int locate(struct location *location, struct failure *failure) {
    if (location->kind->identify(location, failure) != 0)
        return -1;
    char path[sizeof "/proc/self/fd/" + 3 * sizeof(int)];
    snprintf(path, sizeof path, "/proc/self/fd/%d", location->netns);
    if (run_in_netns(path, look_up_here, location, failure) == 0)
        return 0;
    close(location->netns);
    return -1;
}

napi_value locate_device(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result, netns, ifindex;
    struct location location = {.netns = -1};
    if (!read_arguments(env, info, 2, arguments) ||
        !read_descriptor(env, arguments[0], &location.fd) ||
        !read_kind(env, arguments[1], &location.kind))
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

napi_value identify_device(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result, netns, name;
    struct location location = {.netns = -1};
    if (!read_arguments(env, info, 2, arguments) ||
        !read_descriptor(env, arguments[0], &location.fd) ||
        !read_kind(env, arguments[1], &location.kind))
        return NULL;
    struct failure failure;
    if (location.kind->identify(&location, &failure) != 0)
        return throw_failure(env, &failure);
    if (napi_create_object(env, &result) == napi_ok &&
        napi_create_int32(env, location.netns, &netns) == napi_ok &&
        napi_set_named_property(env, result, "netns", netns) == napi_ok &&
        napi_create_string_utf8(env, location.name, NAPI_AUTO_LENGTH, &name) == napi_ok &&
        napi_set_named_property(env, result, "name", name) == napi_ok)
        return result;
    close(location.netns);
    return throw_napi(env);
}

/* Runs inside the namespace that the interface must be in. */
static int check_namespace(const struct opening *opening, struct failure *failure) {
    struct stat here, there;
    struct location location = {.fd = opening->fd};
    if (opening->kind->identify(&location, failure) != 0)
        return explain_stranger(opening, failure, "its network namespace cannot be told");
    int status = fstat(location.netns, &there);
    close(location.netns);
    if (status != 0 || stat("/proc/thread-self/ns/net", &here) != 0)
        return explain_stranger(opening, failure, "its network namespace cannot be compared");
    if (here.st_dev != there.st_dev || here.st_ino != there.st_ino)
        return explain_stranger(opening, failure, "it is in another network namespace");
    return 0;
}

static int adopt_here(void *context, struct failure *failure) {
    struct opening *opening = context;
    if (opening->moved) {
        struct location location = {.fd = opening->fd};
        if (opening->kind->identify(&location, failure) != 0)
            return explain_stranger(opening, failure, "its interface cannot be told");
        close(location.netns);
        memcpy(opening->wanted, location.name, IFNAMSIZ);
    }
    if (opening->kind->check(opening, failure) != 0)
        return -1;
    if (!opening->moved && check_namespace(opening, failure) != 0)
        return -1;
    int flags = fcntl(opening->fd, F_GETFL);
    if (flags < 0 || fcntl(opening->fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(opening->fd, F_SETFD, FD_CLOEXEC) != 0) {
        int number = errno;
        return fail(failure, number, "fcntl", opening->wanted, "descriptor %d cannot be set up: %s",
                    opening->fd, strerror(number));
    }
    return opening->kind->configure(opening, failure);
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
