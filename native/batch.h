/* Reads and writes packets, many in a call. */
#ifndef SECGROUPD_BATCH_H
#define SECGROUPD_BATCH_H

#include <node_api.h>

/* Unused arena in front of each virtio header: see HEADROOM_BYTES in src/ports/native.ts. */
#define HEADROOM_BYTES 22

/* 65,535 bytes of IP, the largest GSO packet, and an Ethernet header with a VLAN tag. */
#define FRAME_BYTES_MAX (65535 + 18)

/* In `fds` in place of a descriptor: writeStream (stream.c) has written what goes there. */
#define FD_OF_STREAM (-2)

/* In `fds`, added to the descriptor of a packet socket: several frames go there in one call. */
#define FD_IS_SOCKET (1 << 30)

napi_value read_batch(napi_env env, napi_callback_info info);
napi_value write_batch(napi_env env, napi_callback_info info);

#endif
