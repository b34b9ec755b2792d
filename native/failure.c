/* Turns failed system calls into JavaScript Errors (failure.h). */
#include "failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
static const char *error_name(int number) {
    return strerrorname_np(number);
}
#else
/* musl and older glibc have no strerrorname_np. These are the errors that our calls can give. */
static const char *error_name(int number) {
    static const struct {
        int number;
        const char *name;
    } NAMES[] = {
#define NAMED(error)                                                                               \
    { error, #error }
        NAMED(EPERM),     NAMED(ENOENT),        NAMED(EINTR),        NAMED(EIO),
        NAMED(ENXIO),     NAMED(EBADF),         NAMED(EAGAIN),       NAMED(ENOMEM),
        NAMED(EACCES),    NAMED(EFAULT),        NAMED(EBUSY),        NAMED(EEXIST),
        NAMED(ENODEV),    NAMED(ENOTDIR),       NAMED(EISDIR),       NAMED(EINVAL),
        NAMED(ENFILE),    NAMED(EMFILE),        NAMED(ENOTTY),       NAMED(ENOSPC),
        NAMED(ESPIPE),    NAMED(EPIPE),         NAMED(ERANGE),       NAMED(ENAMETOOLONG),
        NAMED(ENOSYS),    NAMED(ELOOP),         NAMED(EPROTO),       NAMED(EBADFD),
        NAMED(EMSGSIZE),  NAMED(EOPNOTSUPP),    NAMED(EAFNOSUPPORT), NAMED(EADDRINUSE),
        NAMED(ENETDOWN),  NAMED(EADDRNOTAVAIL), NAMED(ENETUNREACH),  NAMED(ENOBUFS),
        NAMED(ETIMEDOUT), NAMED(ECONNREFUSED),  NAMED(EHOSTUNREACH), NAMED(ESRCH),
#undef NAMED
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (NAMES[i].number == number)
            return NAMES[i].name;
    return NULL;
}
#endif

int fail(struct failure *failure, int number, const char *call, const char *device,
         const char *format, ...) {
    failure->number = number;
    failure->call = call;
    snprintf(failure->device, sizeof failure->device, "%s", device == NULL ? "" : device);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->reason, sizeof failure->reason, format, arguments);
    va_end(arguments);
    return -1;
}

static napi_status set_text(napi_env env, napi_value object, const char *key, const char *text) {
    napi_value value;
    napi_status status = napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
    return status == napi_ok ? napi_set_named_property(env, object, key, value) : status;
}

static napi_status create_error(napi_env env, const struct failure *failure, napi_value *error) {
    char unknown[16];
    const char *name = error_name(failure->number);
    if (name == NULL) {
        snprintf(unknown, sizeof unknown, "E%d", failure->number);
        name = unknown;
    }
    char text[sizeof failure->reason + 128];
    const char *hint = failure->number == EMFILE ? "; the limit of open files is too low: raise "
                                                   "LimitNOFILE= of the service, or ulimit -n"
                                                 : "";
    snprintf(text, sizeof text, "%s: %s (%s)%s", name, failure->reason, failure->call, hint);

    napi_value code, message, number;
    napi_status status = napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code);
    if (status == napi_ok)
        status = napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
    if (status == napi_ok)
        status = napi_create_error(env, code, message, error);
    if (status == napi_ok)
        status = napi_create_int32(env, failure->number, &number);
    if (status == napi_ok)
        status = napi_set_named_property(env, *error, "errno", number);
    if (status == napi_ok)
        status = set_text(env, *error, "syscall", failure->call);
    if (status == napi_ok && failure->device[0] != '\0')
        status = set_text(env, *error, "device", failure->device);
    return status;
}

napi_value throw_failure(napi_env env, const struct failure *failure) {
    napi_value error;
    if (create_error(env, failure, &error) != napi_ok || napi_throw(env, error) != napi_ok)
        return throw_napi(env);
    return NULL;
}

napi_value throw_napi(napi_env env) {
    /* Call this first: every further call overwrites it. */
    const napi_extended_error_info *info = NULL;
    const char *text = NULL;
    if (napi_get_last_error_info(env, &info) == napi_ok && info != NULL)
        text = info->error_message;
    bool pending = false;
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending)
        return NULL;
    /* If even this fails, the environment is shutting down and nobody can be told. */
    (void)napi_throw_error(env, NULL, text == NULL ? "a Node-API call failed" : text);
    return NULL;
}
