/* Makes veth pairs. */
#ifndef SECGROUPD_VETH_H
#define SECGROUPD_VETH_H

#include <node_api.h>

napi_value make_pair(napi_env env, napi_callback_info info);

#endif
