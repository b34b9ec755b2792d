/* What the lab and the tests need done to interfaces: addresses, routes, link settings. */
#ifndef SECGROUPD_LINK_H
#define SECGROUPD_LINK_H

#include <node_api.h>

napi_value add_address(napi_env env, napi_callback_info info);
napi_value remove_address(napi_env env, napi_callback_info info);
napi_value add_route(napi_env env, napi_callback_info info);
napi_value remove_route(napi_env env, napi_callback_info info);
napi_value set_link(napi_env env, napi_callback_info info);
napi_value link_index(napi_env env, napi_callback_info info);
napi_value delete_link(napi_env env, napi_callback_info info);

#endif
