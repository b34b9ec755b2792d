/* Keeps everybody but the packet loops from an interface that leads to an instance. */
#ifndef SECGROUPD_GUARD_H
#define SECGROUPD_GUARD_H

#include <linux/netlink.h>
#include <net/if.h>
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

/*
 * Copies the name of the interface that a table of nf_tables guards, of a message about the table
 * or a chain in it. Returns false if the table is somebody else's.
 */
bool name_of_guard(const struct nlmsghdr *header, char name[IFNAMSIZ]);

napi_value unguard_device(napi_env env, napi_callback_info info);
napi_value list_guards(napi_env env, napi_callback_info info);

#endif
