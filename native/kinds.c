/*
 * Defines the kinds of device and opens them.
 *
 * Theory of operation
 *
 * Only this file knows which kinds of device exist. Each kind is a row of KINDS: what other files
 * need to know about it, and the functions that open it. A new kind is a new row with its
 * functions in this file. src/ports/port-kind.ts has the other half of the row.
 *
 * In the arena of batch.c a packet of any kind has a 10-byte virtio header in front. A TUN or TAP
 * is opened with IFF_VNET_HDR, so the kernel reads and writes that header. It carries checksum
 * and segmentation offload, which give the throughput (a read returns up to 64 KB). TUNSETOFFLOAD
 * then says what the kernel may pass to us. A kernel older than 6.2 has no USO and refuses the
 * whole request, so the steps are tried in turn, from the most to the least.
 *
 * Nothing is left behind on failure. The interface is made persistent in the last step, so
 * closing the descriptor removes an interface that this call made. An interface that existed
 * before belongs to somebody else: it is never removed or made non-persistent here.
 */
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "attach.h"
#include "link.h"
#include "stream.h"

#define ETHERNET_BYTES 14

/* Linux 5.2; absent from older headers. */
#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif

/* Since Linux 4.16; older headers lack it. */
#ifndef TUNSETSTEERINGEBPF
#define TUNSETSTEERINGEBPF _IOR('T', 224, int)
#endif

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
    const char *kind = opening->kind->label;
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
                    opening->queues > 1 ? "several queues (IFF_MULTI_QUEUE)" : "one queue");
    return fail(failure, number, CALL, name, "%s interface %s cannot be opened: %s", kind, name,
                strerror(number));
}

/*
 * Attaches the descriptor, first with IFF_TUN_EXCL, which refuses an existing interface. So the
 * kernel itself says whether it was created. A lookup beforehand could be wrong a moment later.
 */
static int attach(struct opening *opening, struct failure *failure) {
    unsigned flags = opening->kind->tun_type | IFF_NO_PI | IFF_VNET_HDR |
                     (opening->queues > 1 ? IFF_MULTI_QUEUE : 0);
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
            unsigned accepted = OFFLOAD_STEPS[i];
            opening->offloads = (struct offloads){
                .checksum = accepted & TUN_F_CSUM,
                .tso4 = accepted & TUN_F_TSO4,
                .tso6 = accepted & TUN_F_TSO6,
                .uso = accepted & TUN_F_USO4,
            };
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
 * Reads the interface's MTU, and whether it is up: for devices that others configure, and to
 * restore the state later. Nothing depends on success.
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

/* Sets header size, offloads and persistence of a TUN or TAP, inside its namespace. */
static int configure_tun(struct opening *opening, struct failure *failure) {
    int header_bytes = VNET_HDR_BYTES;
    if (ioctl(opening->fd, TUNSETVNETHDRSZ, &header_bytes) != 0) {
        int number = errno;
        return fail(failure, number, "ioctl TUNSETVNETHDRSZ", opening->name,
                    "the virtio header of %s cannot be set to %d bytes: %s", opening->name,
                    header_bytes, strerror(number));
    }
    if (agree_offloads(opening, failure) != 0)
        return -1;
    if (opening->moved)
        return 0;
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

static int open_tun(struct opening *opening, struct failure *failure) {
    opening->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (opening->fd < 0)
        return explain_open(opening, errno, failure);
    if (attach(opening, failure) == 0 && configure_tun(opening, failure) == 0)
        return 0;
    close(opening->fd);
    return -1;
}

int explain_stranger(const struct opening *opening, struct failure *failure, const char *why) {
    return fail(failure, ENODEV, "ioctl TUNGETIFF", opening->wanted, "descriptor %d is not %s: %s",
                opening->fd, opening->wanted, why);
}

static int check_tun(struct opening *opening, struct failure *failure) {
    struct ifreq request = {0};
    if (ioctl(opening->fd, TUNGETIFF, &request) != 0)
        return explain_stranger(opening, failure,
                                errno == EBADFD ? "its interface is gone" : "it is of no TUN");
    memcpy(opening->name, request.ifr_name, IFNAMSIZ);
    opening->name[IFNAMSIZ - 1] = '\0';
    if (strcmp(opening->name, opening->wanted) != 0)
        return explain_stranger(opening, failure, "it has another name");
    unsigned flags = (unsigned short)request.ifr_flags;
    if ((flags & (IFF_TUN | IFF_TAP)) != opening->kind->tun_type)
        return explain_stranger(opening, failure, "it is of the other kind");
    if ((flags & (IFF_VNET_HDR | IFF_NO_PI)) != (IFF_VNET_HDR | IFF_NO_PI))
        return explain_stranger(opening, failure, "it was opened in another way");
    if (((flags & IFF_MULTI_QUEUE) != 0) != (opening->queues > 1))
        return explain_stranger(opening, failure,
                                opening->queues > 1 ? "it has one queue" : "it has several queues");
    return 0;
}

static int identify_tun(struct location *location, struct failure *failure) {
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
    return 0;
}

/*
 * Queues are numbered in the order of attachment. If there is one more than we attached, it
 * belongs to somebody else: packets would go to it, past the gates.
 */
static int check_queues(const char *name, int queues, struct failure *failure) {
    static const char CALL[] = "ioctl ETHTOOL_GCHANNELS";
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq request = {0};
    memcpy(request.ifr_name, name, IFNAMSIZ);
    request.ifr_data = (char *)&channels;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int status = fd < 0 ? -1 : ioctl(fd, SIOCETHTOOL, &request);
    int number = errno;
    if (fd >= 0)
        close(fd);
    if (status != 0)
        return fail(failure, number, CALL, name, "the queues of %s cannot be counted: %s", name,
                    strerror(number));
    if (channels.combined_count != (unsigned)queues)
        return fail(failure, EBUSY, CALL, name,
                    "interface %s has %u queues, not %d: another descriptor holds one", name,
                    channels.combined_count, queues);
    return 0;
}

static int steer_tun(int fd, const char *name, int program, int queues, struct failure *failure) {
    if (check_queues(name, queues, failure) != 0)
        return -1;
    if (ioctl(fd, TUNSETSTEERINGEBPF, &program) == 0)
        return 0;
    int number = errno;
    return fail(failure, number, "ioctl TUNSETSTEERINGEBPF", name,
                "packets of %s cannot be shared out among queues: %s", name, strerror(number));
}

/* Undoes what open_tun did. */
static void discard_tun(const struct opening *opening) {
    if (opening->persist && opening->created)
        (void)ioctl(opening->fd, TUNSETPERSIST, 0UL);
    close(opening->fd);
}

#define TUN_FUNCTIONS                                                                              \
    .open = open_tun, .check = check_tun, .configure = configure_tun, .identify = identify_tun,    \
    .discard = discard_tun, .steer = steer_tun

#define SOCKET_FUNCTIONS                                                                           \
    .check = check_attached, .configure = check_attached, .identify = identify_attached,           \
    .discard = discard_attached, .steer = steer_attached

static const struct device_kind KINDS[] = {
    {.name = "tun", .label = "TUN", .tun_type = IFF_TUN, .link_bytes = 0, TUN_FUNCTIONS},
    {.name = "tap",
     .label = "TAP",
     .tun_type = IFF_TAP,
     .link_bytes = ETHERNET_BYTES,
     TUN_FUNCTIONS},
    {.name = "attach", .label = "attached", .open = open_attached, SOCKET_FUNCTIONS},
    {.name = "veth", .label = "veth", .open = open_pair, SOCKET_FUNCTIONS},
    {.name = "stream",
     .label = "stream",
     .has_path = true,
     .open = open_stream,
     .check = check_stream,
     .configure = check_stream,
     .identify = identify_stream,
     .discard = discard_stream,
     .steer = steer_stream},
};

bool read_kind(napi_env env, napi_value value, const struct device_kind **kind) {
    char name[16];
    if (!read_text(env, value, "kind", name, sizeof name))
        return false;
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++)
        if (strcmp(KINDS[i].name, name) == 0) {
            *kind = &KINDS[i];
            return true;
        }
    return throw_range(env, "kind", "a kind of src/ports/port-kind.ts");
}
