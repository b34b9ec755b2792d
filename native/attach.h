/* Opens an interface of the host's by packet sockets, and reads frames of it. */
#ifndef SECGROUPD_ATTACH_H
#define SECGROUPD_ATTACH_H

#include <node_api.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "kinds.h"

int open_attached(struct opening *opening, struct failure *failure);
/* Opens the host's end of a veth pair. */
int open_pair(struct opening *opening, struct failure *failure);
int check_attached(struct opening *opening, struct failure *failure);
int identify_attached(struct location *location, struct failure *failure);
void discard_attached(const struct opening *opening);
int steer_attached(int fd, const char *name, int program, int queues, struct failure *failure);

/* The most bytes by which end_receive moves the start of a frame. */
#define VLAN_TAG_BYTES 4

/* A frame that is being received. It stays in its place until end_receive. */
struct receiving {
    struct msghdr message;
    struct iovec part;
    /* Room for a struct tpacket_auxdata. */
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(20)];
};

/* Prepares `message` for recvmsg(2) of a frame with its virtio header. */
void begin_receive(struct receiving *receiving, uint8_t *buffer, size_t size);

/*
 * Makes what recvmsg(2) gave (bytes, or minus an errno) what read(2) of a TAP gives. A VLAN tag
 * that the kernel took out is put in again. Then the header starts *moved bytes before the buffer.
 */
ssize_t end_receive(struct receiving *receiving, ssize_t length, size_t *moved);

napi_value guard_device(napi_env env, napi_callback_info info);
napi_value look_at_device(napi_env env, napi_callback_info info);

#endif
