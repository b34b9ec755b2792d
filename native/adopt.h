/* Takes over a descriptor of a device that an earlier process opened. */
#ifndef SECGROUPD_ADOPT_H
#define SECGROUPD_ADOPT_H

#include <node_api.h>

napi_value adopt_device(napi_env env, napi_callback_info info);
napi_value identify_device(napi_env env, napi_callback_info info);
napi_value locate_device(napi_env env, napi_callback_info info);

#endif
