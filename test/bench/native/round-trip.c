/*
 * Round-trip times of single datagrams, one under way at a time.
 *
 *   round-trip echo IP PORT                      answers until it is killed
 *   round-trip ask IP PORT INTERVAL_US SECONDS   asks at that interval; prints a JSON object, times
 * in us
 *   round-trip open IP PORT FLOWS                asks twice from each of so many ports; prints how
 * many of them were answered twice
 *
 * An answer that is late for the next question delays it (never more than one is under way), so a
 * stall is counted once and not once for every question it held up; `longest_us` shows it.
 */
#include "common.h"

#define PATIENCE_US 200000
#define SAMPLES_MAX 10000000
/* A flow that was asked and answered twice is one of the kernel's fast path. */
#define ASKED 2
#define FIRST_PORT 1024

_Noreturn static void run_echo(char **arguments) {
    struct sockaddr_in at = address_of(arguments[0], arguments[1]);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        fail("bind");
    say_ready();
    for (;;) {
        uint64_t question;
        struct sockaddr_in from;
        socklen_t bytes = sizeof from;
        if (recvfrom(fd, &question, sizeof question, 0, (struct sockaddr *)&from, &bytes) !=
            sizeof question)
            continue;
        if (sendto(fd, &question, sizeof question, 0, (struct sockaddr *)&from, bytes) < 0 &&
            errno != ENOBUFS)
            fail("sendto");
    }
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_us(const uint32_t *sorted, uint64_t count, double share) {
    return count == 0 ? 0 : sorted[(uint64_t)(share * (double)(count - 1) + 0.5)] / 1e3;
}

static int run_asker(char **arguments) {
    struct sockaddr_in to = address_of(arguments[0], arguments[1]);
    int64_t interval_ns = (int64_t)(1e3 * number_of(arguments[2]));
    int64_t end = now_ns() + (int64_t)(1e9 * number_of(arguments[3]));
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval patience = {0, PATIENCE_US};
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        fail("connect");
    uint32_t *samples = malloc(sizeof *samples * SAMPLES_MAX);
    if (samples == NULL)
        fail("malloc");
    want_exact_timers();
    uint64_t count = 0;
    uint64_t lost = 0;
    uint64_t question = 0;
    for (int64_t due = now_ns(); due < end && count < SAMPLES_MAX;) {
        sleep_until(due);
        question++;
        int64_t asked = now_ns();
        if (send(fd, &question, sizeof question, 0) < 0 && errno != ENOBUFS &&
            errno != ECONNREFUSED)
            fail("send");
        uint64_t answer = 0;
        ssize_t got;
        /* An answer to a question that was given up is read past. */
        do
            got = recv(fd, &answer, sizeof answer, 0);
        while (got == sizeof answer && answer != question);
        int64_t now = now_ns();
        if (got == sizeof answer) {
            samples[count++] = (uint32_t)(now - asked);
        } else {
            lost++;
        }
        due += interval_ns;
        if (due < now)
            due = now;
    }
    qsort(samples, count, sizeof *samples, compare);
    printf("{\"samples\":%llu,\"lost\":%llu,\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"longest\":%."
           "2f}\n",
           (unsigned long long)count, (unsigned long long)lost, percentile_us(samples, count, 0.5),
           percentile_us(samples, count, 0.99), percentile_us(samples, count, 0.999),
           percentile_us(samples, count, 1));
    return 0;
}

/* Flows that are there, and do no more. */
static int run_opener(char **arguments) {
    struct sockaddr_in to = address_of(arguments[0], arguments[1]);
    struct sockaddr_in own = {.sin_family = AF_INET};
    struct timeval patience = {0, PATIENCE_US};
    int flows = (int)number_of(arguments[2]);
    int opened = 0;
    for (int i = 0; i < flows && FIRST_PORT + i <= UINT16_MAX; i++) {
        own.sin_port = htons((uint16_t)(FIRST_PORT + i));
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) != 0 ||
            connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
            fail("connect");
        int answers = 0;
        for (uint64_t question = 0; question < ASKED; question++)
            answers += send(fd, &question, sizeof question, 0) == sizeof question &&
                       recv(fd, &question, sizeof question, 0) == sizeof question;
        opened += answers == ASKED;
        close(fd);
    }
    printf("{\"opened\":%d}\n", opened);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 4 && strcmp(arguments[1], "echo") == 0)
        run_echo(arguments + 2);
    if (count == 6 && strcmp(arguments[1], "ask") == 0)
        return run_asker(arguments + 2);
    if (count == 5 && strcmp(arguments[1], "open") == 0)
        return run_opener(arguments + 2);
    fputs("usage: round-trip echo IP PORT | round-trip ask IP PORT INTERVAL_US SECONDS | "
          "round-trip open IP PORT FLOWS\n",
          stderr);
    return 2;
}
