/* Keeps everybody but the packet loops from an interface that somebody else made. */
#ifndef SECGROUPD_GUARD_H
#define SECGROUPD_GUARD_H

#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "failure.h"

/* The mark (SO_MARK) of packets that may be sent by a guarded interface. */
#define GUARD_MARK 0x5ec6a77a

/* Guards the interface of that name in the calling thread's namespace, anew if it is guarded. */
int guard_interface(const char *name, struct failure *failure);

/* Whether guard_interface() is still in force. */
int look_at_guard(const char *name, bool *is_guarded, struct failure *failure);

napi_value unguard_device(napi_env env, napi_callback_info info);

#endif
