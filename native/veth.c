/*
 * Makes veth pairs: one end for an instance, the other for the packet loops.
 *
 * Theory of operation
 *
 * The kernel makes both ends by one request, the instance's in its namespace and under its name
 * from the start. Both are down, so no packet passes before the host's end is guarded (guard.c).
 * The host's end then gets an alias, by which a later process knows whose it is, and no IPv6
 * address of its own: the kernel would give it one when it comes up, and announce it to the
 * instance. A pair that could not be made whole is removed.
 *
 * Rejected: to make both ends here and move one. Its name may be taken here, and who watches this
 * namespace sees an interface come that nobody should touch.
 */
#include "veth.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"
#include "link.h"
#include "links.h"
#include "rtnetlink.h"

#define CALL "rtnetlink RTM_NEWLINK"
#define MAC_BYTES 6

struct pair {
    int netns; /* of the instance's end; -1: the same as the host's */
    char name[IFNAMSIZ];
    char host_name[IFNAMSIZ];
    char alias[LINK_ALIAS_BYTES];
    uint8_t mac[MAC_BYTES];
    bool has_mac;
    int32_t mtu;
    int32_t queue_length;
};

static void add_text(struct request *request, uint16_t type, const char *text) {
    add_attribute(request, type, text, strlen(text) + 1);
}

static void add_common(struct request *request, const struct pair *pair, const char *name) {
    add_text(request, IFLA_IFNAME, name);
    add_number(request, IFLA_MTU, (uint32_t)pair->mtu);
    add_number(request, IFLA_TXQLEN, (uint32_t)pair->queue_length);
}

static int explain(const struct pair *pair, int number, struct failure *failure) {
    const char *reason = strerror(number);
    if (number == EEXIST)
        reason = "an interface of that name is there already; remove it, or name another device";
    else if (number == EOPNOTSUPP)
        reason = "this kernel has no veth; load the module veth";
    else if (number == EPERM)
        reason = "CAP_NET_ADMIN in its network namespace and in the daemon's is needed";
    return fail(failure, number, CALL, pair->name, "the veth pair of %s and %s cannot be made: %s",
                pair->name, pair->host_name, reason);
}

static int make(const struct pair *pair, struct failure *failure) {
    const struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
    struct request request;
    start_request(&request, CALL, 0, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    add_common(&request, pair, pair->host_name);
    size_t info = start_nest(&request, IFLA_LINKINFO, NULL, 0);
    add_text(&request, IFLA_INFO_KIND, "veth");
    size_t data = start_nest(&request, IFLA_INFO_DATA, NULL, 0);
    size_t peer = start_nest(&request, VETH_INFO_PEER, &body, sizeof body);
    add_common(&request, pair, pair->name);
    if (pair->netns >= 0)
        add_number(&request, IFLA_NET_NS_FD, (uint32_t)pair->netns);
    if (pair->has_mac)
        add_attribute(&request, IFLA_ADDRESS, pair->mac, sizeof pair->mac);
    end_nest(&request, peer);
    end_nest(&request, data);
    end_nest(&request, info);
    int number = ask_kernel(&request, NULL, NULL);
    return number == 0 ? 0 : explain(pair, number, failure);
}

static int name_owner(const struct pair *pair, unsigned ifindex, struct failure *failure) {
    const struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};
    struct request request;
    start_request(&request, CALL, (int)ifindex, RTM_NEWLINK, 0, &body, sizeof body);
    add_attribute(&request, IFLA_IFALIAS, pair->alias, strlen(pair->alias));
    return send_request(&request, failure);
}

/* A kernel without IPv6 refuses it, and has none to give. */
static void forbid_own_address(unsigned ifindex) {
    const struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};
    const uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
    struct request request;
    start_request(&request, CALL, (int)ifindex, RTM_NEWLINK, 0, &body, sizeof body);
    size_t families = start_nest(&request, IFLA_AF_SPEC, NULL, 0);
    size_t family = start_nest(&request, AF_INET6, NULL, 0);
    add_attribute(&request, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof mode);
    end_nest(&request, family);
    end_nest(&request, families);
    (void)ask_kernel(&request, NULL, NULL);
}

static void remove_pair(unsigned ifindex) {
    const struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};
    struct request request;
    start_request(&request, "rtnetlink RTM_DELLINK", (int)ifindex, RTM_DELLINK, 0, &body,
                  sizeof body);
    (void)ask_kernel(&request, NULL, NULL);
}

/* Returns the index of the host's end, or 0 with `failure` filled. */
static unsigned make_whole(const struct pair *pair, struct failure *failure) {
    unsigned ifindex;
    if (make(pair, failure) != 0 || find_ifindex(pair->host_name, &ifindex, failure) != 0)
        return 0;
    if (ifindex == 0) {
        fail(failure, ENODEV, CALL, pair->host_name, "interface %s is gone again", pair->host_name);
        return 0;
    }
    forbid_own_address(ifindex);
    if (name_owner(pair, ifindex, failure) == 0)
        return ifindex;
    remove_pair(ifindex);
    return 0;
}

static bool read_mac(napi_env env, napi_value value, struct pair *pair) {
    struct bytes mac;
    if (!read_presence(env, value, &pair->has_mac))
        return false;
    if (!pair->has_mac)
        return true;
    if (!read_bytes(env, value, "macAddress", &mac))
        return false;
    if (mac.length != MAC_BYTES)
        return throw_range(env, "macAddress", "6 bytes long");
    memcpy(pair->mac, mac.data, sizeof pair->mac);
    return true;
}

static bool read_pair(napi_env env, napi_value ends, struct pair *pair) {
    static const char *const KEYS[] = {"name", "hostName",      "alias",
                                       "mtu",  "txQueueLength", "macAddress"};
    napi_value values[sizeof KEYS / sizeof KEYS[0]];
    if (!check_object(env, ends, "pair"))
        return false;
    for (size_t i = 0; i < sizeof KEYS / sizeof KEYS[0]; i++)
        if (napi_get_named_property(env, ends, KEYS[i], &values[i]) != napi_ok) {
            throw_napi(env);
            return false;
        }
    return read_text(env, values[0], KEYS[0], pair->name, sizeof pair->name) &&
           read_text(env, values[1], KEYS[1], pair->host_name, sizeof pair->host_name) &&
           read_text(env, values[2], KEYS[2], pair->alias, sizeof pair->alias) &&
           read_integer(env, values[3], KEYS[3], 1, INT32_MAX, &pair->mtu) &&
           read_integer(env, values[4], KEYS[4], 0, INT32_MAX, &pair->queue_length) &&
           read_mac(env, values[5], pair);
}

napi_value make_pair(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result;
    char path[PATH_MAX];
    bool has_netns;
    struct pair pair = {.netns = -1};
    struct failure failure;
    if (!read_arguments(env, info, 2, arguments) || !read_presence(env, arguments[0], &has_netns) ||
        (has_netns && !read_text(env, arguments[0], "netns", path, sizeof path)) ||
        !read_pair(env, arguments[1], &pair))
        return NULL;
    if (has_netns) {
        /* O_NONBLOCK: a path to a FIFO must not hang the daemon. */
        pair.netns = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (pair.netns < 0) {
            int number = errno;
            fail(&failure, number, "open", path, "network namespace %s cannot be opened: %s", path,
                 strerror(number));
            return throw_failure(env, &failure);
        }
    }
    unsigned ifindex = make_whole(&pair, &failure);
    if (pair.netns >= 0)
        close(pair.netns);
    if (ifindex == 0)
        return throw_failure(env, &failure);
    if (napi_create_uint32(env, ifindex, &result) == napi_ok)
        return result;
    remove_pair(ifindex);
    return throw_napi(env);
}
