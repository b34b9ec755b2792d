/* Ends the process at once. */
#ifndef SECGROUPD_EXIT_H
#define SECGROUPD_EXIT_H

#include <node_api.h>

napi_value exit_now(napi_env env, napi_callback_info info);

#endif
