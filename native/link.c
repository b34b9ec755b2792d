/* Changes interfaces by rtnetlink: addresses, routes, link settings (link.h). */
#include "link.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"
#include "links.h"
#include "netns.h"
#include "rtnetlink.h"

#define IPV4_BYTES 4
#define IPV6_BYTES 16
#define MAC_BYTES 6

/* A copy of the bytes, so that no later call into JavaScript can move them. */
struct address {
    uint8_t bytes[IPV6_BYTES];
    size_t length;
};

/* The first two arguments of most functions: the namespace and the interface. */
struct target {
    char storage[PATH_MAX];
    const char *netns;
    int32_t ifindex;
};

static bool read_target(napi_env env, napi_value netns, napi_value ifindex, struct target *target) {
    return read_netns(env, netns, target->storage, &target->netns) &&
           read_integer(env, ifindex, "ifindex", 1, INT32_MAX, &target->ifindex);
}

static bool read_address(napi_env env, napi_value value, const char *name,
                         struct address *address) {
    struct bytes bytes;
    if (!read_bytes(env, value, name, &bytes))
        return false;
    if (bytes.length != IPV4_BYTES && bytes.length != IPV6_BYTES)
        return throw_range(env, name, "4 or 16 bytes long");
    memcpy(address->bytes, bytes.data, bytes.length);
    address->length = bytes.length;
    return true;
}

static bool read_prefix(napi_env env, napi_value address, const char *name,
                        napi_value prefix_length, struct address *result, int32_t *length) {
    return read_address(env, address, name, result) &&
           read_integer(env, prefix_length, "prefixLength", 0, (int32_t)result->length * 8, length);
}

static unsigned char family_of(const struct address *address) {
    return address->length == IPV4_BYTES ? AF_INET : AF_INET6;
}

static napi_value perform(napi_env env, const struct target *target, struct request *request) {
    struct failure failure;
    if (run_in_netns(target->netns, send_request, request, &failure) != 0)
        return throw_failure(env, &failure);
    return NULL;
}

static bool ask_for_address(napi_env env, napi_callback_info info, const char *call, uint16_t type,
                            uint16_t flags, struct target *target, struct request *request) {
    napi_value arguments[4];
    struct address address;
    int32_t prefix_length;
    if (!read_arguments(env, info, 4, arguments) ||
        !read_target(env, arguments[0], arguments[1], target) ||
        !read_prefix(env, arguments[2], "address", arguments[3], &address, &prefix_length))
        return false;
    struct ifaddrmsg body = {
        .ifa_family = family_of(&address),
        .ifa_prefixlen = (unsigned char)prefix_length,
        .ifa_scope = RT_SCOPE_UNIVERSE,
        .ifa_index = (unsigned)target->ifindex,
    };
    /*
     * Without this flag, duplicate address detection would make the address unusable for a second
     * or two.
     */
    if (body.ifa_family == AF_INET6)
        body.ifa_flags = IFA_F_NODAD;
    start_request(request, call, target->ifindex, type, flags, &body, sizeof body);
    add_attribute(request, IFA_LOCAL, address.bytes, address.length);
    add_attribute(request, IFA_ADDRESS, address.bytes, address.length);
    return true;
}

static napi_value answer(napi_env env, bool value) {
    napi_value result;
    if (napi_get_boolean(env, value, &result) != napi_ok)
        throw_napi(env);
    return result;
}

napi_value add_address(napi_env env, napi_callback_info info) {
    struct target target;
    struct request request;
    struct failure failure;
    if (!ask_for_address(env, info, "rtnetlink RTM_NEWADDR", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL,
                         &target, &request))
        return NULL;
    if (run_in_netns(target.netns, send_request, &request, &failure) == 0)
        return answer(env, true);
    return failure.number == EEXIST ? answer(env, false) : throw_failure(env, &failure);
}

napi_value remove_address(napi_env env, napi_callback_info info) {
    struct target target;
    struct request request;
    if (!ask_for_address(env, info, "rtnetlink RTM_DELADDR", RTM_DELADDR, 0, &target, &request))
        return NULL;
    return perform(env, &target, &request);
}

struct route {
    struct address destination, gateway;
    int32_t prefix_length;
    bool has_gateway;
};

static bool read_route(napi_env env, napi_callback_info info, struct target *target,
                       struct route *route) {
    napi_value arguments[5];
    if (!read_arguments(env, info, 5, arguments) ||
        !read_target(env, arguments[0], arguments[1], target) ||
        !read_prefix(env, arguments[2], "destination", arguments[3], &route->destination,
                     &route->prefix_length) ||
        !read_presence(env, arguments[4], &route->has_gateway) ||
        (route->has_gateway && !read_address(env, arguments[4], "gateway", &route->gateway)))
        return false;
    if (route->has_gateway && route->gateway.length != route->destination.length)
        return throw_range(env, "gateway", "of the destination's address family");
    return true;
}

static void ask_for_route(struct request *request, const struct target *target,
                          const struct route *route, uint16_t type, uint16_t flags) {
    struct rtmsg body = {
        .rtm_family = family_of(&route->destination),
        .rtm_dst_len = (unsigned char)route->prefix_length,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = route->has_gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
        .rtm_type = RTN_UNICAST,
    };
    const char *call = type == RTM_NEWROUTE ? "rtnetlink RTM_NEWROUTE" : "rtnetlink RTM_DELROUTE";
    start_request(request, call, target->ifindex, type, flags, &body, sizeof body);
    if (route->prefix_length > 0)
        add_attribute(request, RTA_DST, route->destination.bytes, route->destination.length);
    if (route->has_gateway)
        add_attribute(request, RTA_GATEWAY, route->gateway.bytes, route->gateway.length);
    add_number(request, RTA_OIF, (uint32_t)target->ifindex);
}

struct new_route {
    struct request add, append, remove;
    bool was_there;
};

/*
 * Adds a route. An existing route to the same destination stays: it may be the host's own default
 * route. To find out whether it is exactly the wanted one, this tries to append: the kernel
 * refuses a second equal route. A different one is then appended behind the other, and is removed
 * again.
 */
static int add_beside(void *context, struct failure *failure) {
    struct new_route *route = context;
    if (send_request(&route->add, failure) == 0)
        return 0;
    if (failure->number != EEXIST)
        return -1;
    struct failure probe;
    if (send_request(&route->append, &probe) != 0) {
        route->was_there = probe.number == EEXIST;
        if (route->was_there)
            return 0;
        *failure = probe;
        return -1;
    }
    if (send_request(&route->remove, &probe) != 0) {
        *failure = probe;
        return -1;
    }
    char name[IFNAMSIZ];
    snprintf(name, sizeof name, "%.*s", IFNAMSIZ - 1, failure->device);
    return fail(failure, EEXIST, route->add.call, name,
                "interface %s: another route to the same destination is there, and is not replaced",
                name);
}

napi_value add_route(napi_env env, napi_callback_info info) {
    struct target target;
    struct route route;
    struct new_route request = {.was_there = false};
    if (!read_route(env, info, &target, &route))
        return NULL;
    ask_for_route(&request.add, &target, &route, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
    ask_for_route(&request.append, &target, &route, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND);
    ask_for_route(&request.remove, &target, &route, RTM_DELROUTE, 0);
    struct failure failure;
    if (run_in_netns(target.netns, add_beside, &request, &failure) != 0)
        return throw_failure(env, &failure);
    return answer(env, !request.was_there);
}

napi_value remove_route(napi_env env, napi_callback_info info) {
    struct target target;
    struct route route;
    struct request request;
    if (!read_route(env, info, &target, &route))
        return NULL;
    ask_for_route(&request, &target, &route, RTM_DELROUTE, 0);
    return perform(env, &target, &request);
}

/* If the property is missing or undefined, *present is false and nothing is thrown. */
static bool read_optional(napi_env env, napi_value object, const char *key, napi_value *value,
                          bool *present) {
    if (napi_get_named_property(env, object, key, value) != napi_ok) {
        throw_napi(env);
        return false;
    }
    return read_presence(env, *value, present);
}

static bool read_optional_number(napi_env env, napi_value object, const char *key, uint16_t type,
                                 struct request *request) {
    napi_value value;
    bool present;
    int32_t number;
    if (!read_optional(env, object, key, &value, &present))
        return false;
    if (!present)
        return true;
    if (!read_integer(env, value, key, 0, INT32_MAX, &number))
        return false;
    add_number(request, type, (uint32_t)number);
    return true;
}

static bool read_change(napi_env env, napi_value change, const struct target *target,
                        struct request *request) {
    napi_value value;
    bool present, up;
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = target->ifindex};
    if (!check_object(env, change, "change") || !read_optional(env, change, "up", &value, &present))
        return false;
    if (present) {
        if (!read_boolean(env, value, "up", &up))
            return false;
        body.ifi_change = IFF_UP;
        body.ifi_flags = up ? IFF_UP : 0;
    }
    start_request(request, "rtnetlink RTM_NEWLINK", target->ifindex, RTM_NEWLINK, 0, &body,
                  sizeof body);
    if (!read_optional_number(env, change, "mtu", IFLA_MTU, request) ||
        !read_optional_number(env, change, "txQueueLength", IFLA_TXQLEN, request) ||
        !read_optional(env, change, "macAddress", &value, &present))
        return false;
    if (present) {
        struct bytes mac;
        if (!read_bytes(env, value, "macAddress", &mac))
            return false;
        if (mac.length != MAC_BYTES)
            return throw_range(env, "macAddress", "6 bytes long");
        add_attribute(request, IFLA_ADDRESS, mac.data, mac.length);
    }
    char alias[LINK_ALIAS_BYTES];
    if (!read_optional(env, change, "alias", &value, &present))
        return false;
    if (present && !read_text(env, value, "alias", alias, sizeof alias))
        return false;
    if (present)
        add_attribute(request, IFLA_IFALIAS, alias, strlen(alias));
    return true;
}

napi_value set_link(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    struct target target;
    struct request request;
    if (!read_arguments(env, info, 3, arguments) ||
        !read_target(env, arguments[0], arguments[1], &target) ||
        !read_change(env, arguments[2], &target, &request))
        return NULL;
    return perform(env, &target, &request);
}

struct lookup {
    char name[IFNAMSIZ];
    unsigned ifindex;
};

/* if_nametoindex(3) is no use here: without a free descriptor it reports ENOENT. */
int find_ifindex(const char *name, unsigned *ifindex, struct failure *failure) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        int number = errno;
        return fail(failure, number, "socket", name, "interface %s cannot be looked up: %s", name,
                    strerror(number));
    }
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    int number = ioctl(fd, SIOCGIFINDEX, &request) == 0 ? 0 : errno;
    close(fd);
    *ifindex = number == 0 ? (unsigned)request.ifr_ifindex : 0;
    if (number == 0 || number == ENODEV)
        return 0;
    return fail(failure, number, "ioctl SIOCGIFINDEX", name, "interface %s cannot be looked up: %s",
                name, strerror(number));
}

static int look_up(void *context, struct failure *failure) {
    struct lookup *lookup = context;
    return find_ifindex(lookup->name, &lookup->ifindex, failure);
}

napi_value link_index(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result;
    char storage[PATH_MAX];
    const char *netns;
    struct lookup lookup = {0};
    if (!read_arguments(env, info, 2, arguments) ||
        !read_netns(env, arguments[0], storage, &netns) ||
        !read_text(env, arguments[1], "name", lookup.name, sizeof lookup.name))
        return NULL;
    struct failure failure;
    if (run_in_netns(netns, look_up, &lookup, &failure) != 0)
        return throw_failure(env, &failure);
    return napi_create_uint32(env, lookup.ifindex, &result) == napi_ok ? result : throw_napi(env);
}

napi_value delete_link(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    struct target target;
    if (!read_arguments(env, info, 2, arguments) ||
        !read_target(env, arguments[0], arguments[1], &target))
        return NULL;
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = target.ifindex};
    struct request request;
    start_request(&request, "rtnetlink RTM_DELLINK", target.ifindex, RTM_DELLINK, 0, &body,
                  sizeof body);
    return perform(env, &target, &request);
}
