/*
 * Sends datagrams with descriptors to a unix socket, as systemd's notify protocol and its journal
 * use them.
 */
#ifndef SECGROUPD_NOTIFY_H
#define SECGROUPD_NOTIFY_H

#include <node_api.h>

napi_value send_datagram(napi_env env, napi_callback_info info);

#endif
