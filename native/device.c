/*
 * Theory of operation
 *
 * Every device is opened with IFF_VNET_HDR and a 10-byte virtio header: that header carries
 * checksum and segmentation offload, which is where the throughput comes from (a read gives up to
 * 64 KB). What the kernel may hand us is then agreed with TUNSETOFFLOAD, from the most to the
 * least; a kernel older than 6.2 has no USO and refuses the whole request, so the steps are tried
 * in turn.
 *
 * Nothing is left behind on failure: making the interface persistent is the last step, so closing
 * the descriptor removes an interface that this call made. An interface that was there already is
 * another's, and is never removed nor made non-persistent here.
 */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"
#include "link.h"
#include "netns.h"

/* Linux 6.2; absent from the headers of many distributions that run a newer kernel. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#endif
#ifndef TUN_F_USO6
#define TUN_F_USO6 0x40
#endif

static const unsigned OFFLOAD_STEPS[] = {
    TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6,
    TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
    TUN_F_CSUM,
    0,
};

static int explain_open(const struct opening *opening, int number, struct failure *failure) {
    const char *reason = strerror(number);
    if (number == EACCES || number == EPERM)
        reason = "this user needs permission to read and write it";
    else if (number == ENOENT)
        reason = "it does not exist; load the tun module, or give the container this device";
    else if (number == ENODEV || number == ENXIO)
        reason = "the kernel has no TUN driver; load the tun module";
    return fail(failure, number, "open", opening->wanted,
                "/dev/net/tun cannot be opened for %s: %s", opening->wanted, reason);
}

static int explain_attach(const struct opening *opening, int number, struct failure *failure) {
    static const char CALL[] = "ioctl TUNSETIFF";
    const char *name = opening->wanted;
    const char *kind = opening->kind == DEVICE_TUN ? "TUN" : "TAP";
    if (number == EPERM || number == EACCES)
        return fail(failure, number, CALL, name,
                    "%s interface %s cannot be opened: CAP_NET_ADMIN in its network namespace is "
                    "needed, or to be the owner of a persistent interface",
                    kind, name);
    if (number == EBUSY)
        return fail(failure, number, CALL, name, "interface %s is held by another descriptor",
                    name);
    if (number == EINVAL)
        return fail(failure, number, CALL, name,
                    "interface %s exists and is not a %s interface with %s", name, kind,
                    opening->multi_queue ? "several queues (IFF_MULTI_QUEUE)" : "one queue");
    return fail(failure, number, CALL, name, "%s interface %s cannot be opened: %s", kind, name,
                strerror(number));
}

/*
 * With IFF_TUN_EXCL first, which refuses an interface that exists: so `created` is the kernel's
 * answer, not a look-up beforehand that somebody else could make wrong.
 */
static int attach(struct opening *opening, struct failure *failure) {
    unsigned flags = (opening->kind == DEVICE_TUN ? IFF_TUN : IFF_TAP) | IFF_NO_PI | IFF_VNET_HDR |
                     (opening->multi_queue ? IFF_MULTI_QUEUE : 0);
    for (int exclusive = 1; exclusive >= 0; exclusive--) {
        struct ifreq request = {0};
        memcpy(request.ifr_name, opening->wanted, IFNAMSIZ);
        request.ifr_flags = (short)(exclusive ? flags | IFF_TUN_EXCL : flags);
        if (ioctl(opening->fd, TUNSETIFF, &request) == 0) {
            opening->created = exclusive;
            memcpy(opening->name, request.ifr_name, IFNAMSIZ);
            opening->name[IFNAMSIZ - 1] = '\0';
            return 0;
        }
        if (!(exclusive && errno == EBUSY))
            break;
    }
    return explain_attach(opening, errno, failure);
}

static int agree_offloads(struct opening *opening, struct failure *failure) {
    for (size_t i = 0; i < sizeof OFFLOAD_STEPS / sizeof OFFLOAD_STEPS[0]; i++) {
        if (ioctl(opening->fd, TUNSETOFFLOAD, (unsigned long)OFFLOAD_STEPS[i]) == 0) {
            opening->offloads = OFFLOAD_STEPS[i];
            return 0;
        }
        if (errno != EINVAL)
            break;
    }
    int number = errno;
    return fail(failure, number, "ioctl TUNSETOFFLOAD", opening->name,
                "offloads of %s cannot be set: %s", opening->name, strerror(number));
}

/*
 * The MTU that the interface has, and whether it is up: for devices that others configure, and for
 * giving back what was there before. Nothing depends on knowing it.
 */
static void read_link(struct opening *opening) {
    struct ifreq request = {0};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    memcpy(request.ifr_name, opening->name, IFNAMSIZ);
    if (ioctl(fd, SIOCGIFMTU, &request) == 0)
        opening->mtu = request.ifr_mtu;
    if (ioctl(fd, SIOCGIFFLAGS, &request) == 0)
        opening->is_up = (request.ifr_flags & IFF_UP) != 0;
    close(fd);
}

int configure_device(struct opening *opening, struct failure *failure) {
    int header_bytes = VNET_HDR_BYTES;
    if (ioctl(opening->fd, TUNSETVNETHDRSZ, &header_bytes) != 0) {
        int number = errno;
        return fail(failure, number, "ioctl TUNSETVNETHDRSZ", opening->name,
                    "the virtio header of %s cannot be set to %d bytes: %s", opening->name,
                    header_bytes, strerror(number));
    }
    if (agree_offloads(opening, failure) != 0)
        return -1;
    if (find_ifindex(opening->name, &opening->ifindex, failure) != 0)
        return -1;
    if (opening->ifindex == 0)
        return fail(failure, ENODEV, "ioctl SIOCGIFINDEX", opening->name,
                    "interface %s is gone again", opening->name);
    read_link(opening);
    if (opening->persist && ioctl(opening->fd, TUNSETPERSIST, 1UL) != 0) {
        int number = errno;
        return fail(failure, number, "ioctl TUNSETPERSIST", opening->name,
                    "interface %s cannot be made persistent: %s", opening->name, strerror(number));
    }
    return 0;
}

static int open_here(void *context, struct failure *failure) {
    struct opening *opening = context;
    opening->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (opening->fd < 0)
        return explain_open(opening, errno, failure);
    if (attach(opening, failure) == 0 && configure_device(opening, failure) == 0)
        return 0;
    close(opening->fd);
    return -1;
}

/*
 * The kernel's dev_valid_name(), and no '%': the kernel takes "tun%d" for a pattern, and then
 * the interface has another name than the one the configuration speaks of.
 */
static bool is_interface_name(const char *name) {
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (*c == '/' || *c == ':' || *c == '%' || *c == ' ' || *c == '\x7f' ||
            (unsigned char)*c < ' ')
            return false;
    return true;
}

static bool read_property(napi_env env, napi_value object, const char *key, napi_value *value) {
    if (napi_get_named_property(env, object, key, value) == napi_ok)
        return true;
    throw_napi(env);
    return false;
}

static bool read_multi_queue(napi_env env, napi_value options, struct opening *opening) {
    napi_value value;
    bool present;
    return read_property(env, options, "multiQueue", &value) &&
           read_presence(env, value, &present) &&
           (!present || read_boolean(env, value, "multiQueue", &opening->multi_queue));
}

bool read_device_options(napi_env env, napi_value options, struct opening *opening, char *storage,
                         const char **netns) {
    napi_value value;
    int32_t kind;
    if (!check_object(env, options, "options") || !read_property(env, options, "kind", &value) ||
        !read_integer(env, value, "kind", DEVICE_TUN, DEVICE_TAP, &kind))
        return false;
    opening->kind = kind;
    if (!read_property(env, options, "name", &value) ||
        !read_text(env, value, "name", opening->wanted, sizeof opening->wanted))
        return false;
    if (!is_interface_name(opening->wanted))
        return throw_range(env, "name", "an interface name: no blanks, '/', ':' or '%'");
    return read_property(env, options, "netns", &value) && read_netns(env, value, storage, netns) &&
           read_property(env, options, "persist", &value) &&
           read_boolean(env, value, "persist", &opening->persist) &&
           read_multi_queue(env, options, opening);
}

static napi_status set_boolean(napi_env env, napi_value object, const char *key, bool flag) {
    napi_value value;
    napi_status status = napi_get_boolean(env, flag, &value);
    return status == napi_ok ? napi_set_named_property(env, object, key, value) : status;
}

static napi_status set_number(napi_env env, napi_value object, const char *key, int64_t number) {
    napi_value value;
    napi_status status = napi_create_int64(env, number, &value);
    return status == napi_ok ? napi_set_named_property(env, object, key, value) : status;
}

napi_status describe_device(napi_env env, const struct opening *opening, napi_value *result) {
    napi_value name, offloads;
    unsigned accepted = opening->offloads;
    napi_status status = napi_create_object(env, result);
    if (status == napi_ok)
        status = set_number(env, *result, "fd", opening->fd);
    if (status == napi_ok)
        status = napi_create_string_utf8(env, opening->name, NAPI_AUTO_LENGTH, &name);
    if (status == napi_ok)
        status = napi_set_named_property(env, *result, "name", name);
    if (status == napi_ok)
        status = set_number(env, *result, "ifindex", opening->ifindex);
    if (status == napi_ok)
        status = set_number(env, *result, "mtu", opening->mtu);
    if (status == napi_ok)
        status = set_boolean(env, *result, "isUp", opening->is_up);
    if (status == napi_ok)
        status = napi_create_object(env, &offloads);
    if (status == napi_ok)
        status = set_boolean(env, offloads, "checksum", accepted & TUN_F_CSUM);
    if (status == napi_ok)
        status = set_boolean(env, offloads, "tso4", accepted & TUN_F_TSO4);
    if (status == napi_ok)
        status = set_boolean(env, offloads, "tso6", accepted & TUN_F_TSO6);
    if (status == napi_ok)
        status = set_boolean(env, offloads, "uso", accepted & TUN_F_USO4);
    if (status == napi_ok)
        status = napi_set_named_property(env, *result, "offloads", offloads);
    if (status == napi_ok)
        status = set_boolean(env, *result, "created", opening->created);
    return status;
}

napi_value open_device(napi_env env, napi_callback_info info) {
    napi_value options, result;
    struct opening opening = {0};
    char storage[PATH_MAX];
    const char *netns;
    if (!read_arguments(env, info, 1, &options) ||
        !read_device_options(env, options, &opening, storage, &netns))
        return NULL;
    struct failure failure;
    if (run_in_netns(netns, open_here, &opening, &failure) != 0)
        return throw_failure(env, &failure);
    if (describe_device(env, &opening, &result) != napi_ok) {
        throw_napi(env);
        if (opening.persist && opening.created)
            (void)ioctl(opening.fd, TUNSETPERSIST, 0UL);
        close(opening.fd);
        return NULL;
    }
    return result;
}

napi_value close_fd(napi_env env, napi_callback_info info) {
    napi_value argument;
    int fd;
    if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
        return NULL;
    /* After EINTR the descriptor is closed all the same on Linux; again would close another's. */
    if (close(fd) != 0 && errno != EINTR) {
        struct failure failure;
        int number = errno;
        fail(&failure, number, "close", NULL, "descriptor %d cannot be closed: %s", fd,
             strerror(number));
        return throw_failure(env, &failure);
    }
    return NULL;
}
