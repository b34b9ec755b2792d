/*
 * The Node-API addon of secgroupd: the system calls that Node has no binding for. Its contract is
 * the interface Native in src/ports/native.ts; scripts/build-native makes
 * build/native/secgroupd.node.
 *
 *   addon.c      what is exported, under which name
 *   device.c     opening a TUN or TAP and agreeing on its offloads
 *   adopt.c      taking over a descriptor that the service manager kept
 *   steer.c      which packets go to which queue of a device that has several
 *   batch.c      reading and writing packets, many a call
 *   wait.c       poll(2), epoll(7), eventfds that wake them, and how the scheduler does
 *   netns.c      running a function inside another network namespace
 *   link.c       addresses, routes, link settings
 *   rtnetlink.c  one rtnetlink request and its answer (used by link.c)
 *   memory.c     huge pages for memory that JavaScript has
 *   notify.c     datagrams to a unix socket, descriptors with them
 *   arguments.c  JavaScript arguments to C values; TypeError and RangeError
 *   failure.c    failed system calls to JavaScript Errors
 *
 * Rules that hold in all of them:
 * - JavaScript allocates, C fills during the call and keeps no pointer afterwards.
 * - No mutable state outside a call's stack. So the addon can be loaded in any number of worker
 *   threads, and there is nothing to clean up.
 * - Every call is synchronous. Only poll and wait block for long; they are for the data plane's own
 * thread.
 * - Wrong arguments throw, failed system calls throw; nothing aborts the process. The status of
 *   every Node-API call is looked at.
 */
#include <node_api.h>
#include <stddef.h>

#include "adopt.h"
#include "batch.h"
#include "device.h"
#include "failure.h"
#include "link.h"
#include "memory.h"
#include "notify.h"
#include "steer.h"
#include "wait.h"

static const struct {
    const char *name;
    napi_callback function;
} FUNCTIONS[] = {
    {"openDevice", open_device},
    {"adoptDevice", adopt_device},
    {"locateDevice", locate_device},
    {"steerQueues", steer_queues},
    {"closeFd", close_fd},
    {"readBatch", read_batch},
    {"writeBatch", write_batch},
    {"poll", poll_input},
    {"createPoller", create_poller},
    {"watch", watch_input},
    {"unwatch", unwatch_input},
    {"wait", wait_for_watched},
    {"setBatchScheduling", set_batch_scheduling},
    {"eventfd", create_eventfd},
    {"signalEventfd", signal_eventfd},
    {"drainEventfd", drain_eventfd},
    {"addAddress", add_address},
    {"removeAddress", remove_address},
    {"addRoute", add_route},
    {"removeRoute", remove_route},
    {"setLink", set_link},
    {"linkIndex", link_index},
    {"deleteLink", delete_link},
    {"sendDatagram", send_datagram},
    {"preferHugePages", prefer_huge_pages},
};

/* What src/ports/native.ts says too; loadNative() compares, so that a stale build is not used. */
static const struct {
    const char *name;
    int32_t value;
} CONSTANTS[] = {
    {"DEVICE_TUN", DEVICE_TUN},
    {"DEVICE_TAP", DEVICE_TAP},
    {"VNET_HDR_BYTES", VNET_HDR_BYTES},
    {"HEADROOM_BYTES", HEADROOM_BYTES},
    {"FRAME_BYTES_MAX", FRAME_BYTES_MAX},
    {"QUEUES_MAX", QUEUES_MAX},
    {"PAIR_HASH_SEED", PAIR_HASH_SEED},
    {"PAIR_HASH_FACTOR", PAIR_HASH_FACTOR},
    {"PAIR_HASH_LAST_FACTOR", PAIR_HASH_LAST_FACTOR},
};

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

NAPI_MODULE_INIT() {
    napi_value value;
    for (size_t i = 0; i < LENGTH(FUNCTIONS); i++)
        if (napi_create_function(env, FUNCTIONS[i].name, NAPI_AUTO_LENGTH, FUNCTIONS[i].function,
                                 NULL, &value) != napi_ok ||
            napi_set_named_property(env, exports, FUNCTIONS[i].name, value) != napi_ok)
            return throw_napi(env);
    for (size_t i = 0; i < LENGTH(CONSTANTS); i++)
        if (napi_create_int32(env, CONSTANTS[i].value, &value) != napi_ok ||
            napi_set_named_property(env, exports, CONSTANTS[i].name, value) != napi_ok)
            return throw_napi(env);
    return exports;
}
