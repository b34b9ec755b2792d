/*
 * Small datagrams at a steady rate, and a receiver that counts, orders and checks them.
 *
 *   udp-load send IP PORT RATE WARM_UP_SEC SECONDS RUN
 *   udp-load receive IP PORT RUN [first]     until SIGTERM; "first": with the sender's priority
 *
 * A datagram has 18 bytes, so that an Ethernet frame of it has 64, the smallest there is. RUN tells
 * one trial's datagrams from stragglers of another. Those of the warm-up have a run of their own
 * (RUN | WARM_UP) and are not counted. Both ends print a JSON object when they are done, with the
 * moment at which the sender ended, and at which the last one came that the receiver counted, in ms
 * of CLOCK_MONOTONIC.
 *
 * Pacing: bursts of up to BURST datagrams, each at its time by the clock; a sender that comes late
 * catches up by at most CATCH_UP bursts and gives the rest up, since a generator that pays its
 * debts in one burst measures queues. So it may send less than it was asked to, and says what it
 * sent and how long it took.
 */
#include "common.h"

#include <stdbool.h>

#define PAYLOAD_BYTES 18
#define BURST 16
#define CATCH_UP 2
#define BATCH 64
#define SOCKET_BYTES (8 << 20)
#define SEQUENCES_MAX (1 << 25)
#define WARM_UP 0x80000000u

struct __attribute__((packed)) datagram {
    uint32_t run;
    uint64_t sequence;
    uint32_t check;
    uint16_t filler;
};
_Static_assert(sizeof(struct datagram) == PAYLOAD_BYTES, "an Ethernet frame of 64 bytes");

static volatile sig_atomic_t stopped = 0;

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

/* Any bit that changes on the way shows, in the sequence as well as here. */
static uint32_t check_of(uint32_t run, uint64_t sequence) {
    uint64_t x = (sequence + 1) * 0x9e3779b97f4a7c15ULL ^ run;
    return (uint32_t)(x >> 32) ^ (uint32_t)x;
}

struct sender {
    int fd;
    uint32_t run;
    uint64_t next;
    uint64_t refused;
    struct datagram datagrams[BURST];
    struct iovec vectors[BURST];
    struct mmsghdr messages[BURST];
};

static void send_burst(struct sender *sender, int count) {
    for (int i = 0; i < count; i++) {
        uint64_t sequence = sender->next + (uint64_t)i;
        sender->datagrams[i] =
            (struct datagram){sender->run, sequence, check_of(sender->run, sequence), 0x5a5a};
    }
    for (int done = 0; done < count;) {
        int sent = sendmmsg(sender->fd, sender->messages + done, (unsigned)(count - done), 0);
        if (sent > 0) {
            done += sent;
        } else if (errno == ENOBUFS || errno == EAGAIN) {
            /* The device's queue said no: offered and lost, as on a wire. */
            sender->refused++;
            done++;
        } else if (errno != EINTR && errno != ECONNREFUSED) {
            fail("sendmmsg");
        }
    }
    sender->next += (uint64_t)count;
}

/* Sends at `rate` a second for so many seconds. Returns how long that took, in ns. */
static int64_t send_for(struct sender *sender, double rate, double seconds) {
    double wanted = rate * seconds;
    int burst = rate / 2000 < 1 ? 1 : rate / 2000 > BURST ? BURST : (int)(rate / 2000);
    double gap_ns = 1e9 * burst / rate;
    int64_t start = now_ns();
    double due_ns = 0;
    for (double slot = 0; slot * burst < wanted; slot++) {
        int64_t now = now_ns() - start;
        if (now > seconds * 1e9)
            break;
        if (now < due_ns) {
            sleep_until(start + (int64_t)due_ns);
        } else if (now > due_ns + CATCH_UP * gap_ns) {
            due_ns = (double)now;
        }
        send_burst(sender, burst);
        due_ns += gap_ns;
    }
    int64_t took = now_ns() - start;
    return took > seconds * 1e9 ? took : (int64_t)(seconds * 1e9);
}

static int run_sender(char **arguments) {
    struct sockaddr_in to = address_of(arguments[0], arguments[1]);
    double rate = number_of(arguments[2]);
    double warm_up_sec = number_of(arguments[3]);
    double seconds = number_of(arguments[4]);
    uint32_t run = (uint32_t)number_of(arguments[5]);
    static struct sender sender;
    sender.fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (sender.fd < 0 || connect(sender.fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connect");
    want_buffer(sender.fd, SO_SNDBUFFORCE, SO_SNDBUF, SOCKET_BYTES);
    for (int i = 0; i < BURST; i++) {
        sender.vectors[i] = (struct iovec){&sender.datagrams[i], PAYLOAD_BYTES};
        sender.messages[i].msg_hdr =
            (struct msghdr){.msg_iov = &sender.vectors[i], .msg_iovlen = 1};
    }
    want_exact_timers();
    want_priority();
    sender.run = run | WARM_UP;
    if (warm_up_sec > 0)
        send_for(&sender, rate, warm_up_sec);
    sender.run = run;
    sender.next = 0;
    sender.refused = 0;
    int64_t took = send_for(&sender, rate, seconds);
    printf("{\"sent\":%llu,\"refused\":%llu,\"seconds\":%.6f,\"endMs\":%.6f}\n",
           (unsigned long long)sender.next, (unsigned long long)sender.refused, took / 1e9,
           (double)now_ns() / 1e6);
    return 0;
}

struct tally {
    uint64_t unique, duplicates, reordered, corrupt, highest;
    int64_t last_ns;
    uint8_t *seen;
};

static void take(struct tally *tally, const struct datagram *datagram, unsigned bytes,
                 uint32_t run) {
    if (bytes != PAYLOAD_BYTES) {
        tally->corrupt++;
        return;
    }
    if (datagram->run != run)
        return;
    uint64_t sequence = datagram->sequence;
    if (sequence >= SEQUENCES_MAX || datagram->check != check_of(run, sequence) ||
        datagram->filler != 0x5a5a) {
        tally->corrupt++;
        return;
    }
    uint8_t bit = (uint8_t)(1 << (sequence & 7));
    if (tally->seen[sequence >> 3] & bit) {
        tally->duplicates++;
        return;
    }
    tally->seen[sequence >> 3] |= bit;
    tally->unique++;
    if (sequence + 1 < tally->highest) {
        tally->reordered++;
    } else {
        tally->highest = sequence + 1;
    }
}

/* Datagrams that the receiver answers. */
#define ANSWERS 2

static int run_receiver(char **arguments, bool is_first) {
    struct sockaddr_in at = address_of(arguments[0], arguments[1]);
    uint32_t run = (uint32_t)number_of(arguments[2]);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        fail("bind");
    want_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, SOCKET_BYTES);
    /* No SA_RESTART: the signal has to end the wait. A time-out covers one that comes between two
     * waits. */
    struct sigaction action = {.sa_handler = stop};
    struct timeval patience = {0, 100000};
    if (sigaction(SIGTERM, &action, NULL) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        fail("sigaction");
    if (is_first)
        want_priority();
    static struct datagram datagrams[BATCH];
    static struct iovec vectors[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){&datagrams[i], sizeof datagrams[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    struct tally tally = {.seen = calloc(SEQUENCES_MAX / 8, 1)};
    if (tally.seen == NULL)
        fail("calloc");
    say_ready();
    /* The first datagrams are answered, so that the flow is one with two directions. */
    struct sockaddr_in sender;
    socklen_t sender_bytes = sizeof sender;
    for (int answered = 0; answered < ANSWERS && !stopped;) {
        struct datagram datagram;
        ssize_t bytes =
            recvfrom(fd, &datagram, sizeof datagram, 0, (struct sockaddr *)&sender, &sender_bytes);
        if (bytes < 0)
            continue;
        take(&tally, &datagram, (unsigned)bytes, run);
        answered += sendto(fd, "", 1, 0, (struct sockaddr *)&sender, sender_bytes) == 1;
    }
    while (!stopped) {
        int got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            fail("recvmmsg");
        uint64_t before = tally.unique;
        for (int i = 0; i < got; i++) {
            unsigned bytes = messages[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : messages[i].msg_len;
            take(&tally, &datagrams[i], bytes, run);
        }
        if (tally.unique != before)
            tally.last_ns = now_ns();
    }
    printf("{\"unique\":%llu,\"duplicates\":%llu,\"reordered\":%llu,\"corrupt\":%llu,"
           "\"lastMs\":%.6f}\n",
           (unsigned long long)tally.unique, (unsigned long long)tally.duplicates,
           (unsigned long long)tally.reordered, (unsigned long long)tally.corrupt,
           (double)tally.last_ns / 1e6);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 8 && strcmp(arguments[1], "send") == 0)
        return run_sender(arguments + 2);
    bool is_first = count == 6 && strcmp(arguments[5], "first") == 0;
    if ((count == 5 || is_first) && strcmp(arguments[1], "receive") == 0)
        return run_receiver(arguments + 2, is_first);
    fputs("usage: udp-load send IP PORT RATE WARM_UP_SEC SECONDS RUN | udp-load receive IP PORT "
          "RUN [first]\n",
          stderr);
    return 2;
}
