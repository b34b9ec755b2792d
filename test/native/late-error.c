/*
 * Preloaded into Node.js (LD_PRELOAD): recvmmsg(2) gives two messages the first time, and an error
 * waits at the socket (SO_ERROR), as the kernel does it when a third one fails. What fails a packet
 * socket so is a packet whose kind of segmentation no virtio header has a word for, which nothing
 * here can make.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

static int calls, errors;

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
             struct timespec *timeout) {
    static int (*real)(int, struct mmsghdr *, unsigned, int, struct timespec *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "recvmmsg");
    if (calls++ > 0)
        return real(fd, messages, count, flags, timeout);
    errors = 1;
    return real(fd, messages, 2, flags, timeout);
}

int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict length) {
    static int (*real)(int, int, int, void *, socklen_t *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "getsockopt");
    if (level != SOL_SOCKET || option != SO_ERROR || errors == 0)
        return real(fd, level, option, value, length);
    errors = 0;
    *(int *)value = EINVAL;
    return 0;
}
