/* Makes bound sockets in another network namespace. */
#ifndef SECGROUPD_LISTEN_H
#define SECGROUPD_LISTEN_H

#include <node_api.h>

napi_value bind_socket(napi_env env, napi_callback_info info);

#endif
