/* Closes descriptors for src/ports/native.ts. */
#ifndef SECGROUPD_CLOSE_H
#define SECGROUPD_CLOSE_H

#include <node_api.h>

napi_value close_fd(napi_env env, napi_callback_info info);
napi_value close_fds(napi_env env, napi_callback_info info);

#endif
