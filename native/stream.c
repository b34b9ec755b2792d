/*
 * Listens at a unix socket for a virtual machine, and reads and writes its frames.
 *
 * Theory of operation
 *
 * QEMU (`-netdev stream`, since 7.2), passt and libkrun carry a guest's frames in a stream: each
 * is an Ethernet frame behind its length, 4 bytes in network order, without a virtio header.
 * Nobody needs a right for it: no TAP, no capability.
 *
 * The memory is JavaScript's, as everywhere. What was received lies in one buffer until a frame is
 * whole; whole frames are copied into the arena, where they have a virtio header and room in
 * front. Rejected: receiving into the arena, since frames in a stream lie too close together for
 * that. What is to be sent is written to a second buffer, as the guest gets it (segment.c), and
 * sent in one call. So many frames cost one call both ways.
 *
 * The peer may be anybody who can open the socket, and is not believed. A length above the largest
 * frame ends the connection, since nobody knows where the next frame begins. A frame that never
 * ends waits in the buffer. A peer that does not read has a full buffer: further frames drop.
 * Nothing here waits.
 */
#include "stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "arguments.h"
#include "batch.h"
#include "segment.h"

/* Who connects while a guest is connected waits here. */
#define BACKLOG 8

/* The kernel's part of what waits for the guest; it gives as much of it as it allows. */
#define SEND_BYTES (1 << 20)

#define SLOT_WORDS 3

/* Words of `state`; src/ports/stream-port.ts has them too. */
enum state_word { IN_START, IN_END, OUT_START, OUT_END, END, MORE, STATE_WORDS };

/* Of state[END], beside minus an errno. */
enum { STREAM_OPEN, STREAM_CLOSED, STREAM_TOO_LONG };

/* Of acceptStream, in place of a descriptor. */
enum { NOBODY = -1, SHORTAGE = -2 };

static struct sockaddr_un address_of(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

static int refuse(const struct opening *opening, int number, const char *call, const char *why,
                  struct failure *failure) {
    return fail(failure, number, call, opening->wanted, "no guest can be waited for at %s: %s",
                opening->wanted, why);
}

/* Refuses a folder in which others can put their socket in the place of ours. */
static int check_folder(const struct opening *opening, struct failure *failure) {
    char folder[DEVICE_NAME_BYTES];
    struct stat found;
    memcpy(folder, opening->wanted, sizeof folder);
    char *slash = strrchr(folder, '/');
    slash[slash == folder ? 1 : 0] = '\0';
    if (stat(folder, &found) != 0)
        return refuse(opening, errno, "stat", strerror(errno), failure);
    bool is_ours = found.st_uid == 0 || found.st_uid == geteuid();
    bool is_shared = (found.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !(found.st_mode & S_ISVTX);
    if (!is_ours || is_shared)
        return refuse(opening, EPERM, "stat",
                      "others can replace files in that folder; choose one that only this user or "
                      "root can write",
                      failure);
    return 0;
}

/* Whether somebody listens at the socket. */
static bool is_alive(const char *path) {
    const struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    bool is_refused = connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 &&
                      errno == ECONNREFUSED;
    close(fd);
    return !is_refused;
}

/* Removes the socket that an earlier process left. */
static int remove_stale(const struct opening *opening, struct failure *failure) {
    struct stat found;
    if (lstat(opening->wanted, &found) != 0)
        return errno == ENOENT ? 0 : refuse(opening, errno, "lstat", strerror(errno), failure);
    if (!S_ISSOCK(found.st_mode))
        return refuse(opening, EEXIST, "lstat", "there is a file that is no socket; remove it",
                      failure);
    if (found.st_uid != geteuid())
        return refuse(opening, EPERM, "lstat", "there is a socket of another user; remove it",
                      failure);
    if (is_alive(opening->wanted))
        return refuse(opening, EBUSY, "connect", "another process listens there", failure);
    if (unlink(opening->wanted) != 0 && errno != ENOENT)
        return refuse(opening, errno, "unlink", strerror(errno), failure);
    return 0;
}

int open_stream(struct opening *opening, struct failure *failure) {
    const struct sockaddr_un address = address_of(opening->wanted);
    if (opening->queues > 1)
        return refuse(opening, EINVAL, "socket AF_UNIX",
                      "a stream has one queue, and there are several packet loops; set workers: 1",
                      failure);
    if (check_folder(opening, failure) != 0 || remove_stale(opening, failure) != 0)
        return -1;
    opening->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (opening->fd < 0)
        return refuse(opening, errno, "socket AF_UNIX", strerror(errno), failure);
    memcpy(opening->name, opening->wanted, sizeof opening->name);
    opening->created = true;
    /* The file gets the mode that the socket has before: at no time can others connect. */
    const char *call = fchmod(opening->fd, S_IRUSR | S_IWUSR) != 0 ? "fchmod"
                       : bind(opening->fd, (const struct sockaddr *)&address, sizeof address) != 0
                           ? "bind"
                       : listen(opening->fd, BACKLOG) != 0 ? "listen"
                                                           : NULL;
    if (call == NULL)
        return 0;
    int number = errno;
    close(opening->fd);
    return refuse(opening, number, call, strerror(number), failure);
}

/* No descriptor of this kind is kept: the next process listens anew. */
int check_stream(struct opening *opening, struct failure *failure) {
    return explain_stranger(opening, failure, "a stream is opened anew");
}

int identify_stream(struct location *location, struct failure *failure) {
    return fail(failure, ENOTTY, "ioctl", NULL, "descriptor %d is a socket and no interface",
                location->fd);
}

void discard_stream(const struct opening *opening) {
    (void)unlink(opening->wanted);
    close(opening->fd);
}

int steer_stream(int fd, const char *name, int program, int queues, struct failure *failure) {
    (void)fd;
    (void)program;
    (void)queues;
    return fail(failure, EINVAL, "steerQueues", name, "%s is a socket, and has one queue", name);
}

napi_value accept_stream(napi_env env, napi_callback_info info) {
    napi_value argument, result;
    int listener, fd;
    if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &listener))
        return NULL;
    do
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd >= 0) {
        const int bytes = SEND_BYTES;
        if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
            (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    } else {
        fd = errno == EAGAIN ? NOBODY : SHORTAGE;
    }
    return napi_create_int32(env, fd, &result) == napi_ok ? result : throw_napi(env);
}

/* The arguments of readStream and writeStream. */
struct stream {
    int fd;
    int32_t *state;
    struct bytes buffer;
    struct bytes arena;
    struct words slots;
};

static bool read_stream_arguments(napi_env env, napi_value *arguments, enum state_word start,
                                  size_t least_bytes, struct stream *stream) {
    struct words state;
    if (!read_descriptor(env, arguments[0], &stream->fd) ||
        !read_words(env, arguments[1], "state", &state) ||
        !read_bytes(env, arguments[2], "buffer", &stream->buffer) ||
        !read_bytes(env, arguments[3], "arena", &stream->arena) ||
        !read_words(env, arguments[4], "slots", &stream->slots))
        return false;
    if (state.length < STATE_WORDS)
        return throw_range(env, "state", "at least 6 words long");
    if (stream->buffer.length < least_bytes)
        return throw_range(env, "buffer", "as long as native.ts says");
    stream->state = state.data;
    if (state.data[start] < 0 || state.data[start + 1] < state.data[start] ||
        (size_t)state.data[start + 1] > stream->buffer.length)
        return throw_range(env, "state", "of this buffer");
    return true;
}

static size_t length_at(const uint8_t *at) {
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

/*
 * Puts a frame into the arena, behind an empty virtio header. Returns false if there is no room
 * for it.
 */
static bool put_frame(const struct stream *stream, size_t *cursor, int32_t *slot,
                      const uint8_t *frame, size_t length) {
    const struct bytes arena = stream->arena;
    size_t offset = *cursor + HEADROOM_BYTES;
    /* The IP header of an untagged frame is aligned, as in batch.c. */
    offset += -((uintptr_t)arena.data + offset + VNET_HDR_BYTES + 14) & 3;
    if (offset + VNET_HDR_BYTES + length > arena.length)
        return false;
    memset(arena.data + offset, 0, VNET_HDR_BYTES);
    memcpy(arena.data + offset + VNET_HDR_BYTES, frame, length);
    slot[0] = (int32_t)offset;
    slot[1] = (int32_t)(VNET_HDR_BYTES + length);
    slot[2] = 0;
    *cursor = offset + VNET_HDR_BYTES + length;
    return true;
}

/* Whether a frame, or a length that is no frame's, is at the start of the buffer. */
static bool has_frame(const struct stream *stream) {
    size_t start = (size_t)stream->state[IN_START];
    size_t there = (size_t)stream->state[IN_END] - start;
    if (there < LENGTH_BYTES)
        return false;
    size_t length = length_at(stream->buffer.data + start);
    return length > FRAME_BYTES_MAX || there - LENGTH_BYTES >= length;
}

/* Receives what there is room for. Returns false if there is nothing, or the connection ended. */
static bool receive(const struct stream *stream) {
    int32_t *state = stream->state;
    uint8_t *data = stream->buffer.data;
    size_t there = (size_t)(state[IN_END] - state[IN_START]);
    ssize_t length;
    /* Less than a frame. */
    memmove(data, data + state[IN_START], there);
    state[IN_START] = 0;
    state[IN_END] = (int32_t)there;
    do
        length = recv(stream->fd, data + there, stream->buffer.length - there, MSG_DONTWAIT);
    while (length < 0 && errno == EINTR);
    if (length > 0)
        state[IN_END] += (int32_t)length;
    else if (length == 0)
        state[END] = STREAM_CLOSED;
    else if (errno != EAGAIN)
        state[END] = -errno;
    return length > 0;
}

static int read_frames(const struct stream *stream) {
    const size_t slots_max = stream->slots.length / SLOT_WORDS;
    size_t count = 0, cursor = 0;
    int32_t *state = stream->state;
    while (count < slots_max && (has_frame(stream) || receive(stream))) {
        if (!has_frame(stream))
            continue;
        const uint8_t *at = stream->buffer.data + state[IN_START];
        size_t length = length_at(at);
        bool is_too_long = length > FRAME_BYTES_MAX;
        /* Of one that is too long nothing is taken. An empty one stands for it, to be counted. */
        if (!put_frame(stream, &cursor, stream->slots.data + count * SLOT_WORDS, at + LENGTH_BYTES,
                       is_too_long ? 0 : length))
            break;
        count++;
        if (is_too_long) {
            state[END] = STREAM_TOO_LONG;
            break;
        }
        state[IN_START] += (int32_t)(LENGTH_BYTES + length);
    }
    state[MORE] = state[END] == STREAM_OPEN && has_frame(stream);
    return (int)count;
}

napi_value read_stream(napi_env env, napi_callback_info info) {
    napi_value arguments[5], result;
    struct stream stream;
    if (!read_arguments(env, info, 5, arguments) ||
        !read_stream_arguments(env, arguments, IN_START, STREAM_IN_BYTES, &stream))
        return NULL;
    return napi_create_int32(env, read_frames(&stream), &result) == napi_ok ? result
                                                                            : throw_napi(env);
}

/* Sends what the guest takes now. Returns 0 if that was all, else an errno. */
static int send_out(const struct stream *stream) {
    int32_t *state = stream->state;
    while (state[OUT_START] < state[OUT_END]) {
        ssize_t sent =
            send(stream->fd, stream->buffer.data + state[OUT_START],
                 (size_t)(state[OUT_END] - state[OUT_START]), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0)
            state[OUT_START] += (int32_t)sent;
        else if (sent == 0 || errno != EINTR)
            return sent == 0 ? EIO : errno;
    }
    state[OUT_START] = 0;
    state[OUT_END] = 0;
    return 0;
}

/* Makes room for so many bytes. Returns 0, or an errno. */
static int make_room(const struct stream *stream, size_t bytes, int *blocked) {
    int32_t *state = stream->state;
    if (bytes > stream->buffer.length)
        return EMSGSIZE;
    if ((size_t)state[OUT_END] + bytes <= stream->buffer.length)
        return 0;
    if (*blocked == 0)
        *blocked = send_out(stream);
    size_t there = (size_t)(state[OUT_END] - state[OUT_START]);
    if (there + bytes > stream->buffer.length)
        return *blocked;
    memmove(stream->buffer.data, stream->buffer.data + state[OUT_START], there);
    state[OUT_START] = 0;
    state[OUT_END] = (int32_t)there;
    return 0;
}

static int write_frames(const struct stream *stream, size_t count, int32_t port) {
    int32_t *state = stream->state;
    int written = 0, blocked = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t *slot = stream->slots.data + i * SLOT_WORDS;
        if (slot[2] != port)
            continue;
        struct cut cut;
        int error = EINVAL;
        if (plan_cut(stream->arena.data + slot[0], (size_t)slot[1], &cut))
            error = make_room(stream, cut.bytes, &blocked);
        if (error != 0) {
            slot[2] = -error;
            continue;
        }
        write_cut(&cut, stream->buffer.data + state[OUT_END]);
        state[OUT_END] += (int32_t)cut.bytes;
        written++;
    }
    if (blocked == 0)
        (void)send_out(stream);
    return written;
}

napi_value write_stream(napi_env env, napi_callback_info info) {
    napi_value arguments[7], result;
    struct stream stream;
    int32_t count, port;
    if (!read_arguments(env, info, 7, arguments) ||
        !read_stream_arguments(env, arguments, OUT_START, STREAM_OUT_BYTES, &stream) ||
        !read_integer(env, arguments[5], "count", 0, (int32_t)(stream.slots.length / SLOT_WORDS),
                      &count) ||
        !read_integer(env, arguments[6], "port", 0, INT32_MAX, &port))
        return NULL;
    for (int32_t i = 0; i < count; i++) {
        const int32_t *slot = stream.slots.data + (size_t)i * SLOT_WORDS;
        if (slot[2] == port && (slot[0] < 0 || slot[1] < 0 ||
                                (size_t)slot[0] + (size_t)slot[1] > stream.arena.length)) {
            throw_range(env, "slots", "inside the arena");
            return NULL;
        }
    }
    return napi_create_int32(env, write_frames(&stream, (size_t)count, port), &result) == napi_ok
               ? result
               : throw_napi(env);
}
