/* A failed system call, on its way to becoming a JavaScript Error. */
#ifndef SECGROUPD_FAILURE_H
#define SECGROUPD_FAILURE_H

#include <limits.h>
#include <node_api.h>

/*
 * Plain memory, so that a thread that must not call Node-API (see netns.h) can fill it. Only
 * meaningful after the function that took it returned -1: nothing clears it on success, because
 * it is large and sits on the stack of functions called for every batch.
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
 * Throws an Error with message "CODE: reason (call)" and the properties code, errno, syscall and,
 * if known, device. Returns NULL, what a callback returns when it has thrown.
 */
napi_value throw_failure(napi_env env, const struct failure *failure);

/* After a Node-API call that did not return napi_ok: makes sure an exception is pending. Returns
 * NULL. */
napi_value throw_napi(napi_env env);

#endif
