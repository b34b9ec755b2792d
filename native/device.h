/* Opens devices for src/ports/native.ts. */
#ifndef SECGROUPD_DEVICE_H
#define SECGROUPD_DEVICE_H

#include <node_api.h>
#include <stdbool.h>

#include "kinds.h"

/*
 * Fills kind, persist, queues and wanted from the OpenOptions of src/ports/native.ts. Reads
 * the namespace too.
 */
bool read_device_options(napi_env env, napi_value options, struct opening *opening, char *storage,
                         const char **netns);

/* Makes the OpenedDevice of src/ports/native.ts. */
napi_status describe_device(napi_env env, const struct opening *opening, napi_value *result);

napi_value open_device(napi_env env, napi_callback_info info);

#endif
