/* Turns a failed system call into a JavaScript Error. */
#ifndef SECGROUPD_FAILURE_H
#define SECGROUPD_FAILURE_H

#include <limits.h>
#include <node_api.h>

/*
 * A failed system call. It is plain memory, so that a thread that must not call Node-API
 * (netns.h) can fill it. It is valid only after the function that took it returned -1. Nothing
 * clears it on success: it is large, and on the stack of functions that are called for every
 * batch.
 */
struct failure {
    int number;                /* errno, positive */
    const char *call;          /* static text: "ioctl TUNSETIFF" */
    char device[PATH_MAX];     /* interface name or namespace path; "" if not known */
    char reason[PATH_MAX * 2]; /* what a person is told, without code and call */
};

/* Fills `failure`; `device` may be NULL. Returns -1, so that a caller can `return fail(...)`. */
int fail(struct failure *failure, int number, const char *call, const char *device,
         const char *format, ...) __attribute__((format(printf, 5, 6)));

/*
 * Throws an Error with the message "CODE: reason (call)" and the properties code, errno, syscall
 * and, if known, device. Returns NULL, as a callback does that has thrown.
 */
napi_value throw_failure(napi_env env, const struct failure *failure);

/*
 * Makes sure that an exception is pending after a Node-API call that did not return napi_ok.
 * Returns NULL.
 */
napi_value throw_napi(napi_env env);

#endif
