/* Waiting for packets, and being woken from another thread. */
#ifndef SECGROUPD_WAIT_H
#define SECGROUPD_WAIT_H

#include <node_api.h>

napi_value poll_input(napi_env env, napi_callback_info info);
napi_value create_eventfd(napi_env env, napi_callback_info info);
napi_value signal_eventfd(napi_env env, napi_callback_info info);
napi_value drain_eventfd(napi_env env, napi_callback_info info);

#endif
