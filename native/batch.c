/*
 * Theory of operation
 *
 * Problem: a call from JavaScript costs more than a small packet's read(2), and a TUN descriptor
 * gives one packet a read. So one call reads until the device is empty, into one arena:
 *
 *   start
 *   | pad | 22 headroom | 10 virtio | frame ...   | pad | 22 headroom | 10 virtio | frame ...
 *                       ^ slots[0]                                    ^ slots[3]
 *
 * Where the next packet goes is only known when the last one was read, so a batch of small packets
 * touches little memory. Rejected: a 64 KB slot a packet (a batch of 256 would walk 16 MB), and
 * readv into a list (TUN reads one packet whatever the list).
 *
 * Before each read there is room for the largest frame, and no read is given more than that: a
 * frame is never split. One that were larger than FRAME_BYTES_MAX would come cut, and its IP
 * length then disagrees with its bytes: the decoder drops it.
 *
 * Alignment: the kernel hands over the IP header wherever the buffer puts it. It is put on a
 * 4-byte boundary, so that JavaScript may read addresses as 32-bit words.
 *
 * `arena`, `slots` and `fds` may be over shared memory, but nobody else changes `slots` or `fds`
 * during a call: they belong to the loop that calls. Without that rule the check of a slot would
 * be worth nothing by the time it is used.
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
#include "device.h"
#include "failure.h"

#define ETHERNET_BYTES 14
#define SLOT_WORDS 3

/* Slots in one write: the UDP segments that every kernel with USO takes in one packet. */
#define PARTS_MAX 64

/* What one call of writeBatch is about. */
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
 * Returns packets read, or -1 if the first read failed. A failure after a packet is left for the
 * next call: these packets are whole, and it will fail again.
 */
static int read_packets(int fd, struct bytes arena, size_t cursor, struct words slots, int kind,
                        struct failure *failure) {
    const size_t to_ip = VNET_HDR_BYTES + (kind == DEVICE_TAP ? ETHERNET_BYTES : 0);
    const size_t slots_max = slots.length / SLOT_WORDS;
    int count = 0;
    while ((size_t)count < slots_max) {
        size_t offset = cursor + HEADROOM_BYTES;
        /* By address, not by offset: a view may begin anywhere in its buffer. */
        offset += -((uintptr_t)arena.data + offset + to_ip) & 3;
        if (offset + VNET_HDR_BYTES + FRAME_BYTES_MAX > arena.length)
            break;
        ssize_t length = read_packet(fd, arena.data + offset, VNET_HDR_BYTES + FRAME_BYTES_MAX);
        if (length < 0) {
            if (errno != EAGAIN && count == 0)
                return explain_read(fd, errno, failure);
            break;
        }
        if (length < VNET_HDR_BYTES) {
            /* Not a device of ours. At the end of a file this would go on for ever. */
            if (count == 0)
                return fail(failure, EIO, "read", NULL,
                            "descriptor %d gave %zd bytes, less than a virtio header", fd, length);
            break;
        }
        int32_t *slot = slots.data + (size_t)count * SLOT_WORDS;
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
    napi_value arguments[5];
    int fd;
    struct bytes arena;
    struct words slots;
    int32_t start, kind;
    if (!read_arguments(env, info, 5, arguments) || !read_descriptor(env, arguments[0], &fd) ||
        !read_bytes(env, arguments[1], "arena", &arena) ||
        !read_integer(env, arguments[2], "start", 0, (int32_t)arena.length, &start) ||
        !read_words(env, arguments[3], "slots", &slots) ||
        !read_integer(env, arguments[4], "kind", DEVICE_TUN, DEVICE_TAP, &kind))
        return NULL;
    struct failure failure;
    int count = read_packets(fd, arena, (size_t)start, slots, kind, &failure);
    return count < 0 ? throw_failure(env, &failure) : return_count(env, count);
}

static bool is_inside(const int32_t *slot, size_t arena_bytes) {
    return slot[0] >= 0 && slot[1] >= 0 && (size_t)slot[0] + (size_t)slot[1] <= arena_bytes;
}

/*
 * The chain of a slot goes upwards, so it ends. Returns the name of what is wrong with it, or NULL.
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

/* Before anything is written: a bad slot is our own bug, and half a batch out would hide it. */
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

/* Gathers a slot and those chained to it. Returns how many. */
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
        else /* A TUN takes all or nothing; half a packet elsewhere is no packet. */
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
