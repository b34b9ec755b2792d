/* Opens a device of any kind (kinds.c): reads the options, and describes the opened device. */
#include "device.h"

#include <string.h>

#include "arguments.h"
#include "failure.h"
#include "netns.h"
#include "steer.h"

/*
 * The kernel's dev_valid_name(), and no '%': the kernel takes "tun%d" as a pattern, and then the
 * interface would not have the name from the configuration.
 */
static bool is_interface_name(const char *name) {
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (*c == '/' || *c == ':' || *c == '%' || *c == ' ' || *c == '\x7f' ||
            (unsigned char)*c < ' ')
            return false;
    return true;
}

static bool read_property(napi_env env, napi_value object, const char *key, napi_value *value) {
    if (napi_get_named_property(env, object, key, value) == napi_ok)
        return true;
    throw_napi(env);
    return false;
}

/* Leaves `flag` as it is if there is no such option. */
static bool read_flag(napi_env env, napi_value options, const char *key, bool *flag) {
    napi_value value;
    bool present;
    return read_property(env, options, key, &value) && read_presence(env, value, &present) &&
           (!present || read_boolean(env, value, key, flag));
}

static bool read_queues(napi_env env, napi_value options, struct opening *opening) {
    napi_value value;
    bool present;
    opening->queues = 1;
    return read_property(env, options, "queues", &value) && read_presence(env, value, &present) &&
           (!present || read_integer(env, value, "queues", 1, QUEUES_MAX, &opening->queues));
}

bool read_device_options(napi_env env, napi_value options, struct opening *opening, char *storage,
                         const char **netns) {
    napi_value value;
    if (!check_object(env, options, "options") || !read_property(env, options, "kind", &value) ||
        !read_kind(env, value, &opening->kind))
        return false;
    if (!read_property(env, options, "name", &value) ||
        !read_text(env, value, "name", opening->wanted,
                   opening->kind->has_path ? sizeof opening->wanted : IFNAMSIZ))
        return false;
    if (opening->kind->has_path && opening->wanted[0] != '/')
        return throw_range(env, "name", "a path that starts with '/'");
    if (!opening->kind->has_path && !is_interface_name(opening->wanted))
        return throw_range(env, "name", "an interface name: no blanks, '/', ':' or '%'");
    return read_property(env, options, "netns", &value) && read_netns(env, value, storage, netns) &&
           read_property(env, options, "persist", &value) &&
           read_boolean(env, value, "persist", &opening->persist) &&
           read_queues(env, options, opening) && read_flag(env, options, "moved", &opening->moved);
}

static napi_status set_boolean(napi_env env, napi_value object, const char *key, bool flag) {
    napi_value value;
    napi_status status = napi_get_boolean(env, flag, &value);
    return status == napi_ok ? napi_set_named_property(env, object, key, value) : status;
}

static napi_status set_number(napi_env env, napi_value object, const char *key, int64_t number) {
    napi_value value;
    napi_status status = napi_create_int64(env, number, &value);
    return status == napi_ok ? napi_set_named_property(env, object, key, value) : status;
}

napi_status describe_device(napi_env env, const struct opening *opening, napi_value *result) {
    napi_value name, offloads;
    const struct offloads *accepted = &opening->offloads;
    napi_status status = napi_create_object(env, result);
    if (status == napi_ok)
        status = set_number(env, *result, "fd", opening->fd);
    if (status == napi_ok)
        status = napi_create_string_utf8(env, opening->name, NAPI_AUTO_LENGTH, &name);
    if (status == napi_ok)
        status = napi_set_named_property(env, *result, "name", name);
    if (status == napi_ok)
        status = set_number(env, *result, "ifindex", opening->ifindex);
    if (status == napi_ok)
        status = set_number(env, *result, "mtu", opening->mtu);
    if (status == napi_ok)
        status = set_boolean(env, *result, "isUp", opening->is_up);
    if (status == napi_ok)
        status = napi_create_object(env, &offloads);
    if (status == napi_ok)
        status = set_boolean(env, offloads, "checksum", accepted->checksum);
    if (status == napi_ok)
        status = set_boolean(env, offloads, "tso4", accepted->tso4);
    if (status == napi_ok)
        status = set_boolean(env, offloads, "tso6", accepted->tso6);
    if (status == napi_ok)
        status = set_boolean(env, offloads, "uso", accepted->uso);
    if (status == napi_ok)
        status = napi_set_named_property(env, *result, "offloads", offloads);
    if (status == napi_ok)
        status = set_boolean(env, *result, "created", opening->created);
    return status;
}

static int open_here(void *context, struct failure *failure) {
    struct opening *opening = context;
    return opening->kind->open(opening, failure);
}

napi_value open_device(napi_env env, napi_callback_info info) {
    napi_value options, result;
    struct opening opening = {0};
    char storage[PATH_MAX];
    const char *netns;
    if (!read_arguments(env, info, 1, &options) ||
        !read_device_options(env, options, &opening, storage, &netns))
        return NULL;
    struct failure failure;
    if (run_in_netns(netns, open_here, &opening, &failure) != 0)
        return throw_failure(env, &failure);
    if (describe_device(env, &opening, &result) != napi_ok) {
        throw_napi(env);
        opening.kind->discard(&opening);
        return NULL;
    }
    return result;
}
