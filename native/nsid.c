/*
 * Tells network namespaces apart (nsid.h).
 *
 * Theory of operation
 *
 * The kernel says which namespace the other end of a link is in by a number, which means something
 * within one namespace alone. There is no way from the number to the namespace, but one from a
 * descriptor of a namespace to its number. So the caller asks for the number of each namespace that
 * may be meant. Comparing names or indexes instead would let a stranger choose them.
 */
#include "nsid.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/net_namespace.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"
#include "netns.h"
#include "rtnetlink.h"

#define CALL "rtnetlink RTM_GETNSID"
#define ANSWER_BYTES_MAX 8192

struct question {
    int fd; /* of the namespace that is asked about */
    int32_t id;
};

/* Reads the answer. Returns an errno. */
static int read_answer(const uint8_t *bytes, size_t length, int32_t *id) {
    const struct nlmsghdr *header = (const struct nlmsghdr *)bytes;
    if (length < NLMSG_HDRLEN || header->nlmsg_len > length)
        return EBADMSG;
    if (header->nlmsg_type == NLMSG_ERROR &&
        header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
        int number = -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
        return number == 0 ? EBADMSG : number;
    }
    size_t before = NLMSG_SPACE(sizeof(struct rtgenmsg));
    if (header->nlmsg_type != RTM_NEWNSID || header->nlmsg_len < before)
        return EBADMSG;
    int left = (int)(header->nlmsg_len - before);
    for (const struct rtattr *attribute = (const struct rtattr *)(bytes + before);
         RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
        if (attribute->rta_type == NETNSA_NSID && RTA_PAYLOAD(attribute) == sizeof *id) {
            memcpy(id, RTA_DATA(attribute), sizeof *id);
            return 0;
        }
    return EBADMSG;
}

static int exchange(int fd, const struct request *request, int32_t *id) {
    _Alignas(struct nlmsghdr) uint8_t bytes[ANSWER_BYTES_MAX];
    ssize_t length;
    do
        length = send(fd, request->bytes, request->header.nlmsg_len, 0);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno;
    do
        length = recv(fd, bytes, sizeof bytes, 0);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno == EAGAIN ? ETIMEDOUT : errno;
    return read_answer(bytes, (size_t)length, id);
}

static int ask_here(void *context, struct failure *failure) {
    struct question *question = context;
    const struct rtgenmsg body = {.rtgen_family = AF_UNSPEC};
    struct request request;
    start_request(&request, CALL, 0, RTM_GETNSID, 0, &body, sizeof body);
    add_number(&request, NETNSA_FD, (uint32_t)question->fd);
    int fd = open_rtnetlink();
    int number = fd < 0 ? errno : exchange(fd, &request, &question->id);
    if (fd >= 0)
        close(fd);
    if (number == 0)
        return 0;
    return fail(failure, number, CALL, NULL, "a network namespace cannot be told from others: %s",
                strerror(number));
}

napi_value namespace_id(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result;
    char storage[PATH_MAX], other[PATH_MAX];
    const char *netns;
    struct failure failure;
    if (!read_arguments(env, info, 2, arguments) ||
        !read_netns(env, arguments[0], storage, &netns) ||
        !read_text(env, arguments[1], "other", other, sizeof other))
        return NULL;
    struct question question = {open(other, O_RDONLY | O_CLOEXEC | O_NONBLOCK), -1};
    if (question.fd < 0) {
        int number = errno;
        fail(&failure, number, "open", other, "network namespace %s cannot be opened: %s", other,
             strerror(number));
        return throw_failure(env, &failure);
    }
    int status = run_in_netns(netns, ask_here, &question, &failure);
    close(question.fd);
    if (status != 0)
        return throw_failure(env, &failure);
    return napi_create_int32(env, question.id, &result) == napi_ok ? result : throw_napi(env);
}
