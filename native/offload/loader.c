/*
 * Loads the programs of the fast path (offload.bpf.c), and puts them at devices.
 *
 * Theory of operation
 *
 * This is an addon of its own, since it needs libbpf, which not every machine has. Without it the
 * daemon runs, and packets go by its loops.
 *
 * The programs and their tables live as long as a descriptor of them, or a device that they are at.
 * The tables are mapped into the process, so packet loops read and write them without a system
 * call. A daemon that starts loads its own programs and tables, and puts them in the place of those
 * that an earlier process left. Those pass nothing, since nobody moves their deadline.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../arguments.h"
#include "../failure.h"
#include "../netns.h"
#include "layout.h"

/* Among the filters of tc at a device. */
#define FILTER_HANDLE 1
#define FILTER_PRIORITY 1
#define FRAME_BYTES_MAX 4096
#define MESSAGE_BYTES 512

/* The maps and programs of offload.bpf.c. A descriptor of each is what openOffload returns. */
static const char *const MAPS[] = {"control", "ports", "buckets", "flows", "changed"};
static const char *const PROGRAMS[] = {"decide", "forward", "rehearse"};
#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* What libbpf said last, since its errors are numbers. */
static _Thread_local char last_message[MESSAGE_BYTES];

static int note_message(enum libbpf_print_level level, const char *format, va_list arguments) {
    if (level == LIBBPF_WARN)
        vsnprintf(last_message, sizeof last_message, format, arguments);
    return 0;
}

static int explain(struct failure *failure, int number, const char *call, const char *what) {
    last_message[strcspn(last_message, "\n")] = '\0';
    return fail(failure, number, call, NULL, "%s: %s%s%s", what,
                number == EPERM ? "CAP_BPF and CAP_NET_ADMIN are needed" : strerror(number),
                last_message[0] == '\0' ? "" : "; ", last_message);
}

static bool set_size(struct bpf_object *object, const char *name, uint32_t entries) {
    struct bpf_map *map = bpf_object__find_map_by_name(object, name);
    return map != NULL && bpf_map__set_max_entries(map, entries) == 0;
}

/* Loads the programs, with room for so many flows. Returns -1 with `failure` filled. */
static int load(const char *path, int flows, int buckets, struct bpf_object **loaded,
                struct failure *failure) {
    const int marks = OFFLOAD_MARK_FLOWS * OFFLOAD_MARK_BYTES;
    last_message[0] = '\0';
    struct bpf_object *object = bpf_object__open_file(path, NULL);
    if (object == NULL)
        return explain(failure, errno, "bpf_object__open",
                       "the fast path's programs cannot be read");
    int number = 0;
    if (!set_size(object, "flows", (uint32_t)flows) ||
        !set_size(object, "buckets", (uint32_t)buckets) ||
        !set_size(object, "changed", (uint32_t)((flows + marks - 1) / marks)))
        number = EINVAL;
    else if (bpf_object__load(object) != 0)
        number = errno;
    if (number != 0) {
        bpf_object__close(object);
        return explain(failure, number, "bpf_object__load",
                       "the kernel does not take the fast path's programs");
    }
    *loaded = object;
    return 0;
}

static bool put_descriptor(napi_env env, napi_value result, const char *name, int fd) {
    napi_value value;
    return fd >= 0 && napi_create_int32(env, fd, &value) == napi_ok &&
           napi_set_named_property(env, result, name, value) == napi_ok;
}

/* openOffload(path, flows, buckets): descriptors by name, which the caller closes. */
static napi_value open_offload(napi_env env, napi_callback_info info) {
    napi_value arguments[3], result;
    char path[PATH_MAX];
    int flows, buckets;
    struct bpf_object *object = NULL;
    struct failure failure;
    if (!read_arguments(env, info, 3, arguments) ||
        !read_text(env, arguments[0], "path", path, sizeof path) ||
        !read_integer(env, arguments[1], "flows", 1, 1 << 24, &flows) ||
        !read_integer(env, arguments[2], "buckets", 1, 1 << 24, &buckets))
        return NULL;
    libbpf_set_print(note_message);
    if (load(path, flows, buckets, &object, &failure) != 0)
        return throw_failure(env, &failure);
    bool is_made = napi_create_object(env, &result) == napi_ok;
    /* Copies, since closing the object closes its own. */
    for (size_t i = 0; i < LENGTH(MAPS); i++) {
        int fd = bpf_map__fd(bpf_object__find_map_by_name(object, MAPS[i]));
        is_made = is_made && put_descriptor(env, result, MAPS[i], dup(fd));
    }
    for (size_t i = 0; i < LENGTH(PROGRAMS); i++) {
        int fd = bpf_program__fd(bpf_object__find_program_by_name(object, PROGRAMS[i]));
        is_made = is_made && put_descriptor(env, result, PROGRAMS[i], dup(fd));
    }
    bpf_object__close(object);
    return is_made ? result : throw_napi(env);
}

static void unmap(napi_env env, void *data, void *hint) {
    (void)env;
    munmap(data, (size_t)(uintptr_t)hint);
}

/* mapMemory(fd, bytes): an ArrayBuffer over a map's values, until it is collected. */
static napi_value map_memory(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result;
    int fd, bytes;
    if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &fd) ||
        !read_integer(env, arguments[1], "bytes", 1, INT_MAX, &bytes))
        return NULL;
    void *data = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        struct failure failure;
        explain(&failure, errno, "mmap", "the fast path's table cannot be mapped");
        return throw_failure(env, &failure);
    }
    if (napi_create_external_arraybuffer(env, data, (size_t)bytes, unmap, (void *)(uintptr_t)bytes,
                                         &result) == napi_ok)
        return result;
    munmap(data, (size_t)bytes);
    return throw_napi(env);
}

static bool read_ifindex(napi_env env, napi_value value, int *ifindex) {
    return read_integer(env, value, "ifindex", 1, INT_MAX, ifindex);
}

struct placement {
    int ifindex;
    int program;
};

static int attach_here(void *context, struct failure *failure) {
    const struct placement *at = context;
    DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = at->ifindex, .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = at->program, .handle = FILTER_HANDLE,
                        .priority = FILTER_PRIORITY, .flags = BPF_TC_F_REPLACE);
    libbpf_set_print(note_message);
    last_message[0] = '\0';
    int made = bpf_tc_hook_create(&hook);
    if (made == -EEXIST) /* Somebody else's, or left by an earlier process. */
        made = 0;
    int status = made != 0 ? made : bpf_tc_attach(&hook, &options);
    if (status == 0)
        return 0;
    return explain(failure, -status, made != 0 ? "bpf_tc_hook_create" : "bpf_tc_attach",
                   "the fast path cannot be put at the device");
}

static int detach_here(void *context, struct failure *failure) {
    const struct placement *at = context;
    DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = at->ifindex, .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, options, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
    libbpf_set_print(note_message);
    last_message[0] = '\0';
    int status = bpf_tc_detach(&hook, &options);
    if (status == 0 || status == -ENOENT || status == -ENODEV || status == -EINVAL)
        return 0;
    return explain(failure, -status, "bpf_tc_detach",
                   "the fast path cannot be taken from the device");
}

/* attachForward(netns, ifindex, program): puts the program at the device's tc ingress hook. */
static napi_value attach_forward(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    struct placement at;
    char storage[PATH_MAX];
    const char *netns;
    if (!read_arguments(env, info, 3, arguments) ||
        !read_netns(env, arguments[0], storage, &netns) ||
        !read_ifindex(env, arguments[1], &at.ifindex) ||
        !read_descriptor(env, arguments[2], &at.program))
        return NULL;
    struct failure failure;
    return run_in_netns(netns, attach_here, &at, &failure) == 0 ? NULL
                                                                : throw_failure(env, &failure);
}

/* detachForward(netns, ifindex): takes what is in its place away; nothing happens if nothing is. */
static napi_value detach_forward(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    struct placement at = {0};
    char storage[PATH_MAX];
    const char *netns;
    if (!read_arguments(env, info, 2, arguments) ||
        !read_netns(env, arguments[0], storage, &netns) ||
        !read_ifindex(env, arguments[1], &at.ifindex))
        return NULL;
    struct failure failure;
    return run_in_netns(netns, detach_here, &at, &failure) == 0 ? NULL
                                                                : throw_failure(env, &failure);
}

/* filterSocket(socket, program): has the program say what the socket gets; -1: it gets all. */
static napi_value filter_socket(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    int fd, program;
    if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &fd) ||
        !read_integer(env, arguments[1], "program", -1, INT_MAX, &program))
        return NULL;
    int option = program < 0 ? SO_DETACH_FILTER : SO_ATTACH_BPF;
    if (setsockopt(fd, SOL_SOCKET, option, &program, sizeof program) == 0 ||
        (program < 0 && errno == ENOENT))
        return NULL;
    struct failure failure;
    explain(&failure, errno, "setsockopt SO_ATTACH_BPF", "the fast path cannot filter the socket");
    return throw_failure(env, &failure);
}

/* rehearse(program, frame, ifindex, segmentBytes, segments): what the program says of a frame. */
static napi_value rehearse(napi_env env, napi_callback_info info) {
    napi_value arguments[5], result;
    struct bytes frame;
    int program, ifindex, segment_bytes, segments;
    uint8_t out[FRAME_BYTES_MAX];
    if (!read_arguments(env, info, 5, arguments) || !read_descriptor(env, arguments[0], &program) ||
        !read_bytes(env, arguments[1], "frame", &frame) ||
        !read_ifindex(env, arguments[2], &ifindex) ||
        !read_integer(env, arguments[3], "segmentBytes", 0, INT_MAX, &segment_bytes) ||
        !read_integer(env, arguments[4], "segments", 0, INT_MAX, &segments))
        return NULL;
    struct __sk_buff context = {
        .ifindex = (uint32_t)ifindex,
        .gso_size = (uint32_t)segment_bytes,
        .gso_segs = (uint32_t)segments,
    };
    DECLARE_LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data,
                        .data_size_in = (uint32_t)frame.length, .data_out = out,
                        .data_size_out = sizeof out, .ctx_in = &context,
                        .ctx_size_in = sizeof context);
    int status = bpf_prog_test_run_opts(program, &options);
    if (status != 0) {
        struct failure failure;
        explain(&failure, -status, "bpf BPF_PROG_TEST_RUN", "the program cannot be tried");
        return throw_failure(env, &failure);
    }
    return napi_create_int32(env, (int32_t)options.retval, &result) == napi_ok ? result
                                                                               : throw_napi(env);
}

static const struct {
    const char *name;
    napi_callback function;
} FUNCTIONS[] = {
    {"openOffload", open_offload},     {"mapMemory", map_memory},
    {"attachForward", attach_forward}, {"detachForward", detach_forward},
    {"filterSocket", filter_socket},   {"rehearse", rehearse},
};

/* src/offload/layout.ts has these numbers too, in words. A test compares them. */
static const struct {
    const char *name;
    int32_t value;
} LAYOUT[] = {
    {"FLOW_BYTES", sizeof(struct offload_flow)},
    {"PORT_BYTES", sizeof(struct offload_port)},
    {"CONTROL_BYTES", sizeof(struct offload_control)},
    {"FLOW_PORTS", offsetof(struct offload_flow, ports)},
    {"FLOW_GENERATION", offsetof(struct offload_flow, generation)},
    {"FLOW_SIDES", offsetof(struct offload_flow, sides)},
    {"FLOW_PACKETS", offsetof(struct offload_flow, packets)},
    {"CONTROL_LOOPS", offsetof(struct offload_control, loops)},
};

NAPI_MODULE_INIT() {
    napi_value value;
    for (size_t i = 0; i < LENGTH(FUNCTIONS); i++)
        if (napi_create_function(env, FUNCTIONS[i].name, NAPI_AUTO_LENGTH, FUNCTIONS[i].function,
                                 NULL, &value) != napi_ok ||
            napi_set_named_property(env, exports, FUNCTIONS[i].name, value) != napi_ok)
            return throw_napi(env);
    for (size_t i = 0; i < LENGTH(LAYOUT); i++)
        if (napi_create_int32(env, LAYOUT[i].value, &value) != napi_ok ||
            napi_set_named_property(env, exports, LAYOUT[i].name, value) != napi_ok)
            return throw_napi(env);
    return exports;
}
