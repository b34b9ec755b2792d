/* Runs a function inside another network namespace. */
#ifndef SECGROUPD_NETNS_H
#define SECGROUPD_NETNS_H

#include <node_api.h>
#include <stdbool.h>

#include "failure.h"

/*
 * A function for run_in_netns. It returns 0, or -1 with `failure` filled. It runs on a thread
 * that JavaScript does not know, so it must not call Node-API.
 */
typedef int netns_work(void *context, struct failure *failure);

/*
 * Runs work(context, failure) inside the namespace at `path`, or in the current one if `path` is
 * NULL. Returns the result of `work`, or -1 if the namespace could not be entered.
 */
int run_in_netns(const char *path, netns_work *work, void *context, struct failure *failure);

/*
 * Reads an optional namespace path into `storage` (PATH_MAX bytes). *path is then `storage`, or
 * NULL if the argument is undefined.
 */
bool read_netns(napi_env env, napi_value value, char *storage, const char **path);

#endif
