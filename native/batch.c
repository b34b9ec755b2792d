/*
 * Reads and writes packets, many in a call.
 *
 * Theory of operation
 *
 * Problem: a call from JavaScript costs more than the read(2) of a small packet, and a TUN
 * descriptor gives one packet a read. So one call reads until the device is empty, into one
 * arena:
 *
 *   start
 *   | pad | 22 headroom | 10 virtio | frame ...   | pad | 22 headroom | 10 virtio | frame ...
 *                       ^ slots[0]                                    ^ slots[3]
 *
 * The place of a packet is known only after the one before it was read, so a batch of small
 * packets touches little memory. Rejected: a slot of 64 KB for each packet (a batch of 256 would
 * walk 16 MB). Rejected: readv into a list (TUN reads one packet whatever the list).
 *
 * Before each read there is room for the largest frame, and a read gets no more room than that,
 * so no frame is split. A frame larger than FRAME_BYTES_MAX would be cut. Its IP length would
 * then contradict its bytes, and the decoder would drop it.
 *
 * Alignment: the kernel writes the IP header wherever the buffer puts it. We put it on a 4-byte
 * boundary, so that JavaScript can read addresses as 32-bit words.
 *
 * `arena`, `slots` and `fds` may be in shared memory, but only the calling loop may change
 * `slots` or `fds` during a call. Without that rule a slot could change after it was checked.
 */
#include "batch.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "arguments.h"
#include "attach.h"
#include "failure.h"
#include "kinds.h"

#define LINK_BYTES_MAX 14
#define SLOT_WORDS 3

/* The most slots in one write: the number of UDP segments that every kernel with USO takes. */
#define PARTS_MAX 64

/* The arguments of a call of writeBatch. */
struct batch {
    struct bytes arena;
    struct words slots;
    struct words fds;
    bool has_next;
    struct words next;
    size_t count;
};

static int32_t *slot_of(struct batch batch, size_t i) {
    return batch.slots.data + i * SLOT_WORDS;
}

/* The slot that follows in the same write, or 0. */
static int32_t next_of(struct batch batch, size_t i) {
    return batch.has_next ? batch.next.data[i] : 0;
}

static ssize_t read_packet(int fd, void *buffer, size_t size) {
    ssize_t length;
    do
        length = read(fd, buffer, size);
    while (length < 0 && errno == EINTR);
    return length;
}

static ssize_t write_packet(int fd, const void *buffer, size_t size) {
    ssize_t length;
    do
        length = write(fd, buffer, size);
    while (length < 0 && errno == EINTR);
    return length;
}

static ssize_t write_parts(int fd, const struct iovec *parts, int count) {
    ssize_t length;
    do
        length = writev(fd, parts, count);
    while (length < 0 && errno == EINTR);
    return length;
}

static int explain_read(int fd, int number, struct failure *failure) {
    struct ifreq request = {0};
    const char *name = ioctl(fd, TUNGETIFF, &request) == 0 ? request.ifr_name : NULL;
    if (number == EBADFD)
        return fail(failure, number, "read", name,
                    "the interface of descriptor %d is gone: somebody deleted it", fd);
    if (name == NULL)
        return fail(failure, number, "read", name, "descriptor %d cannot be read: %s", fd,
                    strerror(number));
    return fail(failure, number, "read", name, "interface %s cannot be read: %s", name,
                strerror(number));
}

/*
 * Returns the number of packets read, or -1 if the first read failed. If a later read fails, the
 * packets before it are whole, and the next call will see the failure again.
 */
static int read_packets(int fd, bool is_socket, struct bytes arena, size_t cursor,
                        struct words slots, size_t link_bytes, struct failure *failure) {
    const size_t to_ip = VNET_HDR_BYTES + link_bytes;
    const size_t slots_max = slots.length / SLOT_WORDS;
    int count = 0;
    while ((size_t)count < slots_max) {
        size_t offset = cursor + HEADROOM_BYTES;
        /* Align the address, not the offset: a view may begin anywhere in its buffer. */
        offset += -((uintptr_t)arena.data + offset + to_ip) & 3;
        if (offset + VNET_HDR_BYTES + FRAME_BYTES_MAX > arena.length)
            break;
        const size_t room = VNET_HDR_BYTES + FRAME_BYTES_MAX;
        size_t moved = 0;
        ssize_t length = is_socket ? receive_frame(fd, arena.data + offset, room, &moved)
                                   : read_packet(fd, arena.data + offset, room);
        if (length < 0) {
            if (errno != EAGAIN && count == 0)
                return explain_read(fd, errno, failure);
            break;
        }
        if (length < VNET_HDR_BYTES) {
            /* This is no device of ours. At the end of a file the loop would never end. */
            if (count == 0)
                return fail(failure, EIO, "read", NULL,
                            "descriptor %d gave %zd bytes, less than a virtio header", fd, length);
            break;
        }
        int32_t *slot = slots.data + (size_t)count * SLOT_WORDS;
        offset -= moved;
        slot[0] = (int32_t)offset;
        slot[1] = (int32_t)length;
        slot[2] = 0;
        cursor = offset + (size_t)length;
        count++;
    }
    return count;
}

static napi_value return_count(napi_env env, int count) {
    napi_value result;
    return napi_create_int32(env, count, &result) == napi_ok ? result : throw_napi(env);
}

napi_value read_batch(napi_env env, napi_callback_info info) {
    napi_value arguments[6];
    int fd;
    struct bytes arena;
    struct words slots;
    int32_t start, link_bytes;
    bool has_kind, is_socket = false;
    if (!read_arguments(env, info, 6, arguments) || !read_descriptor(env, arguments[0], &fd) ||
        !read_bytes(env, arguments[1], "arena", &arena) ||
        !read_integer(env, arguments[2], "start", 0, (int32_t)arena.length, &start) ||
        !read_words(env, arguments[3], "slots", &slots) ||
        !read_integer(env, arguments[4], "linkBytes", 0, LINK_BYTES_MAX, &link_bytes) ||
        !read_presence(env, arguments[5], &has_kind) ||
        (has_kind && !read_boolean(env, arguments[5], "isSocket", &is_socket)))
        return NULL;
    struct failure failure;
    int count =
        read_packets(fd, is_socket, arena, (size_t)start, slots, (size_t)link_bytes, &failure);
    return count < 0 ? throw_failure(env, &failure) : return_count(env, count);
}

static bool is_inside(const int32_t *slot, size_t arena_bytes) {
    return slot[0] >= 0 && slot[1] >= 0 && (size_t)slot[0] + (size_t)slot[1] <= arena_bytes;
}

/*
 * Checks the chain of a slot. It only goes upwards, so it ends. Returns what is wrong with it, or
 * NULL.
 */
static const char *check_chain(struct batch batch, size_t i) {
    size_t parts = 1;
    for (size_t j = i; next_of(batch, j) != 0; parts++) {
        int32_t next = next_of(batch, j);
        if (next < 0 || (size_t)next <= j || (size_t)next >= batch.count)
            return "followed by a slot behind it";
        if (parts == PARTS_MAX)
            return "part of a write of at most 64 slots";
        if (!is_inside(slot_of(batch, (size_t)next), batch.arena.length))
            return "followed by slots inside the arena";
        j = (size_t)next;
    }
    return NULL;
}

/*
 * Checks all slots before anything is written. A bad slot is our own bug, and half a written
 * batch would hide it.
 */
static bool check_slots(napi_env env, struct batch batch) {
    for (size_t i = 0; i < batch.count; i++) {
        const int32_t *slot = slot_of(batch, i);
        if (slot[2] < 0)
            continue;
        const char *expected = NULL;
        if (!is_inside(slot, batch.arena.length))
            expected = "inside the arena";
        else if ((size_t)slot[2] >= batch.fds.length)
            expected = "for a descriptor in fds";
        else
            expected = check_chain(batch, i);
        if (expected != NULL) {
            char name[32];
            snprintf(name, sizeof name, "slot %zu", i);
            return throw_range(env, name, expected);
        }
    }
    return true;
}

/* Gathers a slot and the slots chained to it. Returns their number. */
static int gather(struct batch batch, size_t i, struct iovec *parts, size_t *bytes) {
    int count = 0;
    size_t j = i;
    *bytes = 0;
    do {
        const int32_t *slot = slot_of(batch, j);
        parts[count].iov_base = batch.arena.data + slot[0];
        parts[count].iov_len = (size_t)slot[1];
        *bytes += (size_t)slot[1];
        count++;
        j = (size_t)next_of(batch, j);
    } while (j != 0);
    return count;
}

static int write_packets(struct batch batch) {
    int written = 0;
    for (size_t i = 0; i < batch.count; i++) {
        int32_t *slot = slot_of(batch, i);
        if (slot[2] < 0)
            continue;
        int fd = batch.fds.data[slot[2]];
        if (fd == FD_OF_STREAM)
            continue;
        int slots = 1;
        size_t bytes = (size_t)slot[1];
        ssize_t length;
        if (next_of(batch, i) == 0) {
            length = write_packet(fd, batch.arena.data + slot[0], bytes);
        } else {
            struct iovec parts[PARTS_MAX];
            slots = gather(batch, i, parts, &bytes);
            length = write_parts(fd, parts, slots);
        }
        if (length >= 0 && (size_t)length == bytes)
            written += slots;
        else /* A TUN takes all or nothing. Half a packet on anything else is no packet. */
            slot[2] = length < 0 ? -errno : -EIO;
    }
    return written;
}

napi_value write_batch(napi_env env, napi_callback_info info) {
    napi_value arguments[5];
    struct batch batch;
    int32_t count;
    if (!read_arguments(env, info, 5, arguments) ||
        !read_bytes(env, arguments[0], "arena", &batch.arena) ||
        !read_words(env, arguments[1], "slots", &batch.slots) ||
        !read_integer(env, arguments[2], "count", 0, (int32_t)(batch.slots.length / SLOT_WORDS),
                      &count) ||
        !read_words(env, arguments[3], "fds", &batch.fds) ||
        !read_presence(env, arguments[4], &batch.has_next) ||
        (batch.has_next && !read_words(env, arguments[4], "next", &batch.next)))
        return NULL;
    batch.count = (size_t)count;
    if (batch.has_next && batch.next.length < batch.count) {
        throw_range(env, "next", "at least count words long");
        return NULL;
    }
    if (!check_slots(env, batch))
        return NULL;
    return return_count(env, write_packets(batch));
}
