/*
 * Stands for a virtual machine's card: what the guest sends goes out as a hypervisor sends it, and
 * back. The guest is a network namespace with a TAP called eth0; this program is its hypervisor.
 *
 *   guest-card tap GUEST HOST NAME     a TAP of the namespace HOST, called NAME, as of vhost-net
 *   guest-card stream GUEST PATH       a unix socket, as of QEMU's `-netdev stream`
 *
 * GUEST and HOST are paths of network namespaces. "ready" is printed when frames pass.
 *
 * A TAP's frames have virtio headers, and may be superpackets, as with virtio on both sides. A
 * stream's have none, and QEMU offers its guest no offload there. One thread each way, which waits
 * for a frame and writes it.
 */
#include "common.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { FRAME_BYTES = 1 << 17, LENGTH_BYTES = 4 };

static int guest, outside;

static int open_tap(const char *netns, const char *name, bool has_offloads) {
    int at = open(netns, O_RDONLY | O_CLOEXEC);
    if (at < 0 || setns(at, CLONE_NEWNET) != 0)
        fail(netns);
    close(at);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (has_offloads)
        request.ifr_flags |= IFF_VNET_HDR;
    memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
        fail("TUNSETIFF");
    unsigned offloads = has_offloads ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 : 0;
    if (ioctl(fd, TUNSETOFFLOAD, offloads) != 0)
        fail("TUNSETOFFLOAD");
    return fd;
}

static int open_stream(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strnlen(path, sizeof address.sun_path - 1));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        fail(path);
    int bytes = 4 << 20;
    want_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, bytes);
    return fd;
}

/* A device that is down, or has no room, loses the frame, as a card does. */
static void put_frame(int fd, const uint8_t *frame, size_t length) {
    if (write(fd, frame, length) < 0 && errno != EIO && errno != ENOBUFS && errno != EINVAL)
        fail("write");
}

static ssize_t get_frame(int fd, uint8_t *frame) {
    ssize_t length;
    /* EIO: the device is not up yet. */
    while ((length = read(fd, frame, FRAME_BYTES)) < 0 && errno == EIO)
        usleep(1000);
    if (length < 0)
        fail("read");
    return length;
}

/* From one TAP to the other. */
static void carry(int from, int to) {
    static _Thread_local uint8_t frame[FRAME_BYTES];
    for (;;)
        put_frame(to, frame, (size_t)get_frame(from, frame));
}

static void send_stream(void) {
    static uint8_t frame[FRAME_BYTES];
    for (;;) {
        size_t length = (size_t)get_frame(guest, frame);
        uint32_t prefix = htonl((uint32_t)length);
        struct iovec parts[] = {{&prefix, sizeof prefix}, {frame, length}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        size_t left = length + sizeof prefix;
        while (left > 0) {
            ssize_t sent = sendmsg(outside, &message, MSG_NOSIGNAL);
            if (sent < 0)
                fail("sendmsg");
            left -= (size_t)sent;
            for (size_t i = 0, gone = (size_t)sent; i < 2; i++) {
                size_t part = gone < parts[i].iov_len ? gone : parts[i].iov_len;
                parts[i].iov_base = (uint8_t *)parts[i].iov_base + part;
                parts[i].iov_len -= part;
                gone -= part;
            }
        }
    }
}

static void receive_stream(void) {
    static uint8_t buffer[2 * FRAME_BYTES];
    size_t held = 0;
    for (;;) {
        ssize_t got = recv(outside, buffer + held, sizeof buffer - held, 0);
        if (got <= 0)
            fail("recv");
        held += (size_t)got;
        size_t at = 0;
        for (;;) {
            uint32_t length;
            if (held - at < LENGTH_BYTES)
                break;
            memcpy(&length, buffer + at, sizeof length);
            length = ntohl(length);
            if (length > FRAME_BYTES) {
                fputs("a frame is too long\n", stderr);
                exit(1);
            }
            if (held - at - LENGTH_BYTES < length)
                break;
            put_frame(guest, buffer + at + LENGTH_BYTES, length);
            at += LENGTH_BYTES + length;
        }
        memmove(buffer, buffer + at, held - at);
        held -= at;
    }
}

static void *inwards(void *is_stream) {
    if (is_stream != NULL)
        receive_stream();
    carry(outside, guest);
    return NULL;
}

int main(int count, char **arguments) {
    bool is_tap = count == 5 && strcmp(arguments[1], "tap") == 0;
    bool is_stream = count == 4 && strcmp(arguments[1], "stream") == 0;
    if (!is_tap && !is_stream) {
        fputs("usage: guest-card tap GUEST HOST NAME | stream GUEST PATH\n", stderr);
        return 2;
    }
    guest = open_tap(arguments[2], "eth0", is_tap);
    outside = is_tap ? open_tap(arguments[3], arguments[4], true) : open_stream(arguments[3]);
    pthread_t thread;
    if (pthread_create(&thread, NULL, inwards, is_stream ? arguments : NULL) != 0)
        fail("pthread_create");
    say_ready();
    if (is_stream)
        send_stream();
    carry(guest, outside);
}
