/* Waits for packets, and can be woken from another thread. */
#ifndef SECGROUPD_WAIT_H
#define SECGROUPD_WAIT_H

#include <node_api.h>

napi_value create_poller(napi_env env, napi_callback_info info);
napi_value watch_input(napi_env env, napi_callback_info info);
napi_value watch_output(napi_env env, napi_callback_info info);
napi_value unwatch_input(napi_env env, napi_callback_info info);
napi_value wait_for_watched(napi_env env, napi_callback_info info);
napi_value read_boot_clock(napi_env env, napi_callback_info info);
napi_value set_batch_scheduling(napi_env env, napi_callback_info info);
napi_value create_eventfd(napi_env env, napi_callback_info info);
napi_value signal_eventfd(napi_env env, napi_callback_info info);
napi_value drain_eventfd(napi_env env, napi_callback_info info);

#endif
