/* Reads JavaScript arguments (arguments.h). */
#include "arguments.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "failure.h"

static bool throw_type(napi_env env, const char *name, const char *expected) {
    char message[256];
    snprintf(message, sizeof message, "%s must be %s", name, expected);
    if (napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message) != napi_ok)
        throw_napi(env);
    return false;
}

bool throw_range(napi_env env, const char *name, const char *expected) {
    char message[256];
    snprintf(message, sizeof message, "%s must be %s", name, expected);
    if (napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message) != napi_ok)
        throw_napi(env);
    return false;
}

static bool has_type(napi_env env, napi_value value, napi_valuetype wanted, bool *result) {
    napi_valuetype type;
    if (napi_typeof(env, value, &type) != napi_ok) {
        throw_napi(env);
        return false;
    }
    *result = type == wanted;
    return true;
}

bool read_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
    size_t length = count;
    if (napi_get_cb_info(env, info, &length, values, NULL, NULL) != napi_ok) {
        throw_napi(env);
        return false;
    }
    return true;
}

bool read_integer(napi_env env, napi_value value, const char *name, int32_t least, int32_t most,
                  int32_t *result) {
    bool is_number;
    if (!has_type(env, value, napi_number, &is_number))
        return false;
    if (!is_number)
        return throw_type(env, name, "a number");
    /* Read as a double: napi_get_value_int32 would wrap 2^32 to 0. NaN fails the comparison. */
    double number;
    if (napi_get_value_double(env, value, &number) != napi_ok) {
        throw_napi(env);
        return false;
    }
    if (!(number >= least && number <= most) || number != trunc(number)) {
        char expected[64];
        snprintf(expected, sizeof expected, "an integer from %d to %d", least, most);
        return throw_range(env, name, expected);
    }
    *result = (int32_t)number;
    return true;
}

bool read_boolean(napi_env env, napi_value value, const char *name, bool *result) {
    bool is_boolean;
    if (!has_type(env, value, napi_boolean, &is_boolean))
        return false;
    if (!is_boolean)
        return throw_type(env, name, "a boolean");
    if (napi_get_value_bool(env, value, result) != napi_ok) {
        throw_napi(env);
        return false;
    }
    return true;
}

bool read_text(napi_env env, napi_value value, const char *name, char *result, size_t size) {
    bool is_string;
    if (!has_type(env, value, napi_string, &is_string))
        return false;
    if (!is_string)
        return throw_type(env, name, "a string");
    size_t length;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
        throw_napi(env);
        return false;
    }
    if (length == 0 || length >= size) {
        char expected[64];
        snprintf(expected, sizeof expected, "from 1 to %zu bytes long", size - 1);
        return throw_range(env, name, expected);
    }
    if (napi_get_value_string_utf8(env, value, result, size, &length) != napi_ok) {
        throw_napi(env);
        return false;
    }
    if (strlen(result) != length)
        return throw_range(env, name, "free of NUL characters");
    return true;
}

static bool read_typed_array(napi_env env, napi_value value, const char *name,
                             napi_typedarray_type wanted, const char *expected, void **data,
                             size_t *length) {
    bool is_typed_array;
    if (napi_is_typedarray(env, value, &is_typed_array) != napi_ok) {
        throw_napi(env);
        return false;
    }
    if (!is_typed_array)
        return throw_type(env, name, expected);
    napi_typedarray_type type;
    if (napi_get_typedarray_info(env, value, &type, length, data, NULL, NULL) != napi_ok) {
        throw_napi(env);
        return false;
    }
    if (type != wanted)
        return throw_type(env, name, expected);
    /* A detached buffer has length 0 and no memory. */
    if (*data == NULL)
        *length = 0;
    if (*length > INT32_MAX)
        return throw_range(env, name, "at most 2147483647 elements long");
    return true;
}

bool read_bytes(napi_env env, napi_value value, const char *name, struct bytes *result) {
    void *data = NULL;
    if (!read_typed_array(env, value, name, napi_uint8_array, "a Uint8Array", &data,
                          &result->length))
        return false;
    result->data = data;
    return true;
}

bool read_words(napi_env env, napi_value value, const char *name, struct words *result) {
    void *data = NULL;
    if (!read_typed_array(env, value, name, napi_int32_array, "an Int32Array", &data,
                          &result->length))
        return false;
    result->data = data;
    return true;
}

bool read_presence(napi_env env, napi_value value, bool *present) {
    bool is_undefined;
    if (!has_type(env, value, napi_undefined, &is_undefined))
        return false;
    *present = !is_undefined;
    return true;
}

bool read_descriptor(napi_env env, napi_value value, int *fd) {
    int32_t number;
    if (!read_integer(env, value, "fd", 0, INT32_MAX, &number))
        return false;
    *fd = number;
    return true;
}

bool check_object(napi_env env, napi_value value, const char *name) {
    bool is_object;
    if (!has_type(env, value, napi_object, &is_object))
        return false;
    return is_object ? true : throw_type(env, name, "an object");
}
