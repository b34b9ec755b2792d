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
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"
#include "netns.h"
#include "rtnetlink.h"

#define CALL "rtnetlink RTM_GETNSID"

struct question {
    int fd; /* of the namespace that is asked about */
    int32_t id;
    bool is_answered;
};

/* A message_reader. */
static int read_id(void *context, const struct nlmsghdr *header) {
    struct question *question = context;
    size_t before = NLMSG_SPACE(sizeof(struct rtgenmsg));
    if (header->nlmsg_type != RTM_NEWNSID || header->nlmsg_len < before)
        return 0;
    int left = (int)(header->nlmsg_len - before);
    const uint8_t *bytes = (const uint8_t *)header;
    for (const struct rtattr *attribute = (const struct rtattr *)(bytes + before);
         RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
        if (attribute->rta_type == NETNSA_NSID && RTA_PAYLOAD(attribute) == sizeof question->id) {
            memcpy(&question->id, RTA_DATA(attribute), sizeof question->id);
            question->is_answered = true;
        }
    return 0;
}

static int ask_here(void *context, struct failure *failure) {
    struct question *question = context;
    const struct rtgenmsg body = {.rtgen_family = AF_UNSPEC};
    struct request request;
    start_request(&request, CALL, 0, RTM_GETNSID, 0, &body, sizeof body);
    add_number(&request, NETNSA_FD, (uint32_t)question->fd);
    int number = ask_kernel(&request, read_id, question);
    if (number == 0 && !question->is_answered)
        number = EBADMSG;
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
    struct question question = {.fd = open(other, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
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
