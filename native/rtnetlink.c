/*
 * Sends one rtnetlink request and receives its answer.
 *
 * Theory of operation
 *
 * Each request has a socket of its own. Requests are rare, and a socket belongs to the namespace
 * that it was opened in, so we would have to keep one for each namespace. It also makes the
 * answer unmistakable: no other request can be on this socket. The answer is still checked
 * (sender, sequence number, lengths). The wait and the number of messages read in vain are bounded,
 * so that a call ends whatever arrives. An answer that is read for what it says must come whole.
 *
 * The kernel is asked for extended acknowledgements: its own sentence ("mtu greater than device
 * maximum") says more than EINVAL.
 */
#include "rtnetlink.h"

#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 5
/* Datagrams that say nothing of the request, and signals. */
#define IDLE_MAX 64
/* Longer than any of the kernel's: a dump comes in some of 32 KB at most. */
#define DATAGRAM_BYTES (1 << 16)
#define MORE (-1)
#define SEQUENCE 1
#define KERNEL_TEXT_BYTES 160

/* Headers before Linux 4.12 lack these. */
#ifndef NETLINK_EXT_ACK
#define NETLINK_EXT_ACK 11
#endif

void start_request(struct request *request, const char *call, int ifindex, uint16_t type,
                   uint16_t flags, const void *body, size_t body_bytes) {
    memset(request, 0, sizeof *request);
    request->call = call;
    request->ifindex = ifindex;
    request->header = (struct nlmsghdr){
        .nlmsg_len = (uint32_t)NLMSG_LENGTH(body_bytes),
        .nlmsg_type = type,
        .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags),
        .nlmsg_seq = SEQUENCE,
    };
    memcpy(request->bytes + NLMSG_HDRLEN, body, body_bytes);
}

void add_attribute(struct request *request, uint16_t type, const void *data, size_t length) {
    size_t offset = NLMSG_ALIGN(request->header.nlmsg_len);
    /* A request that is too long is not sent. */
    if (length > REQUEST_BYTES_MAX || offset + RTA_SPACE(length) > REQUEST_BYTES_MAX) {
        request->header.nlmsg_len = REQUEST_BYTES_MAX + 1;
        return;
    }
    struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(length), .rta_type = type};
    memcpy(request->bytes + offset, &attribute, sizeof attribute);
    if (length > 0)
        memcpy(request->bytes + offset + RTA_LENGTH(0), data, length);
    request->header.nlmsg_len = (uint32_t)(offset + RTA_LENGTH(length));
}

void add_number(struct request *request, uint16_t type, uint32_t number) {
    add_attribute(request, type, &number, sizeof number);
}

size_t start_nest(struct request *request, uint16_t type, const void *body, size_t body_bytes) {
    size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
    add_attribute(request, type, body, body_bytes);
    return at;
}

void end_nest(struct request *request, size_t at) {
    size_t length = request->header.nlmsg_len;
    if (length > REQUEST_BYTES_MAX)
        return;
    struct rtattr *attribute = (struct rtattr *)(request->bytes + at);
    attribute->rta_len = (unsigned short)(length - at);
}

static int open_socket(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -1;
    struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0 ||
        connect(fd, (struct sockaddr *)&kernel, sizeof kernel) != 0) {
        int number = errno;
        close(fd);
        errno = number;
        return -1;
    }
    /* Without this option (before Linux 4.12) errors only lack the kernel's sentence. */
    int on = 1;
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    return fd;
}

/* Finds NLMSGERR_ATTR_MSG behind the error. `text` stays "" if there is none. */
static void copy_kernel_text(const struct nlmsghdr *header, char *text) {
    const uint8_t *bytes = (const uint8_t *)header;
    const struct nlmsgerr *error = NLMSG_DATA(header);
    size_t offset = NLMSG_HDRLEN + sizeof *error;
    if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
        return;
    if (!(header->nlmsg_flags & NLM_F_CAPPED)) {
        /* The error is followed by the request. The request's own header is already counted. */
        if (error->msg.nlmsg_len < sizeof error->msg || error->msg.nlmsg_len > header->nlmsg_len)
            return;
        offset += NLMSG_ALIGN(error->msg.nlmsg_len) - sizeof error->msg;
    }
    while (offset + sizeof(struct nlattr) <= header->nlmsg_len) {
        struct nlattr attribute;
        memcpy(&attribute, bytes + offset, sizeof attribute);
        if (attribute.nla_len < sizeof attribute || offset + attribute.nla_len > header->nlmsg_len)
            return;
        if ((attribute.nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG) {
            int length = (int)(attribute.nla_len - sizeof attribute);
            snprintf(text, KERNEL_TEXT_BYTES, "%.*s", length,
                     (const char *)bytes + offset + sizeof attribute);
            return;
        }
        offset += NLA_ALIGN(attribute.nla_len);
    }
}

/* Who reads an answer, and where the kernel's sentence goes. */
struct answer {
    message_reader *read; /* NULL: the answer is an acknowledgement alone */
    void *context;
    char *text;
};

/* Returns an errno, 0 at the end of the answer, or MORE. */
static int read_datagram(const struct answer *answer, const uint8_t *bytes, size_t length) {
    size_t offset = 0;
    while (offset + NLMSG_HDRLEN <= length) {
        const struct nlmsghdr *header = (const struct nlmsghdr *)(bytes + offset);
        if (header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > length - offset)
            return answer->read == NULL ? MORE : EBADMSG;
        offset += NLMSG_ALIGN(header->nlmsg_len);
        if (header->nlmsg_seq != SEQUENCE)
            continue;
        if (header->nlmsg_type == NLMSG_ERROR &&
            header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
            copy_kernel_text(header, answer->text);
            return -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
        }
        int number = answer->read == NULL ? 0 : answer->read(answer->context, header);
        if (number != 0)
            return number;
        if (answer->read != NULL && header->nlmsg_type == NLMSG_DONE)
            return 0;
    }
    return MORE;
}

/* Returns the errno of the kernel's answer (0 for success), or of the failure to get one. */
static int receive_answer(int fd, const struct answer *answer, uint8_t *bytes) {
    for (int idle = 0; idle < IDLE_MAX;) {
        struct sockaddr_nl sender = {0};
        socklen_t sender_bytes = sizeof sender;
        ssize_t length = recvfrom(fd, bytes, DATAGRAM_BYTES, MSG_TRUNC, (struct sockaddr *)&sender,
                                  &sender_bytes);
        if (length < 0 && errno == EINTR) {
            idle++;
            continue;
        }
        if (length < 0)
            return errno == EAGAIN ? ETIMEDOUT : errno;
        if (length > DATAGRAM_BYTES)
            return EMSGSIZE;
        /* Port 0 is the kernel, so no other process can answer in its place. */
        int number = sender.nl_pid == 0 ? read_datagram(answer, bytes, (size_t)length) : MORE;
        if (number != MORE)
            return number;
        if (answer->read == NULL || sender.nl_pid != 0)
            idle++;
    }
    return ETIMEDOUT;
}

static int talk(int fd, const struct request *request, const struct answer *answer,
                uint8_t *bytes) {
    ssize_t sent;
    do
        sent = send(fd, request->bytes, request->header.nlmsg_len, 0);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? errno : receive_answer(fd, answer, bytes);
}

static int exchange(const struct request *request, const struct answer *answer) {
    if (request->header.nlmsg_len > REQUEST_BYTES_MAX)
        return EMSGSIZE;
    uint8_t *bytes = malloc(DATAGRAM_BYTES);
    if (bytes == NULL)
        return ENOMEM;
    int fd = open_socket();
    int number = fd < 0 ? errno : talk(fd, request, answer, bytes);
    if (fd >= 0)
        close(fd);
    free(bytes);
    return number;
}

int ask_kernel(const struct request *request, message_reader *read, void *context) {
    char text[KERNEL_TEXT_BYTES] = "";
    return exchange(request, &(struct answer){read, context, text});
}

int send_request(void *context, struct failure *failure) {
    const struct request *request = context;
    char text[KERNEL_TEXT_BYTES] = "";
    int number = exchange(request, &(struct answer){.text = text});
    if (number == 0)
        return 0;
    char name[IFNAMSIZ];
    const char *device = if_indextoname((unsigned)request->ifindex, name);
    const char *reason = text[0] != '\0' ? text : strerror(number);
    if (number == EPERM && text[0] == '\0')
        reason = "CAP_NET_ADMIN in its network namespace is needed";
    if (device == NULL)
        return fail(failure, number, request->call, NULL, "interface %d: %s", request->ifindex,
                    reason);
    return fail(failure, number, request->call, device, "interface %s: %s", device, reason);
}
