/*
 * The Node-API addon of secgroupd: system calls for which Node has no binding. Its contract is
 * the interface Native in src/ports/native.ts. scripts/build-native builds
 * build/native/secgroupd.node.
 *
 *   addon.c      what is exported, and under which name
 *   kinds.c      the kinds of device, and how each is opened; the only file that knows them
 *   attach.c     opens and reads an interface of the host's, by packet sockets
 *   veth.c       makes veth pairs
 *   guard.c      keeps the host from such an interface, by nftables
 *   device.c     opens a device of any kind
 *   adopt.c      takes over a descriptor that the service manager kept
 *   steer.c      chooses the queue of a packet, for a device that has several
 *   batch.c      reads and writes packets, many in a call
 *   wait.c       epoll(7), eventfds that wake it, and the scheduling policy
 *   netns.c      runs a function inside another network namespace
 *   link.c       addresses, routes, link settings
 *   links.c      the interfaces of a namespace
 *   link-watch.c tells when they come, go or change
 *   nsid.c       tells network namespaces apart
 *   rtnetlink.c  one rtnetlink request and its answer (used by link.c, links.c, nsid.c, veth.c)
 *   memory.c     huge pages for memory of JavaScript
 *   listen.c     bound sockets in another network namespace
 *   notify.c     datagrams with descriptors to a unix socket
 *   stream.c     unix sockets with frames of a virtual machine
 *   segment.c    what a virtio header asks for, done by ourselves
 *   exit.c       ends the process at once, whatever its threads do
 *   arguments.c  JavaScript arguments to C values; TypeError and RangeError
 *   failure.c    failed system calls to JavaScript Errors
 *
 * Rules for all of them:
 * - JavaScript allocates. C fills the memory during the call and keeps no pointer afterwards.
 * - There is no mutable state outside a call's stack. So any number of worker threads can load
 *   the addon, and nothing needs to be cleaned up. One file has a thread that outlives a call
 *   (link-watch.c); it knows nothing of JavaScript, and ends when a descriptor is closed.
 * - Every call is synchronous. Only wait blocks for long; the data plane calls it on
 *   its own thread.
 * - Wrong arguments throw, and so do failed system calls. Only exitNow ends the process. The
 *   status of every Node-API call is checked.
 */
#include <node_api.h>
#include <stddef.h>

#include "adopt.h"
#include "attach.h"
#include "batch.h"
#include "close.h"
#include "device.h"
#include "exit.h"
#include "failure.h"
#include "guard.h"
#include "link-watch.h"
#include "link.h"
#include "links.h"
#include "listen.h"
#include "memory.h"
#include "notify.h"
#include "nsid.h"
#include "steer.h"
#include "stream.h"
#include "veth.h"
#include "wait.h"

static const struct {
    const char *name;
    napi_callback function;
} FUNCTIONS[] = {
    {"openDevice", open_device},
    {"adoptDevice", adopt_device},
    {"identifyDevice", identify_device},
    {"locateDevice", locate_device},
    {"steerQueues", steer_queues},
    {"guardDevice", guard_device},
    {"unguardDevice", unguard_device},
    {"listGuards", list_guards},
    {"lookAtDevice", look_at_device},
    {"closeFd", close_fd},
    {"closeFds", close_fds},
    {"readBatch", read_batch},
    {"writeBatch", write_batch},
    {"acceptStream", accept_stream},
    {"readStream", read_stream},
    {"writeStream", write_stream},
    {"createPoller", create_poller},
    {"watch", watch_input},
    {"watchOutput", watch_output},
    {"unwatch", unwatch_input},
    {"bootMs", read_boot_clock},
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
    {"listLinks", list_links},
    {"lookAtLink", look_at_link},
    {"makePair", make_pair},
    {"watchLinks", watch_links},
    {"namespaceId", namespace_id},
    {"deleteLink", delete_link},
    {"sendDatagram", send_datagram},
    {"bindSocket", bind_socket},
    {"preferHugePages", prefer_huge_pages},
    {"exitNow", exit_now},
};

/*
 * src/ports/native.ts has these numbers too. loadNative() compares them, so that no stale build
 * is used.
 */
static const struct {
    const char *name;
    int32_t value;
} CONSTANTS[] = {
    {"VNET_HDR_BYTES", VNET_HDR_BYTES},
    {"HEADROOM_BYTES", HEADROOM_BYTES},
    {"FRAME_BYTES_MAX", FRAME_BYTES_MAX},
    {"FD_OF_STREAM", FD_OF_STREAM},
    {"FD_IS_SOCKET", FD_IS_SOCKET},
    {"LINK_RECORD_BYTES", LINK_RECORD_BYTES},
    {"STREAM_IN_BYTES", STREAM_IN_BYTES},
    {"STREAM_OUT_BYTES", STREAM_OUT_BYTES},
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
