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
 * A packet socket gives and takes several frames in one system call (recvmmsg(2), sendmmsg(2)).
 * They are read into places a largest frame apart, and each small one is moved down behind the one
 * before it, which costs far less than a call. Large ones are read one by one: there the copying
 * counts. So are the first few, since mostly there are no more. Frames to several sockets are
 * sorted by socket before they are sent; those of one socket keep their order. Rejected: io_uring,
 * which does the same for a TUN (docs/performance.md has the figures).
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
#include <sys/socket.h>
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

/* Frames that one call sends: more of them bring nothing. */
#define SENDS_MAX 64

/* The parts of all frames that wait to be sent. */
#define SEND_PARTS_MAX (4 * PARTS_MAX)

/* Frames that one call reads: as many as have room in the loop's arena at their largest. */
#define READS_MAX 15

/*
 * After this many frames several are asked for at once: at first twice as many as came before them.
 * Fewer frames are mostly all there are, and to ask for what is not there costs too.
 */
#define READS_ALONE 4

/* The largest frame after which several are read at once. */
#define SMALL_BYTES 2048

/* The arguments of a call of readBatch. */
struct reader {
    int fd;
    bool is_socket;
    struct bytes arena;
    struct words slots;
    size_t link_bytes;
};

/* A place in the arena for a largest frame, and what was read into it. */
struct place {
    size_t offset;
    /* Of virtio header and frame, or minus an errno. */
    ssize_t length;
    /* The virtio header begins so many bytes before `offset`. */
    size_t moved;
};

/* The arguments of a call of writeBatch. */
struct batch {
    struct bytes arena;
    struct words slots;
    struct words fds;
    bool has_next;
    struct words next;
    size_t count;
};

/* A write: a slot, and the slots chained to it. */
struct write {
    size_t slot;
    int fd;
    struct iovec *parts;
    int slots;
    size_t bytes;
    bool is_done;
};

/* Writes to packet sockets that wait for others to the same one. */
struct sends {
    size_t count;
    size_t parts_count;
    struct write writes[SENDS_MAX];
    struct iovec parts[SEND_PARTS_MAX];
};

static int32_t *slot_of(struct batch batch, size_t i) {
    return batch.slots.data + i * SLOT_WORDS;
}

/* The slot that follows in the same write, or 0. */
static int32_t next_of(struct batch batch, size_t i) {
    return batch.has_next ? batch.next.data[i] : 0;
}

/* These return bytes, or minus an errno. */

static ssize_t read_packet(int fd, void *buffer, size_t size) {
    ssize_t length;
    do
        length = read(fd, buffer, size);
    while (length < 0 && errno == EINTR);
    return length < 0 ? -errno : length;
}

static ssize_t receive_message(int fd, struct msghdr *message) {
    ssize_t length;
    do
        length = recvmsg(fd, message, 0);
    while (length < 0 && errno == EINTR);
    return length < 0 ? -errno : length;
}

static ssize_t write_packet(int fd, const struct iovec *parts, int count) {
    ssize_t length;
    do
        length = count == 1 ? write(fd, parts->iov_base, parts->iov_len) : writev(fd, parts, count);
    while (length < 0 && errno == EINTR);
    return length < 0 ? -errno : length;
}

/* @param length what was read in place of a packet: bytes, or minus an errno */
static int explain_read(int fd, ssize_t length, struct failure *failure) {
    /* This is no device of ours. At the end of a file the loop would never end. */
    if (length >= 0)
        return fail(failure, EIO, "read", NULL,
                    "descriptor %d gave %zd bytes, less than a virtio header", fd, length);
    const int number = (int)-length;
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

/* Where a packet goes whose room begins at `cursor`. */
static size_t offset_at(const struct reader *reader, size_t cursor) {
    size_t offset = cursor + HEADROOM_BYTES;
    /* Align the address, not the offset: a view may begin anywhere in its buffer. */
    uintptr_t ip = (uintptr_t)reader->arena.data + offset + VNET_HDR_BYTES + reader->link_bytes;
    return offset + (-ip & 3);
}

/* Finds at most `wanted` places from `cursor` on. Returns how many have room. */
static int find_places(const struct reader *reader, size_t cursor, int wanted,
                       struct place *places) {
    int found = 0;
    for (; found < wanted; found++) {
        size_t offset = offset_at(reader, cursor);
        cursor = offset + VNET_HDR_BYTES + FRAME_BYTES_MAX;
        if (cursor > reader->arena.length)
            break;
        places[found] = (struct place){.offset = offset};
    }
    return found;
}

static void read_one(const struct reader *reader, struct place *place) {
    uint8_t *buffer = reader->arena.data + place->offset;
    const size_t room = VNET_HDR_BYTES + FRAME_BYTES_MAX;
    if (!reader->is_socket) {
        place->length = read_packet(reader->fd, buffer, room);
        return;
    }
    struct receiving receiving;
    begin_receive(&receiving, buffer, room);
    place->length =
        end_receive(&receiving, receive_message(reader->fd, &receiving.message), &place->moved);
}

/*
 * Reads into all places in one call. If a frame fails that is not the first, the kernel keeps the
 * error at the socket. There epoll would find it, and a socket with an error counts as lost. So
 * it is fetched here, and is the result of that frame.
 */
static void read_many(const struct reader *reader, struct place *places, int count) {
    struct receiving receiving[READS_MAX];
    struct mmsghdr messages[READS_MAX];
    for (int i = 0; i < count; i++) {
        begin_receive(&receiving[i], reader->arena.data + places[i].offset,
                      VNET_HDR_BYTES + FRAME_BYTES_MAX);
        messages[i] = (struct mmsghdr){.msg_hdr = receiving[i].message};
    }
    int got;
    do
        got = recvmmsg(reader->fd, messages, (unsigned)count, MSG_DONTWAIT, NULL);
    while (got < 0 && errno == EINTR);
    int number = errno;
    if (got > 0 && got < count) {
        socklen_t length = sizeof number;
        if (getsockopt(reader->fd, SOL_SOCKET, SO_ERROR, &number, &length) != 0 || number == 0)
            number = EAGAIN;
    }
    if (got < 0)
        got = 0;
    for (int i = 0; i < count; i++) {
        ssize_t length = i < got ? (ssize_t)messages[i].msg_len : i == got ? -number : -EAGAIN;
        receiving[i].message = messages[i].msg_hdr;
        places[i].length = end_receive(&receiving[i], length, &places[i].moved);
    }
}

/* How many packets to ask for, after `count` of which the last had `last_bytes`. */
static int reads_after(const struct reader *reader, int count, size_t last_bytes) {
    const int left = (int)(reader->slots.length / SLOT_WORDS) - count;
    int wanted = 1;
    if (reader->is_socket && count >= READS_ALONE && last_bytes <= SMALL_BYTES)
        wanted = 2 * count < READS_MAX ? 2 * count : READS_MAX;
    return wanted < left ? wanted : left;
}

/*
 * Returns the number of packets read, or -1 if the first read failed. If a later read fails, the
 * packets before it are whole, and the next call will see the failure again. What came after one
 * that failed is kept.
 */
static int read_packets(const struct reader *reader, size_t cursor, struct failure *failure) {
    struct place places[READS_MAX];
    size_t last_bytes = 0;
    int count = 0;
    for (bool is_empty = false; !is_empty;) {
        int reads = find_places(reader, cursor, reads_after(reader, count, last_bytes), places);
        if (reads <= 0)
            break;
        if (reads == 1)
            read_one(reader, places);
        else
            read_many(reader, places, reads);
        for (int i = 0; i < reads; i++) {
            const struct place *place = &places[i];
            if (place->length < VNET_HDR_BYTES) {
                if (count == 0 && place->length != -EAGAIN)
                    return explain_read(reader->fd, place->length, failure);
                is_empty = true;
                continue;
            }
            const size_t from = place->offset - place->moved;
            const size_t offset = offset_at(reader, cursor) - place->moved;
            last_bytes = (size_t)place->length;
            if (offset != from)
                memmove(reader->arena.data + offset, reader->arena.data + from, last_bytes);
            int32_t *slot = reader->slots.data + (size_t)count * SLOT_WORDS;
            slot[0] = (int32_t)offset;
            slot[1] = (int32_t)last_bytes;
            slot[2] = 0;
            cursor = offset + last_bytes;
            count++;
        }
    }
    return count;
}

static napi_value return_count(napi_env env, int count) {
    napi_value result;
    return napi_create_int32(env, count, &result) == napi_ok ? result : throw_napi(env);
}

napi_value read_batch(napi_env env, napi_callback_info info) {
    napi_value arguments[6];
    struct reader reader = {0};
    int32_t start, link_bytes;
    bool has_kind;
    if (!read_arguments(env, info, 6, arguments) ||
        !read_descriptor(env, arguments[0], &reader.fd) ||
        !read_bytes(env, arguments[1], "arena", &reader.arena) ||
        !read_integer(env, arguments[2], "start", 0, (int32_t)reader.arena.length, &start) ||
        !read_words(env, arguments[3], "slots", &reader.slots) ||
        !read_integer(env, arguments[4], "linkBytes", 0, LINK_BYTES_MAX, &link_bytes) ||
        !read_presence(env, arguments[5], &has_kind) ||
        (has_kind && !read_boolean(env, arguments[5], "isSocket", &reader.is_socket)))
        return NULL;
    reader.link_bytes = (size_t)link_bytes;
    struct failure failure;
    int count = read_packets(&reader, (size_t)start, &failure);
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

/* Gathers a slot and the slots chained to it into `parts`. */
static struct write gather(struct batch batch, size_t i, struct iovec *parts) {
    struct write write = {.slot = i, .fd = batch.fds.data[slot_of(batch, i)[2]], .parts = parts};
    size_t j = i;
    do {
        const int32_t *slot = slot_of(batch, j);
        parts[write.slots].iov_base = batch.arena.data + slot[0];
        parts[write.slots].iov_len = (size_t)slot[1];
        write.bytes += (size_t)slot[1];
        write.slots++;
        j = (size_t)next_of(batch, j);
    } while (j != 0);
    return write;
}

/* Notes what became of a write: bytes, or minus an errno. Returns the slots written. */
static int settle(struct batch batch, const struct write *write, ssize_t length) {
    if (length >= 0 && (size_t)length == write->bytes)
        return write->slots;
    /* A TUN takes all or nothing. Half a packet on anything else is no packet. */
    slot_of(batch, write->slot)[2] = length < 0 ? (int32_t)length : -EIO;
    return 0;
}

/*
 * Sends messages to a socket in as few calls as there can be. results[i] is of the i-th: bytes, or
 * minus an errno.
 */
static void send_all(int fd, struct mmsghdr *messages, int count, ssize_t *results) {
    for (int i = 0; i < count;) {
        int sent = sendmmsg(fd, messages + i, (unsigned)(count - i), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        /* The error of a message is told if it is the first one of its call. */
        if (sent <= 0)
            results[i++] = sent < 0 ? -errno : -EIO;
        for (; sent > 0; sent--, i++)
            results[i] = (ssize_t)messages[i].msg_len;
    }
}

/* Sends what waits for the socket of the write `first`. Returns the slots written. */
static int send_like(struct batch batch, struct sends *sends, size_t first) {
    const int fd = sends->writes[first].fd;
    struct mmsghdr messages[SENDS_MAX];
    struct write *writes[SENDS_MAX];
    ssize_t results[SENDS_MAX];
    int count = 0, written = 0;
    for (size_t i = first; i < sends->count; i++) {
        struct write *write = &sends->writes[i];
        if (write->is_done || write->fd != fd)
            continue;
        write->is_done = true;
        messages[count] = (struct mmsghdr){
            .msg_hdr = {.msg_iov = write->parts, .msg_iovlen = (size_t)write->slots}};
        writes[count++] = write;
    }
    if (count == 1) /* Dearer as a message. */
        results[0] = write_packet(fd, writes[0]->parts, writes[0]->slots);
    else
        send_all(fd, messages, count, results);
    for (int i = 0; i < count; i++)
        written += settle(batch, writes[i], results[i]);
    return written;
}

/* Sends all that waits. Returns the slots written. */
static int send_waiting(struct batch batch, struct sends *sends) {
    int written = 0;
    for (size_t i = 0; i < sends->count; i++)
        if (!sends->writes[i].is_done)
            written += send_like(batch, sends, i);
    sends->count = 0;
    sends->parts_count = 0;
    return written;
}

static int write_packets(struct batch batch) {
    struct sends sends;
    int written = 0;
    sends.count = 0;
    sends.parts_count = 0;
    for (size_t i = 0; i < batch.count; i++) {
        const int32_t *slot = slot_of(batch, i);
        if (slot[2] < 0 || batch.fds.data[slot[2]] == FD_OF_STREAM)
            continue;
        struct write write = gather(batch, i, sends.parts + sends.parts_count);
        bool is_socket = write.fd >= 0 && (write.fd & FD_IS_SOCKET) != 0;
        if (is_socket)
            write.fd &= ~FD_IS_SOCKET;
        if (!is_socket || batch.count == 1) {
            written += settle(batch, &write, write_packet(write.fd, write.parts, write.slots));
            continue;
        }
        sends.writes[sends.count++] = write;
        sends.parts_count += (size_t)write.slots;
        if (sends.count == SENDS_MAX || sends.parts_count + PARTS_MAX > SEND_PARTS_MAX)
            written += send_waiting(batch, &sends);
    }
    return written + send_waiting(batch, &sends);
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
