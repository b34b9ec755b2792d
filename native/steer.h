/* Chooses the queue of each packet, for a multi-queue device. */
#ifndef SECGROUPD_STEER_H
#define SECGROUPD_STEER_H

#include <node_api.h>

/* src/ports/native.ts has these numbers too; loadNative() there compares them. */
#define QUEUES_MAX 16
#define PAIR_HASH_SEED 0x3c6ef372
#define PAIR_HASH_FACTOR 0x2c1b3c6d
#define PAIR_HASH_LAST_FACTOR 0x297a2d39

napi_value steer_queues(napi_env env, napi_callback_info info);

#endif
