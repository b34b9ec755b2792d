/*
 * Lists the interfaces of a namespace, with what others call them by and what each leads to
 * (links.h).
 *
 * Theory of operation
 *
 * One dump of rtnetlink has every interface, and comes in as many datagrams as it takes. The
 * kernel says if an interface came or went meanwhile: then the list may lack one, and it is asked
 * for again. Who looks for the only interface of a kind must not miss the second.
 *
 * The work runs on a thread that JavaScript does not know. So it fills memory of C, of which
 * objects are made afterwards.
 */
#include "links.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "arguments.h"
#include "failure.h"
#include "netns.h"
#include "rtnetlink.h"

#define CALL "rtnetlink RTM_GETLINK"
#define MAC_BYTES 6
/* Each try is another list; interfaces that come all the time must not hold us up. */
#define TRIES 10

struct list {
    struct link *links;
    size_t count, room;
    bool is_torn; /* an interface came or went meanwhile */
};

static void copy_text(char *text, size_t size, const struct rtattr *attribute) {
    snprintf(text, size, "%.*s", (int)RTA_PAYLOAD(attribute), (const char *)RTA_DATA(attribute));
}

static void copy_number(int32_t *number, const struct rtattr *attribute) {
    if (RTA_PAYLOAD(attribute) == sizeof *number)
        memcpy(number, RTA_DATA(attribute), sizeof *number);
}

static void read_kind(const struct rtattr *info, struct link *link) {
    int length = (int)RTA_PAYLOAD(info);
    for (const struct rtattr *attribute = RTA_DATA(info); RTA_OK(attribute, length);
         attribute = RTA_NEXT(attribute, length))
        if (attribute->rta_type == IFLA_INFO_KIND)
            copy_text(link->kind, sizeof link->kind, attribute);
}

static void read_attribute(const struct rtattr *attribute, struct link *link) {
    const uint8_t *data = RTA_DATA(attribute);
    if (attribute->rta_type == IFLA_IFNAME)
        copy_text(link->name, sizeof link->name, attribute);
    else if (attribute->rta_type == IFLA_LINK)
        copy_number(&link->below, attribute);
    else if (attribute->rta_type == IFLA_LINK_NETNSID)
        copy_number(&link->netns_id, attribute);
    else if ((attribute->rta_type & NLA_TYPE_MASK) == IFLA_LINKINFO)
        read_kind(attribute, link);
    else if (attribute->rta_type == IFLA_IFALIAS)
        copy_text(link->alias, sizeof link->alias, attribute);
    else if (attribute->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(attribute) == MAC_BYTES)
        snprintf(link->mac, sizeof link->mac, "%02x:%02x:%02x:%02x:%02x:%02x", data[0], data[1],
                 data[2], data[3], data[4], data[5]);
}

bool parse_link(const struct nlmsghdr *header, struct link *link) {
    const struct ifinfomsg *body = NLMSG_DATA(header);
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof *body))
        return false;
    *link = (struct link){.ifindex = (uint32_t)body->ifi_index,
                          .family = body->ifi_family,
                          .flags = body->ifi_flags,
                          .type = body->ifi_type,
                          .netns_id = -1};
    int length = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof *body));
    for (const struct rtattr *attribute = IFLA_RTA(body); RTA_OK(attribute, length);
         attribute = RTA_NEXT(attribute, length))
        read_attribute(attribute, link);
    return true;
}

/* A message_reader: adds the interface of a message. */
static int read_link(void *context, const struct nlmsghdr *header) {
    struct list *list = context;
    if (header->nlmsg_flags & NLM_F_DUMP_INTR)
        list->is_torn = true;
    if (header->nlmsg_type != RTM_NEWLINK)
        return 0;
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : list->room * 2;
        struct link *links = realloc(list->links, room * sizeof *links);
        if (links == NULL)
            return ENOMEM;
        list->links = links;
        list->room = room;
    }
    return parse_link(header, &list->links[list->count++]) ? 0 : EBADMSG;
}

static int list_once(struct list *list) {
    const struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
    struct request request;
    list->count = 0;
    list->is_torn = false;
    start_request(&request, CALL, 0, RTM_GETLINK, NLM_F_DUMP, &body, sizeof body);
    add_number(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    int number = ask_kernel(&request, read_link, list);
    return number == 0 && list->is_torn ? EINTR : number;
}

static int list_here(void *context, struct failure *failure) {
    int number = EINTR;
    for (int i = 0; i < TRIES && number == EINTR; i++)
        number = list_once(context);
    if (number == 0)
        return 0;
    return fail(failure, number == EINTR ? EAGAIN : number, CALL, NULL,
                "the interfaces cannot be listed: %s",
                number == EINTR ? "they change all the time" : strerror(number));
}

static bool set_text(napi_env env, napi_value object, const char *key, const char *text) {
    napi_value value;
    return napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok &&
           napi_set_named_property(env, object, key, value) == napi_ok;
}

static bool set_number(napi_env env, napi_value object, const char *key, int64_t number) {
    napi_value value;
    return napi_create_int64(env, number, &value) == napi_ok &&
           napi_set_named_property(env, object, key, value) == napi_ok;
}

static bool make_object(napi_env env, const struct link *link, napi_value *object) {
    return napi_create_object(env, object) == napi_ok &&
           set_number(env, *object, "ifindex", link->ifindex) &&
           set_text(env, *object, "name", link->name) &&
           set_text(env, *object, "alias", link->alias) &&
           set_text(env, *object, "mac", link->mac) && set_text(env, *object, "kind", link->kind) &&
           set_number(env, *object, "flags", link->flags) &&
           set_number(env, *object, "type", link->type) &&
           set_number(env, *object, "link", link->below) &&
           set_number(env, *object, "linkNetnsId", link->netns_id);
}

static bool add_object(napi_env env, napi_value array, uint32_t index, const struct link *link) {
    napi_value object;
    return make_object(env, link, &object) &&
           napi_set_element(env, array, index, object) == napi_ok;
}

static napi_value make_array(napi_env env, const struct list *list) {
    napi_value array;
    bool is_made = napi_create_array_with_length(env, list->count, &array) == napi_ok;
    for (size_t i = 0; is_made && i < list->count; i++)
        is_made = add_object(env, array, (uint32_t)i, &list->links[i]);
    return is_made ? array : throw_napi(env);
}

napi_value list_links(napi_env env, napi_callback_info info) {
    napi_value arguments[1], result;
    char storage[PATH_MAX];
    const char *netns;
    struct list list = {0};
    struct failure failure;
    if (!read_arguments(env, info, 1, arguments) || !read_netns(env, arguments[0], storage, &netns))
        return NULL;
    if (run_in_netns(netns, list_here, &list, &failure) == 0)
        result = make_array(env, &list);
    else
        result = throw_failure(env, &failure);
    free(list.links);
    return result;
}

struct look {
    int32_t ifindex;
    struct list list; /* of one at most */
};

static int look_here(void *context, struct failure *failure) {
    struct look *look = context;
    const struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = look->ifindex};
    struct request request;
    start_request(&request, CALL, look->ifindex, RTM_GETLINK, 0, &body, sizeof body);
    add_number(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    int number = ask_kernel(&request, read_link, &look->list);
    if (number == 0 || number == ENODEV)
        return 0;
    return fail(failure, number, CALL, NULL, "interface %d cannot be looked at: %s", look->ifindex,
                strerror(number));
}

napi_value look_at_link(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result = NULL;
    char storage[PATH_MAX];
    const char *netns;
    struct look look = {0};
    struct failure failure;
    if (!read_arguments(env, info, 2, arguments) ||
        !read_netns(env, arguments[0], storage, &netns) ||
        !read_integer(env, arguments[1], "ifindex", 1, INT32_MAX, &look.ifindex))
        return NULL;
    if (run_in_netns(netns, look_here, &look, &failure) != 0)
        result = throw_failure(env, &failure);
    else if (look.list.count > 0 && !make_object(env, &look.list.links[0], &result))
        result = throw_napi(env);
    free(look.list.links);
    return result;
}
