/* Tells when interfaces of a namespace come, go or change, and when guards are removed. */
#ifndef SECGROUPD_LINK_WATCH_H
#define SECGROUPD_LINK_WATCH_H

#include <node_api.h>

/*
 * A record is 4 words (RECORD_*, the index of the interface, IFF_*, 0), then three texts, each
 * ended and filled up by NULs: name (16 bytes), MAC address (24), alias (256).
 */
#define LINK_RECORD_BYTES 312

napi_value watch_links(napi_env env, napi_callback_info info);

#endif
