/* Interfaces: their index, addresses, routes and link settings. */
#ifndef SECGROUPD_LINK_H
#define SECGROUPD_LINK_H

#include <node_api.h>

#include "failure.h"

/*
 * Finds the index of an interface in the calling thread's namespace; 0 if there is none. Returns
 * -1 on failure.
 */
int find_ifindex(const char *name, unsigned *ifindex, struct failure *failure);

napi_value add_address(napi_env env, napi_callback_info info);
napi_value remove_address(napi_env env, napi_callback_info info);
napi_value add_route(napi_env env, napi_callback_info info);
napi_value remove_route(napi_env env, napi_callback_info info);
napi_value set_link(napi_env env, napi_callback_info info);
napi_value link_index(napi_env env, napi_callback_info info);
napi_value delete_link(napi_env env, napi_callback_info info);

#endif
