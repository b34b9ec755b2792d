/* Sends one rtnetlink request and receives its acknowledgement. Knows nothing about JavaScript. */
#ifndef SECGROUPD_RTNETLINK_H
#define SECGROUPD_RTNETLINK_H

#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

/* Our longest request (a route with a gateway, an IPv6 address) needs about 100 bytes. */
#define REQUEST_BYTES_MAX 256

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

/* A socket that hears the kernel alone, and waits no longer than a few seconds; -1 with errno. */
int open_rtnetlink(void);

/*
 * Sends a request and waits for the answer: a netns_work (netns.h) whose context is a struct
 * request.
 */
int send_request(void *context, struct failure *failure);

#endif
