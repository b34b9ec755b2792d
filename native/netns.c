/*
 * Runs a function inside another network namespace.
 *
 * Theory of operation
 *
 * Problem: a descriptor of /dev/net/tun and a netlink socket belong for ever to the network
 * namespace of the thread that opened them. So to serve an interface in another namespace, it is
 * enough to be there for a moment.
 *
 * setns(2) changes the calling thread. On the JavaScript thread it would have to be undone. If
 * that failed (the own namespace's file can no longer be opened, a capability was dropped in
 * between), every later interface would be made in the wrong namespace: the firewall would guard
 * the wrong host. So the work runs on a new thread that enters, works and ends. There is no way
 * back that could fail.
 *
 * The caller waits for that thread. The calls are few (start-up, reload, tests) and short, and
 * they work on the caller's stack. Rejected: a helper process (it would have to pass descriptors
 * back). Rejected: one long-lived thread for each namespace (it would keep state, and keep the
 * namespace alive).
 *
 * The thread blocks all signals. Node-API's own handlers expect JavaScript threads, and an
 * interrupted system call here would only have to be repeated.
 */
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"

struct visit {
    const char *path;
    netns_work *work;
    void *context;
    struct failure *failure;
    int result;
};

static int enter(const char *path, struct failure *failure) {
    /* O_NONBLOCK: a path to a FIFO must not hang the daemon. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int number = errno;
        const char *advice =
            number == EACCES || number == EPERM ? ": this user may not read it" : "";
        return fail(failure, number, "open", path, "network namespace %s cannot be opened%s", path,
                    advice);
    }
    int status = setns(fd, CLONE_NEWNET);
    int number = errno;
    close(fd);
    if (status == 0)
        return 0;
    if (number == EINVAL)
        return fail(failure, number, "setns", path, "%s is not a network namespace", path);
    if (number == EPERM)
        return fail(failure, number, "setns", path,
                    "network namespace %s cannot be entered: CAP_SYS_ADMIN is needed", path);
    return fail(failure, number, "setns", path, "network namespace %s cannot be entered: %s", path,
                strerror(number));
}

static void *visit_netns(void *argument) {
    struct visit *visit = argument;
    visit->result = enter(visit->path, visit->failure);
    if (visit->result == 0)
        visit->result = visit->work(visit->context, visit->failure);
    return NULL;
}

int run_in_netns(const char *path, netns_work *work, void *context, struct failure *failure) {
    if (path == NULL)
        return work(context, failure);

    struct visit visit = {path, work, context, failure, -1};
    /*
     * A new thread inherits the signal mask. So with signals blocked here, none can hit it at any
     * moment.
     */
    sigset_t all, before;
    sigfillset(&all);
    int error = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (error != 0)
        return fail(failure, error, "pthread_sigmask", path, "signals could not be blocked: %s",
                    strerror(error));
    pthread_t thread;
    error = pthread_create(&thread, NULL, visit_netns, &visit);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return fail(failure, error, "pthread_create", path,
                    "no thread could be started to enter network namespace %s: %s", path,
                    strerror(error));
    /*
     * This can only fail for a thread that isn't ours. `visit` must live until the thread has
     * ended.
     */
    error = pthread_join(thread, NULL);
    if (error != 0)
        return fail(failure, error, "pthread_join", path,
                    "the thread in network namespace %s was lost: %s", path, strerror(error));
    return visit.result;
}

bool read_netns(napi_env env, napi_value value, char *storage, const char **path) {
    bool present;
    if (!read_presence(env, value, &present))
        return false;
    *path = NULL;
    if (!present)
        return true;
    if (!read_text(env, value, "netns", storage, PATH_MAX))
        return false;
    *path = storage;
    return true;
}
