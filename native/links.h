/* Lists the interfaces of a namespace, and looks at one of them. */
#ifndef SECGROUPD_LINKS_H
#define SECGROUPD_LINKS_H

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>

#define LINK_KIND_BYTES 16
#define LINK_MAC_BYTES 18
/* IFALIASZ; linux/if.h cannot be had beside net/if.h. */
#define LINK_ALIAS_BYTES 256

struct link {
    uint32_t ifindex;
    uint32_t family; /* AF_UNSPEC; another one: what that family knows of the interface */
    uint32_t flags;
    uint32_t type;    /* ARPHRD_* */
    int32_t below;    /* IFLA_LINK; 0: none */
    int32_t netns_id; /* of the namespace that `below` is in; -1: this one */
    char kind[LINK_KIND_BYTES];
    char name[IFNAMSIZ];
    char alias[LINK_ALIAS_BYTES];
    char mac[LINK_MAC_BYTES]; /* "" for none of 6 bytes */
};

/* Reads RTM_NEWLINK or RTM_DELLINK. Returns false if the message is too short for one. */
bool parse_link(const struct nlmsghdr *header, struct link *link);

napi_value list_links(napi_env env, napi_callback_info info);
napi_value look_at_link(napi_env env, napi_callback_info info);

#endif
