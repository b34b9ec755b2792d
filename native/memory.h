/* Asks for huge pages for memory of JavaScript. */
#ifndef SECGROUPD_MEMORY_H
#define SECGROUPD_MEMORY_H

#include <node_api.h>

napi_value prefer_huge_pages(napi_env env, napi_callback_info info);

#endif
