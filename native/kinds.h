/* The kinds of device: the properties of each, and how it is opened. */
#ifndef SECGROUPD_KINDS_H
#define SECGROUPD_KINDS_H

#include <net/if.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "failure.h"

/* struct virtio_net_hdr without num_buffers (Virtio 1.2, section 5.1.6, the legacy layout). */
#define VNET_HDR_BYTES 10

/* The longest name of a device with its NUL: sun_path of unix(7). */
#define DEVICE_NAME_BYTES 108

/* The same, in the byte order of the host. */
struct vnet_header {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t header_bytes;
    uint16_t gso_bytes;
    uint16_t csum_start;
    uint16_t csum_offset;
};

struct device_kind;

/* What the kernel may pass to us, and takes from us, beyond plain packets. */
struct offloads {
    bool checksum;
    bool tso4;
    bool tso6;
    bool uso;
};

/* A device that is being opened (device.c) or taken over (adopt.c). */
struct opening {
    const struct device_kind *kind;
    bool persist;
    /* How many it is to have. Each opening of several adds a descriptor with a queue. */
    int32_t queues;
    /*
     * Whether the interface may have been moved and renamed, and is taken over where it is. Its
     * namespace is not entered, so `ifindex` and `mtu` stay 0.
     */
    bool moved;
    /* The name of an interface, or the path of a socket. */
    char wanted[DEVICE_NAME_BYTES];
    /* Filled while the device is opened. */
    int fd;
    bool created;
    unsigned ifindex;
    struct offloads offloads;
    /* 0 if it could not be read. */
    int mtu;
    bool is_up;
    char name[DEVICE_NAME_BYTES];
};

/* The place of a descriptor's interface. */
struct location {
    const struct device_kind *kind;
    int fd;
    int netns;
    char name[IFNAMSIZ];
    unsigned ifindex;
};

/*
 * A kind of device. Its functions return 0, or -1 with `failure` filled, and never call Node-API.
 */
struct device_kind {
    /* PortKindName of src/ports/port-kind.ts. */
    const char *name;
    /* The name in messages. */
    const char *label;
    /* IFF_TUN or IFF_TAP; 0 for a kind that is neither. */
    unsigned tun_type;
    /* The device is no interface: its name is a path. */
    bool has_path;
    /* Bytes in front of an IP packet, as a steering program sees it. */
    int link_bytes;
    /* Opens `wanted` in the calling thread's namespace, ready for use. */
    int (*open)(struct opening *opening, struct failure *failure);
    /*
     * Checks that the descriptor belongs to `wanted` and was opened as `open` does. Fills `name`.
     */
    int (*check)(struct opening *opening, struct failure *failure);
    /* Sets up a checked descriptor as `open` does. */
    int (*configure)(struct opening *opening, struct failure *failure);
    /*
     * Reads name and namespace of the interface from the descriptor alone. A path or an index
     * from an earlier time may belong to another namespace, or to another interface in it. The
     * caller closes the namespace.
     */
    int (*identify)(struct location *location, struct failure *failure);
    /* Closes a device that was just opened, and removes what was made for it. */
    void (*discard)(const struct opening *opening);
    /*
     * Has `program` (steer.c) choose among the queues of the device of `fd`, if it has as many as
     * expected.
     */
    int (*steer)(int fd, const char *name, int program, int queues, struct failure *failure);
};

/* Reads the name of a kind. Throws a RangeError for an unknown one. */
bool read_kind(napi_env env, napi_value value, const struct device_kind **kind);

/* Fills `failure` with the reason why a descriptor is not the wanted device. Returns -1. */
int explain_stranger(const struct opening *opening, struct failure *failure, const char *why);

#endif
