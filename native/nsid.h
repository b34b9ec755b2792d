/* Tells network namespaces apart. */
#ifndef SECGROUPD_NSID_H
#define SECGROUPD_NSID_H

#include <node_api.h>

napi_value namespace_id(napi_env env, napi_callback_info info);

#endif
