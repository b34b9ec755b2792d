/* TUN and TAP interfaces: opening them the one way the data plane reads them. */
#ifndef SECGROUPD_DEVICE_H
#define SECGROUPD_DEVICE_H

#include <net/if.h>
#include <node_api.h>
#include <stdbool.h>

#include "failure.h"

/* The numbers of src/ports/native.ts; loadNative() there compares them. */
#define DEVICE_TUN 0
#define DEVICE_TAP 1

/* struct virtio_net_hdr without num_buffers (Virtio 1.2, section 5.1.6, the legacy layout). */
#define VNET_HDR_BYTES 10

/* A device on its way to being opened (device.c) or taken over (adopt.c). */
struct opening {
    int kind;
    bool persist;
    /* May have further queues, each a descriptor that is attached by opening it again. */
    bool multi_queue;
    char wanted[IFNAMSIZ];
    /* Filled on the way. */
    int fd;
    bool created;
    unsigned ifindex;
    unsigned offloads;
    /* 0 if it could not be asked for. */
    int mtu;
    bool is_up;
    char name[IFNAMSIZ];
};

/* Fills kind, persist, multi_queue and wanted from the OpenOptions of src/ports/native.ts, and the
 * namespace. */
bool read_device_options(napi_env env, napi_value options, struct opening *opening, char *storage,
                         const char **netns);

/* Header size, offloads, persistence: what every device gets, inside its namespace. Returns 0 or
 * -1. */
int configure_device(struct opening *opening, struct failure *failure);

/* The OpenedDevice of src/ports/native.ts. */
napi_status describe_device(napi_env env, const struct opening *opening, napi_value *result);

napi_value open_device(napi_env env, napi_callback_info info);
napi_value close_fd(napi_env env, napi_callback_info info);

#endif
