/*
 * Keeps everybody but the packet loops from an interface of the host's that leads to an instance.
 *
 * Theory of operation
 *
 * A packet socket gets copies. The host's own stack gets the packets as well, and any program of
 * the host may send by the interface (SO_BINDTODEVICE needs no right). Both are ways around the
 * rules. So two chains of nftables stand at the interface, in a table of its own:
 *
 *   table netdev secgroupd_attach_NAME {
 *     chain ingress { type filter hook ingress device NAME priority MIN; policy drop; }
 *     chain egress  { type filter hook egress device NAME priority MIN; policy drop;
 *                     meta mark GUARD_MARK accept; }
 *   }
 *
 * Packet sockets get their copy before the ingress hook, so they see everything. The host's
 * stack, and a bridge that the interface is a port of, see nothing. What the loops send bears the
 * mark; to set one takes CAP_NET_ADMIN or CAP_NET_RAW, with which one may do as one likes anyway.
 *
 * The table belongs to no process. When the daemon dies, it stays: nothing passes then. Only
 * unguardDevice removes it. From Linux 6.16 on it also stays when the interface is deleted, and
 * holds for the next one of that name; one that is renamed is open. Before that the table stays
 * with the interface, and its chains go with it.
 *
 * One batch of messages makes all of it, or nothing. It replaces what there was without a gap:
 * the kernel registers new hooks before it takes the old ones away. Rejected: the program `nft`,
 * which would have to be installed, started in another namespace and given text.
 */
#include "guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "arguments.h"
#include "netns.h"

#define CALL "nfnetlink"
#define TABLE_PREFIX "secgroupd_attach_"
#define TABLE_BYTES (sizeof TABLE_PREFIX + IFNAMSIZ)
#define BATCH_BYTES_MAX 2048
#define ANSWER_BYTES_MAX 8192
#define DUMP_BYTES_MAX (1 << 15)
#define ANSWER_TIMEOUT_S 5

/* Linux 5.16; absent from older headers. */
#define HOOK_INGRESS 0
#define HOOK_EGRESS 1

/* Messages for nfnetlink, one behind the other. */
struct messages {
    _Alignas(struct nlmsghdr) uint8_t bytes[BATCH_BYTES_MAX];
    size_t length;
    size_t last; /* where the last message starts */
    uint32_t count;
};

static struct nlmsghdr *last_message(struct messages *messages) {
    return (struct nlmsghdr *)(messages->bytes + messages->last);
}

/* Adds bytes, and zeros up to the next boundary. Our longest batch has about 700 bytes. */
static void append(struct messages *messages, const void *data, size_t length) {
    memcpy(messages->bytes + messages->length, data, length);
    messages->length += length;
    while (messages->length % NLMSG_ALIGNTO != 0)
        messages->bytes[messages->length++] = 0;
    last_message(messages)->nlmsg_len = (uint32_t)(messages->length - messages->last);
}

static void start_message(struct messages *messages, int type, int flags, int family,
                          uint16_t resource) {
    struct nlmsghdr header = {
        .nlmsg_type = (uint16_t)type,
        .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
        .nlmsg_seq = ++messages->count,
    };
    struct nfgenmsg body = {
        .nfgen_family = (uint8_t)family,
        .version = NFNETLINK_V0,
        .res_id = htons(resource),
    };
    messages->last = messages->length;
    append(messages, &header, sizeof header);
    append(messages, &body, sizeof body);
}

static void start_table_message(struct messages *messages, int type, int flags) {
    start_message(messages, (NFNL_SUBSYS_NFTABLES << 8) | type, flags, NFPROTO_NETDEV, 0);
}

static void add_bytes(struct messages *messages, int type, const void *data, size_t length) {
    struct nlattr attribute = {
        .nla_len = (uint16_t)(NLA_HDRLEN + length),
        .nla_type = (uint16_t)type,
    };
    append(messages, &attribute, sizeof attribute);
    append(messages, data, length);
}

static void add_string(struct messages *messages, int type, const char *text) {
    add_bytes(messages, type, text, strlen(text) + 1);
}

static void add_be32(struct messages *messages, int type, uint32_t number) {
    uint32_t wire = htonl(number);
    add_bytes(messages, type, &wire, sizeof wire);
}

static size_t start_nest(struct messages *messages, int type) {
    size_t at = messages->length;
    add_bytes(messages, type | NLA_F_NESTED, NULL, 0);
    return at;
}

static void end_nest(struct messages *messages, size_t at) {
    ((struct nlattr *)(messages->bytes + at))->nla_len = (uint16_t)(messages->length - at);
}

static void add_table(struct messages *messages, int type, int flags, const char *table) {
    start_table_message(messages, type, flags);
    add_string(messages, NFTA_TABLE_NAME, table);
}

static void add_chain(struct messages *messages, const char *table, const char *chain,
                      uint32_t hook, const char *device) {
    start_table_message(messages, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    add_string(messages, NFTA_CHAIN_TABLE, table);
    add_string(messages, NFTA_CHAIN_NAME, chain);
    size_t nest = start_nest(messages, NFTA_CHAIN_HOOK);
    add_be32(messages, NFTA_HOOK_HOOKNUM, hook);
    /* Before the chains of anybody else. */
    add_be32(messages, NFTA_HOOK_PRIORITY, (uint32_t)INT_MIN);
    add_string(messages, NFTA_HOOK_DEV, device);
    end_nest(messages, nest);
    add_string(messages, NFTA_CHAIN_TYPE, "filter");
    add_be32(messages, NFTA_CHAIN_POLICY, NF_DROP);
}

/* Starts an expression of a rule. Its attributes follow. */
struct expression {
    size_t element;
    size_t data;
};

static struct expression start_expression(struct messages *messages, const char *name) {
    struct expression at = {.element = start_nest(messages, NFTA_LIST_ELEM)};
    add_string(messages, NFTA_EXPR_NAME, name);
    at.data = start_nest(messages, NFTA_EXPR_DATA);
    return at;
}

static void end_expression(struct messages *messages, struct expression at) {
    end_nest(messages, at.data);
    end_nest(messages, at.element);
}

/* meta mark GUARD_MARK accept */
static void add_mark_rule(struct messages *messages, const char *table, const char *chain) {
    const uint32_t mark = GUARD_MARK;
    start_table_message(messages, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    add_string(messages, NFTA_RULE_TABLE, table);
    add_string(messages, NFTA_RULE_CHAIN, chain);
    size_t list = start_nest(messages, NFTA_RULE_EXPRESSIONS);
    struct expression at = start_expression(messages, "meta");
    add_be32(messages, NFTA_META_KEY, NFT_META_MARK);
    add_be32(messages, NFTA_META_DREG, NFT_REG_1);
    end_expression(messages, at);
    at = start_expression(messages, "cmp");
    add_be32(messages, NFTA_CMP_SREG, NFT_REG_1);
    add_be32(messages, NFTA_CMP_OP, NFT_CMP_EQ);
    size_t nest = start_nest(messages, NFTA_CMP_DATA);
    add_bytes(messages, NFTA_DATA_VALUE, &mark, sizeof mark);
    end_nest(messages, nest);
    end_expression(messages, at);
    at = start_expression(messages, "immediate");
    add_be32(messages, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    nest = start_nest(messages, NFTA_IMMEDIATE_DATA);
    size_t verdict = start_nest(messages, NFTA_DATA_VERDICT);
    add_be32(messages, NFTA_VERDICT_CODE, NF_ACCEPT);
    end_nest(messages, verdict);
    end_nest(messages, nest);
    end_expression(messages, at);
    end_nest(messages, list);
}

static void start_batch(struct messages *messages) {
    *messages = (struct messages){0};
    start_message(messages, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
}

/* The last message of a batch is acknowledged. If one before it fails, its error comes first. */
static void end_batch(struct messages *messages) {
    last_message(messages)->nlmsg_flags |= NLM_F_ACK;
    start_message(messages, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
}

/*
 * Reads the kernel's answer: the errno of the first error or acknowledgement; 0 for any message
 * that is neither, which is what was asked for.
 */
static int receive_answer(int fd) {
    _Alignas(struct nlmsghdr) uint8_t bytes[ANSWER_BYTES_MAX];
    ssize_t length;
    do
        length = recv(fd, bytes, sizeof bytes, 0);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno == EAGAIN ? ETIMEDOUT : errno;
    const struct nlmsghdr *header = (const struct nlmsghdr *)bytes;
    if ((size_t)length < NLMSG_HDRLEN)
        return EBADMSG;
    if (header->nlmsg_type != NLMSG_ERROR)
        return 0;
    if ((size_t)length < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        return EBADMSG;
    return -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
}

/* Reads an answer. Returns an errno, 0 for success. */
typedef int answer_reader(int fd, void *context);

static int receive_one(int fd, void *context) {
    (void)context;
    return receive_answer(fd);
}

/* Sends messages and has the answer read. Returns an errno, 0 for success. */
static int exchange_with(const struct messages *messages, answer_reader *read, void *context) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0)
        return errno;
    struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
    /* A connected netlink socket hears the kernel alone. */
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int number = 0;
    ssize_t sent = -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
        connect(fd, (struct sockaddr *)&kernel, sizeof kernel) == 0) {
        do
            sent = send(fd, messages->bytes, messages->length, 0);
        while (sent < 0 && errno == EINTR);
    }
    number = sent < 0 ? errno : read(fd, context);
    close(fd);
    return number;
}

static int exchange(const struct messages *messages) {
    return exchange_with(messages, receive_one, NULL);
}

static int explain(const char *name, int number, struct failure *failure) {
    const char *reason = strerror(number);
    if (number == EPERM)
        reason = "CAP_NET_ADMIN in its network namespace is needed";
    else if (number == EOPNOTSUPP || number == ENOENT || number == EPROTONOSUPPORT)
        reason = "this kernel lacks the ingress and egress hooks of nftables (Linux 5.16 with "
                 "nf_tables, CONFIG_NETFILTER_INGRESS and CONFIG_NETFILTER_EGRESS)";
    return fail(failure, number, CALL, name,
                "the host cannot be kept from the packets of interface %s: %s", name, reason);
}

static void name_table(const char *name, char table[TABLE_BYTES]) {
    snprintf(table, TABLE_BYTES, TABLE_PREFIX "%s", name);
}

int guard_interface(const char *name, struct failure *failure) {
    char table[TABLE_BYTES];
    struct messages messages;
    name_table(name, table);
    start_batch(&messages);
    /* One may be there, with chains that lost their interface. Deleting takes one to be there. */
    add_table(&messages, NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
    add_table(&messages, NFT_MSG_DELTABLE, 0, table);
    add_table(&messages, NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
    add_chain(&messages, table, "ingress", HOOK_INGRESS, name);
    add_chain(&messages, table, "egress", HOOK_EGRESS, name);
    add_mark_rule(&messages, table, "egress");
    end_batch(&messages);
    int number = exchange(&messages);
    return number == 0 ? 0 : explain(name, number, failure);
}

int look_at_guard(const char *name, bool *is_guarded, struct failure *failure) {
    static const char *const CHAINS[] = {"ingress", "egress"};
    char table[TABLE_BYTES];
    name_table(name, table);
    *is_guarded = false;
    for (size_t i = 0; i < sizeof CHAINS / sizeof CHAINS[0]; i++) {
        struct messages messages = {0};
        start_table_message(&messages, NFT_MSG_GETCHAIN, 0);
        add_string(&messages, NFTA_CHAIN_TABLE, table);
        add_string(&messages, NFTA_CHAIN_NAME, CHAINS[i]);
        int number = exchange(&messages);
        if (number == ENOENT)
            return 0;
        if (number != 0)
            return explain(name, number, failure);
    }
    *is_guarded = true;
    return 0;
}

static int unguard_here(void *context, struct failure *failure) {
    const char *name = context;
    char table[TABLE_BYTES];
    struct messages messages;
    name_table(name, table);
    start_batch(&messages);
    add_table(&messages, NFT_MSG_DELTABLE, 0, table);
    end_batch(&messages);
    int number = exchange(&messages);
    if (number == 0 || number == ENOENT)
        return 0;
    return fail(failure, number, CALL, name, "table netdev %s cannot be removed: %s", table,
                strerror(number));
}

napi_value unguard_device(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    char name[IFNAMSIZ], storage[PATH_MAX];
    const char *netns;
    if (!read_arguments(env, info, 2, arguments) ||
        !read_netns(env, arguments[0], storage, &netns) ||
        !read_text(env, arguments[1], "name", name, sizeof name))
        return NULL;
    struct failure failure;
    if (run_in_netns(netns, unguard_here, name, &failure) != 0)
        return throw_failure(env, &failure);
    return NULL;
}

bool name_of_guard(const struct nlmsghdr *header, char name[IFNAMSIZ]) {
    const size_t before = NLMSG_SPACE(sizeof(struct nfgenmsg)), prefix = sizeof TABLE_PREFIX - 1;
    /* NFTA_CHAIN_TABLE is the same number. */
    _Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1, "linux/nf_tables.h");
    int left = (int)header->nlmsg_len - (int)before;
    const struct rtattr *attribute = (const struct rtattr *)((const uint8_t *)header + before);
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        const char *text = RTA_DATA(attribute);
        size_t length = strnlen(text, RTA_PAYLOAD(attribute));
        if ((attribute->rta_type & NLA_TYPE_MASK) != NFTA_TABLE_NAME || length <= prefix ||
            length - prefix >= IFNAMSIZ || memcmp(text, TABLE_PREFIX, prefix) != 0)
            continue;
        memset(name, 0, IFNAMSIZ);
        memcpy(name, text + prefix, length - prefix);
        return true;
    }
    return false;
}

struct guards {
    char (*names)[IFNAMSIZ];
    size_t count, room;
};

/* Adds the interface that a table of the answer guards, if it is one of ours. */
static int add_guard(struct guards *guards, const struct nlmsghdr *header) {
    if (guards->count == guards->room) {
        size_t room = guards->room == 0 ? 64 : guards->room * 2;
        void *names = realloc(guards->names, room * sizeof *guards->names);
        if (names == NULL)
            return ENOMEM;
        guards->names = names;
        guards->room = room;
    }
    if (name_of_guard(header, guards->names[guards->count]))
        guards->count++;
    return 0;
}

/* An answer_reader: reads a dump of tables. The time-out of the socket bounds each wait. */
static int receive_guards(int fd, void *context) {
    _Alignas(struct nlmsghdr) uint8_t bytes[DUMP_BYTES_MAX];
    for (;;) {
        ssize_t length = recv(fd, bytes, sizeof bytes, 0);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return errno == EAGAIN ? ETIMEDOUT : errno;
        for (size_t offset = 0; offset + NLMSG_HDRLEN <= (size_t)length;) {
            const struct nlmsghdr *header = (const struct nlmsghdr *)(bytes + offset);
            if (header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > (size_t)length - offset)
                return EBADMSG;
            if (header->nlmsg_type == NLMSG_DONE)
                return 0;
            if (header->nlmsg_type == NLMSG_ERROR)
                return header->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))
                           ? EBADMSG
                           : -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
            int number = add_guard(context, header);
            if (number != 0)
                return number;
            offset += NLMSG_ALIGN(header->nlmsg_len);
        }
    }
}

static int list_guards_here(void *context, struct failure *failure) {
    struct messages messages = {0};
    start_table_message(&messages, NFT_MSG_GETTABLE, NLM_F_DUMP);
    int number = exchange_with(&messages, receive_guards, context);
    if (number == 0)
        return 0;
    return fail(failure, number, CALL, NULL, "the guards of interfaces cannot be listed: %s",
                strerror(number));
}

napi_value list_guards(napi_env env, napi_callback_info info) {
    napi_value arguments[1], result, text;
    char storage[PATH_MAX];
    const char *netns;
    struct guards guards = {0};
    struct failure failure;
    if (!read_arguments(env, info, 1, arguments) || !read_netns(env, arguments[0], storage, &netns))
        return NULL;
    if (run_in_netns(netns, list_guards_here, &guards, &failure) != 0) {
        free(guards.names);
        return throw_failure(env, &failure);
    }
    bool is_made = napi_create_array_with_length(env, guards.count, &result) == napi_ok;
    for (size_t i = 0; is_made && i < guards.count; i++)
        is_made =
            napi_create_string_utf8(env, guards.names[i], NAPI_AUTO_LENGTH, &text) == napi_ok &&
            napi_set_element(env, result, (uint32_t)i, text) == napi_ok;
    free(guards.names);
    return is_made ? result : throw_napi(env);
}
