/*
 * Opens an interface of the host's by packet sockets, and reads frames of it: one that somebody
 * else made, or the host's end of a veth pair of ours (veth.c).
 *
 * Theory of operation
 *
 * Docker's bridge, CNI, libvirt, Firecracker and others leave one end of a veth pair, or a TAP, in
 * the host's namespace. What the instance sends comes in there. A packet socket on it
 * (packet(7)) gets every frame, and sends frames to the instance. With PACKET_VNET_HDR each has a
 * virtio header in front both ways, so checksums and segmentation are left to others as on a TAP
 * of ours. guard.c keeps the host from the interface. It does so before the socket is opened, and
 * stays when the socket is closed.
 *
 * Several queues are several sockets in a fanout group, whose program steer.c makes. The kernel
 * gives no program without a group, and a group has another use: only so many sockets may be in
 * it. A second daemon on the same interface is refused, where otherwise each packet would pass
 * twice. So there is always a group. A socket drops everything until it is in the group.
 *
 * What somebody else made is brought up by him. The end of a pair of ours is brought up here, once
 * it is guarded.
 *
 * A socket outlives its interface. What has become of that link-watch.c tells, and is asked by name
 * then (lookAtDevice).
 */
#include "attach.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"
#include "guard.h"
#include "link.h"
#include "netns.h"
#include "rtnetlink.h"

/* Linux 5.18; absent from older headers. */
#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

/* Linux 4.10; absent from the headers of some C libraries. */
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

/* A superpacket counts as about 70 KB. This holds some 200, or 10,000 small packets. */
#define BUFFER_BYTES (16 << 20)

#define CALL "rtnetlink RTM_GETADDR"

_Static_assert(sizeof((struct receiving *)0)->control == CMSG_SPACE(sizeof(struct tpacket_auxdata)),
               "room for what the kernel tells of a frame");

/* The most packets that a queue holds are fewer. */
#define DRAINED_MAX 100000

/* struct fanout_args of linux/if_packet.h since Linux 5.12, on little-endian machines. */
struct fanout {
    uint16_t id;
    uint16_t type;
    uint32_t members_max;
};

/* UDP superpackets have a word in the virtio header since Linux 6.2. */
static bool knows_uso(void) {
    struct utsname system;
    int major = 0, minor = 0;
    if (uname(&system) != 0 || sscanf(system.release, "%d.%d", &major, &minor) != 2)
        return false;
    return major > 6 || (major == 6 && minor >= 2);
}

/* Reads MTU, flags and link type. Returns the link type, or -1. */
static int read_link_state(const char *name, int *mtu, bool *is_up) {
    struct ifreq request = {0};
    int type = -1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    memcpy(request.ifr_name, name, strlen(name));
    if (ioctl(fd, SIOCGIFMTU, &request) == 0) {
        *mtu = request.ifr_mtu;
        if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
            *is_up = (request.ifr_flags & IFF_UP) != 0;
            if (ioctl(fd, SIOCGIFHWADDR, &request) == 0)
                type = request.ifr_hwaddr.sa_family;
        }
    }
    close(fd);
    return type;
}

/* What the host has on an interface. */
struct host_address {
    uint32_t ifindex;
    char text[INET6_ADDRSTRLEN]; /* "": none */
};

/* A message_reader: notes an address of the interface, which is none that the kernel chose. */
static int read_address(void *context, const struct nlmsghdr *header) {
    struct host_address *found = context;
    const struct ifaddrmsg *body = NLMSG_DATA(header);
    if (header->nlmsg_type != RTM_NEWADDR)
        return 0;
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof *body))
        return EBADMSG;
    /* The kernel gives it a link-local IPv6 address by itself; that one is nobody's choice. */
    bool is_ours = body->ifa_index == found->ifindex && found->text[0] == '\0';
    if (!is_ours || (body->ifa_family != AF_INET && body->ifa_family != AF_INET6) ||
        (body->ifa_family == AF_INET6 && body->ifa_scope == RT_SCOPE_LINK))
        return 0;
    int length = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof *body));
    const struct rtattr *own = NULL;
    /* With another end, IFA_ADDRESS is that end's. */
    for (const struct rtattr *attribute = IFA_RTA(body); RTA_OK(attribute, length);
         attribute = RTA_NEXT(attribute, length))
        if (attribute->rta_type == IFA_LOCAL || (attribute->rta_type == IFA_ADDRESS && own == NULL))
            own = attribute;
    size_t bytes = body->ifa_family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    if (own == NULL || RTA_PAYLOAD(own) != bytes)
        return EBADMSG;
    inet_ntop(body->ifa_family, RTA_DATA(own), found->text, sizeof found->text);
    return 0;
}

/*
 * Looks for an address that the host has on the interface. Asks for addresses alone: getifaddrs(3)
 * lists all interfaces first, which took longer than all the rest of opening one of a thousand.
 */
static int find_address(const struct opening *opening, struct host_address *found,
                        struct failure *failure) {
    const struct ifaddrmsg body = {.ifa_family = AF_UNSPEC};
    struct request request;
    *found = (struct host_address){.ifindex = opening->ifindex};
    start_request(&request, CALL, (int)opening->ifindex, RTM_GETADDR, NLM_F_DUMP, &body,
                  sizeof body);
    int number = ask_kernel(&request, read_address, found);
    if (number == 0)
        return 0;
    return fail(failure, number, CALL, opening->wanted,
                "interface %s cannot be attached: its addresses cannot be read: %s",
                opening->wanted, strerror(number));
}

/* Checks that the interface may be attached, and guards it, up or not. */
static int prepare(struct opening *opening, struct failure *failure) {
    const char *name = opening->wanted;
    struct host_address address;
    if (find_ifindex(name, &opening->ifindex, failure) != 0)
        return -1;
    if (opening->ifindex == 0)
        return fail(failure, ENODEV, "ioctl SIOCGIFINDEX", name,
                    "there is no interface %s; it is attached once somebody makes it", name);
    int type = read_link_state(name, &opening->mtu, &opening->is_up);
    if (type != ARPHRD_ETHER)
        return fail(failure, EINVAL, "ioctl SIOCGIFHWADDR", name,
                    "interface %s cannot be attached: it carries no Ethernet", name);
    if (find_address(opening, &address, failure) != 0)
        return -1;
    if (address.text[0] != '\0')
        return fail(failure, EADDRINUSE, CALL, name,
                    "interface %s cannot be attached: the host has the address %s on it, and would "
                    "be cut off from it; name the instance's interface, or take the address away: "
                    "ip address flush dev %s",
                    name, address.text, name);
    return guard_interface(name, failure);
}

/* Of an end that we made. Its guard stands. */
static int bring_up(struct opening *opening, struct failure *failure) {
    struct ifreq request = {0};
    const char *name = opening->wanted;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(request.ifr_name, name, IFNAMSIZ);
    int status = fd < 0 ? -1 : ioctl(fd, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    if (status == 0)
        status = ioctl(fd, SIOCSIFFLAGS, &request);
    int number = errno;
    if (fd >= 0)
        close(fd);
    opening->is_up = status == 0;
    if (status == 0)
        return 0;
    return fail(failure, number, "ioctl SIOCSIFFLAGS", name, "interface %s cannot be set up: %s",
                name, strerror(number));
}

static bool set_option(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

static bool join_group(const struct opening *opening) {
    const struct fanout fanout = {
        .id = (uint16_t)opening->ifindex,
        .type = PACKET_FANOUT_EBPF | PACKET_FANOUT_FLAG_IGNORE_OUTGOING,
        .members_max = (uint32_t)opening->queues,
    };
    return setsockopt(opening->fd, SOL_PACKET, PACKET_FANOUT, &fanout, sizeof fanout) == 0;
}

/* Sets up the socket. Returns the call that failed, or NULL. */
static const char *set_up_socket(const struct opening *opening) {
    int fd = opening->fd;
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog nothing = {.len = 1, .filter = &drop};
    struct sockaddr_ll place = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)opening->ifindex,
    };
    /* Beyond the limits of net.core with CAP_NET_ADMIN, else as far as they go. */
    if (!set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES))
        (void)set_option(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
    if (!set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES))
        (void)set_option(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
    if (!set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1))
        return "setsockopt PACKET_VNET_HDR";
    if (!set_option(fd, SOL_PACKET, PACKET_AUXDATA, 1))
        return "setsockopt PACKET_AUXDATA";
    if (!set_option(fd, SOL_SOCKET, SO_MARK, GUARD_MARK))
        return "setsockopt SO_MARK";
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &nothing, sizeof nothing) != 0)
        return "setsockopt SO_ATTACH_FILTER";
    if (bind(fd, (struct sockaddr *)&place, sizeof place) != 0)
        return "bind";
    if (!join_group(opening))
        return "setsockopt PACKET_FANOUT";
    return set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0) ? NULL : "setsockopt SO_DETACH_FILTER";
}

static int explain_socket(const struct opening *opening, const char *call, int number,
                          struct failure *failure) {
    const char *name = opening->wanted;
    if (number == ENOSPC)
        return fail(failure, EBUSY, call, name, "interface %s is attached by another process",
                    name);
    return fail(failure, number, call, name, "interface %s cannot be attached: %s", name,
                number == EPERM ? "CAP_NET_RAW in its network namespace is needed"
                                : strerror(number));
}

static int open_socket(struct opening *opening, struct failure *failure) {
    memcpy(opening->name, opening->wanted, IFNAMSIZ);
    opening->offloads =
        (struct offloads){.checksum = true, .tso4 = true, .tso6 = true, .uso = knows_uso()};
    opening->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (opening->fd < 0)
        return explain_socket(opening, "socket AF_PACKET", errno, failure);
    const char *call = set_up_socket(opening);
    if (call == NULL)
        return 0;
    int number = errno;
    close(opening->fd);
    return explain_socket(opening, call, number, failure);
}

int open_attached(struct opening *opening, struct failure *failure) {
    const char *name = opening->wanted;
    if (prepare(opening, failure) != 0)
        return -1;
    if (!opening->is_up)
        return fail(failure, ENETDOWN, "ioctl SIOCGIFFLAGS", name,
                    "interface %s is down: ip link set %s up", name, name);
    return open_socket(opening, failure);
}

int open_pair(struct opening *opening, struct failure *failure) {
    if (prepare(opening, failure) != 0 || (!opening->is_up && bring_up(opening, failure) != 0))
        return -1;
    return open_socket(opening, failure);
}

/* No descriptor of this kind is kept: the interface stays without it. */
int check_attached(struct opening *opening, struct failure *failure) {
    return explain_stranger(opening, failure, "an attached interface is opened anew");
}

int identify_attached(struct location *location, struct failure *failure) {
    struct sockaddr_ll place = {0};
    socklen_t length = sizeof place;
    struct ifreq request = {0};
    int status = getsockname(location->fd, (struct sockaddr *)&place, &length);
    request.ifr_ifindex = place.sll_ifindex;
    if (status != 0 || ioctl(location->fd, SIOCGIFNAME, &request) != 0) {
        int number = errno;
        return fail(failure, number, "ioctl SIOCGIFNAME", NULL,
                    "descriptor %d has no interface: %s", location->fd, strerror(number));
    }
    memcpy(location->name, request.ifr_name, IFNAMSIZ);
    location->name[IFNAMSIZ - 1] = '\0';
    location->netns = ioctl(location->fd, SIOCGSKNS);
    if (location->netns < 0) {
        int number = errno;
        return fail(failure, number, "ioctl SIOCGSKNS", location->name,
                    "the network namespace of interface %s cannot be told: %s", location->name,
                    strerror(number));
    }
    return 0;
}

void discard_attached(const struct opening *opening) {
    close(opening->fd);
}

int steer_attached(int fd, const char *name, int program, int queues, struct failure *failure) {
    (void)queues; /* The group takes no more sockets than that. */
    if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof program) != 0) {
        int number = errno;
        return fail(failure, number, "setsockopt PACKET_FANOUT_DATA", name,
                    "packets of %s cannot be shared out among queues: %s", name, strerror(number));
    }
    /* Without the program all packets came to the first queue. They may belong to others. */
    char byte;
    for (int i = 0; i < DRAINED_MAX; i++)
        if (recv(fd, &byte, sizeof byte, MSG_TRUNC) < 0 && errno == EAGAIN)
            break;
    return 0;
}

/* Puts a tag between the addresses and the type of the frame behind the virtio header. */
static void put_tag(uint8_t *buffer, const struct tpacket_auxdata *aux) {
    struct vnet_header header;
    uint16_t tag[2] = {
        htons(aux->tp_status & TP_STATUS_VLAN_TPID_VALID ? aux->tp_vlan_tpid : ETHERTYPE_VLAN),
        htons(aux->tp_vlan_tci),
    };
    uint8_t *start = buffer - VLAN_TAG_BYTES;
    memcpy(&header, buffer, sizeof header);
    if (header.header_bytes != 0)
        header.header_bytes += VLAN_TAG_BYTES;
    if (header.flags != 0)
        header.csum_start += VLAN_TAG_BYTES;
    memcpy(start, &header, sizeof header);
    memmove(start + VNET_HDR_BYTES, buffer + VNET_HDR_BYTES, 2 * ETH_ALEN);
    memcpy(start + VNET_HDR_BYTES + 2 * ETH_ALEN, tag, sizeof tag);
}

void begin_receive(struct receiving *receiving, uint8_t *buffer, size_t size) {
    receiving->part = (struct iovec){.iov_base = buffer, .iov_len = size};
    receiving->message = (struct msghdr){
        .msg_iov = &receiving->part,
        .msg_iovlen = 1,
        .msg_control = receiving->control,
        .msg_controllen = sizeof receiving->control,
    };
}

ssize_t end_receive(struct receiving *receiving, ssize_t length, size_t *moved) {
    uint8_t *buffer = receiving->part.iov_base;
    *moved = 0;
    if (length == -EINVAL) {
        /*
         * The virtio header has no word for what the packet leaves to the device. The packet is
         * lost. An empty one takes its place, so that it is counted.
         */
        memset(buffer, 0, VNET_HDR_BYTES);
        return VNET_HDR_BYTES;
    }
    if (length == -ENETDOWN)
        return -EAGAIN; /* lookAtDevice sees that too, and says what has become of it. */
    const struct cmsghdr *item = length < 0 ? NULL : CMSG_FIRSTHDR(&receiving->message);
    if (item == NULL || item->cmsg_level != SOL_PACKET || item->cmsg_type != PACKET_AUXDATA)
        return length;
    struct tpacket_auxdata aux;
    memcpy(&aux, CMSG_DATA(item), sizeof aux);
    if (!(aux.tp_status & TP_STATUS_VLAN_VALID) || length < VNET_HDR_BYTES + ETHER_HDR_LEN)
        return length;
    put_tag(buffer, &aux);
    *moved = VLAN_TAG_BYTES;
    return length + VLAN_TAG_BYTES;
}

static int guard_here(void *context, struct failure *failure) {
    return prepare(context, failure);
}

napi_value guard_device(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    struct opening opening = {0};
    char storage[PATH_MAX];
    const char *netns;
    if (!read_arguments(env, info, 2, arguments) ||
        !read_netns(env, arguments[0], storage, &netns) ||
        !read_text(env, arguments[1], "name", opening.wanted, IFNAMSIZ))
        return NULL;
    struct failure failure;
    if (run_in_netns(netns, guard_here, &opening, &failure) != 0)
        return throw_failure(env, &failure);
    return NULL;
}

/* What lookAtDevice finds. */
struct view {
    char name[IFNAMSIZ];
    unsigned ifindex;
    int mtu;
    bool is_up;
    bool is_guarded;
};

static int look_here(void *context, struct failure *failure) {
    struct view *view = context;
    if (find_ifindex(view->name, &view->ifindex, failure) != 0)
        return -1;
    if (view->ifindex == 0)
        return 0;
    (void)read_link_state(view->name, &view->mtu, &view->is_up);
    return look_at_guard(view->name, &view->is_guarded, failure);
}

napi_value look_at_device(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result, ifindex, mtu, is_up, is_guarded;
    struct view view = {0};
    char storage[PATH_MAX];
    const char *netns;
    if (!read_arguments(env, info, 2, arguments) ||
        !read_netns(env, arguments[0], storage, &netns) ||
        !read_text(env, arguments[1], "name", view.name, sizeof view.name))
        return NULL;
    struct failure failure;
    if (run_in_netns(netns, look_here, &view, &failure) != 0)
        return throw_failure(env, &failure);
    if (napi_create_object(env, &result) == napi_ok &&
        napi_create_uint32(env, view.ifindex, &ifindex) == napi_ok &&
        napi_set_named_property(env, result, "ifindex", ifindex) == napi_ok &&
        napi_create_int32(env, view.mtu, &mtu) == napi_ok &&
        napi_set_named_property(env, result, "mtu", mtu) == napi_ok &&
        napi_get_boolean(env, view.is_up, &is_up) == napi_ok &&
        napi_set_named_property(env, result, "isUp", is_up) == napi_ok &&
        napi_get_boolean(env, view.is_guarded, &is_guarded) == napi_ok &&
        napi_set_named_property(env, result, "isGuarded", is_guarded) == napi_ok)
        return result;
    return throw_napi(env);
}
