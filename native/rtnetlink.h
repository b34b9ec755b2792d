/* Sends one rtnetlink request and receives its answer. Knows nothing about JavaScript. */
#ifndef SECGROUPD_RTNETLINK_H
#define SECGROUPD_RTNETLINK_H

#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

/* Our longest request (an alias of 255 bytes) needs about 300 bytes. */
#define REQUEST_BYTES_MAX 512

struct request {
    const char *call; /* "rtnetlink RTM_NEWADDR" */
    int ifindex;      /* for the words of an error */
    union {
        struct nlmsghdr header;
        uint8_t bytes[REQUEST_BYTES_MAX];
    };
};

/*
 * Starts a message of `type`. `body` is its fixed part (ifinfomsg, ifaddrmsg, rtmsg). `flags` are
 * added to NLM_F_REQUEST and NLM_F_ACK.
 */
void start_request(struct request *request, const char *call, int ifindex, uint16_t type,
                   uint16_t flags, const void *body, size_t body_bytes);

void add_attribute(struct request *request, uint16_t type, const void *data, size_t length);
void add_number(struct request *request, uint16_t type, uint32_t number);

/*
 * Starts an attribute that holds others, behind `body` (its fixed part; NULL: none). Returns where
 * it is, for end_nest.
 */
size_t start_nest(struct request *request, uint16_t type, const void *body, size_t body_bytes);
void end_nest(struct request *request, size_t at);

/*
 * Sends a request and waits for the answer: a netns_work (netns.h) whose context is a struct
 * request.
 */
int send_request(void *context, struct failure *failure);

/* Reads a message of an answer, also the last one of a dump. Returns 0 to go on, or an errno. */
typedef int message_reader(void *context, const struct nlmsghdr *header);

/*
 * Sends a request and has its answer read, up to the acknowledgement or the end of the dump.
 * Returns 0 or an errno, the kernel's own too.
 */
int ask_kernel(const struct request *request, message_reader *read, void *context);

#endif
