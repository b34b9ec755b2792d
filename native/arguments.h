/*
 * Reads JavaScript arguments. On failure a function returns false, with a TypeError (wrong type)
 * or a RangeError (right type, impossible value) pending that names the argument. The callback
 * then returns NULL at once.
 */
#ifndef SECGROUPD_ARGUMENTS_H
#define SECGROUPD_ARGUMENTS_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Memory of a typed array over an ArrayBuffer or a SharedArrayBuffer. It is valid until the
 * callback returns or runs JavaScript, since a getter could detach the buffer.
 */
struct bytes {
    uint8_t *data;
    size_t length;
};
struct words {
    int32_t *data;
    size_t length;
};

/* Fills values[0..count). Arguments that were not passed are undefined. */
bool read_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);

bool read_integer(napi_env env, napi_value value, const char *name, int32_t least, int32_t most,
                  int32_t *result);
bool read_boolean(napi_env env, napi_value value, const char *name, bool *result);

/*
 * Copies a string of 1 to size-1 bytes of UTF-8 and ends it with a NUL. A string with a NUL in it
 * is refused: the kernel would see a shorter name than the one that JavaScript checked.
 */
bool read_text(napi_env env, napi_value value, const char *name, char *result, size_t size);

/* At most INT32_MAX bytes, since slots hold 32-bit offsets. */
bool read_bytes(napi_env env, napi_value value, const char *name, struct bytes *result);
bool read_words(napi_env env, napi_value value, const char *name, struct words *result);

/* undefined counts as absent. null does not, and the functions above refuse it. */
bool read_presence(napi_env env, napi_value value, bool *present);

bool read_descriptor(napi_env env, napi_value value, int *fd);

/* Refuses everything but objects, including functions and null. */
bool check_object(napi_env env, napi_value value, const char *name);

/* Throws RangeError "NAME must be EXPECTED". Returns false. */
bool throw_range(napi_env env, const char *name, const char *expected);

#endif
