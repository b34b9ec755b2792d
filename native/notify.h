/* Datagrams to a unix socket, descriptors with them: what systemd's notify protocol and its journal
 * take. */
#ifndef SECGROUPD_NOTIFY_H
#define SECGROUPD_NOTIFY_H

#include <node_api.h>

napi_value send_datagram(napi_env env, napi_callback_info info);

#endif
