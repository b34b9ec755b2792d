/* Unix sockets with the frames of a virtual machine, each behind its length. */
#ifndef SECGROUPD_STREAM_H
#define SECGROUPD_STREAM_H

#include <node_api.h>

#include "kinds.h"

/* Memory for what was received: at least one largest frame and its length. */
#define STREAM_IN_BYTES (1 << 17)

/*
 * Memory for what is to be sent: at least one superpacket in segments, and some of what the guest
 * is late in reading.
 */
#define STREAM_OUT_BYTES (1 << 18)

int open_stream(struct opening *opening, struct failure *failure);
int check_stream(struct opening *opening, struct failure *failure);
int identify_stream(struct location *location, struct failure *failure);
void discard_stream(const struct opening *opening);
int steer_stream(int fd, const char *name, int program, int queues, struct failure *failure);

napi_value accept_stream(napi_env env, napi_callback_info info);
napi_value read_stream(napi_env env, napi_callback_info info);
napi_value write_stream(napi_env env, napi_callback_info info);

#endif
