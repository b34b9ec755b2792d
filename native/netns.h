/* Running a function inside another network namespace. */
#ifndef SECGROUPD_NETNS_H
#define SECGROUPD_NETNS_H

#include <node_api.h>
#include <stdbool.h>

#include "failure.h"

/*
 * Returns 0, or -1 with `failure` filled. Runs on a thread that JavaScript knows nothing of: it
 * must not call Node-API.
 */
typedef int netns_work(void *context, struct failure *failure);

/*
 * Runs work(context, failure) inside the namespace at `path`, or right here if `path` is NULL.
 * Returns when it is done, with its result, or -1 if the namespace could not be entered.
 */
int run_in_netns(const char *path, netns_work *work, void *context, struct failure *failure);

/*
 * Reads an optional argument that is a namespace path into `storage` (PATH_MAX bytes). *path is
 * then `storage`, or NULL if the argument is undefined.
 */
bool read_netns(napi_env env, napi_value value, char *storage, const char **path);

#endif
