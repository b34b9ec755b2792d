/* Does what a virtio header asks of a device, for a device that takes plain frames only. */
#ifndef SECGROUPD_SEGMENT_H
#define SECGROUPD_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kinds.h"

/* Bytes of the length in front of each frame. */
#define LENGTH_BYTES 4

/* The most segments of a superpacket: TCP_SEGMENTS_MAX of src/engine/offload.ts. */
#define SEGMENTS_MAX 1024

/* How a frame is cut. Offsets count from the frame's start. */
struct cut {
    const uint8_t *frame;
    size_t length;
    struct vnet_header header;
    bool is_tcp;
    size_t transport;
    size_t payload;
    size_t segments;
    /* Bytes of all that comes of it, lengths included. */
    size_t bytes;
};

/*
 * Finds out what comes of the frame behind a virtio header. Returns false if the header does not
 * fit the frame.
 */
bool plan_cut(const uint8_t *packet, size_t length, struct cut *cut);

/* Writes `cut->bytes`: each frame behind its length, complete in itself. */
void write_cut(const struct cut *cut, uint8_t *to);

#endif
