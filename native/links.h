/* Lists the interfaces of a namespace. */
#ifndef SECGROUPD_LINKS_H
#define SECGROUPD_LINKS_H

#include <node_api.h>

napi_value list_links(napi_env env, napi_callback_info info);

#endif
