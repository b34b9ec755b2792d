/*
 * Chooses the queue of each packet, for a device with several queues.
 *
 * Theory of operation
 *
 * A multi-queue device asks for every packet which of its queues the packet goes to. A packet
 * loop of its own reads each queue and knows only the flows that it has seen. So everything of a
 * flow must come to the same loop: both directions, on any device; the later fragments, which
 * carry no ports; and ICMP errors from routers, which have other addresses and quote the packet
 * that they are about. The kernel's own choice is a hash over the tuple, which brings neither
 * fragments nor errors to their flow.
 *
 * So a program of ours chooses (TUNSETSTEERINGEBPF, Linux 4.16; PACKET_FANOUT_DATA). It uses the
 * two addresses of the packet, in either order. For an ICMP error it uses those of the quoted
 * packet, if that is whole. It leaves out ports because of fragments, as network cards do for UDP.
 * The price: all packets between two hosts go to the same queue.
 *
 * src/dataplane/steering.ts computes the same in TypeScript, for flows that are put into the
 * tables without a packet. A test compares the two on random packets.
 *
 * The hash has no secret. Whoever can choose addresses could find a queue by trying in any case,
 * and a secret would have to outlive the process, since packets wait in the queues over a
 * restart.
 *
 * The program is assembled here, since most machines have no compiler for it. It reads by
 * bpf_skb_load_bytes, which checks bounds, and has no loops. A packet that it can't read goes to
 * queue 0, where decoding refuses it with a reason.
 */
#include "steer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arguments.h"
#include "device.h"
#include "failure.h"
#include "netns.h"

#define PROGRAM_MAX 512
#define JUMPS_MAX 128

#define ETHERNET_BYTES 14
#define ETHERNET_TYPE 12
#define ETHERTYPE_VLAN 0x8100
#define VLAN_TAG_BYTES 4

#define IPV4_BYTES 20
#define IPV4_FRAGMENT 6
#define IPV4_PROTOCOL 9
#define IPV4_SOURCE 12
#define IPV4_FRAGMENT_MASK 0x3fff /* more fragments, and the offset */
#define IPV6_BYTES 40
#define IPV6_NEXT_HEADER 6
#define IPV6_SOURCE 8
#define IPV6_FRAGMENT_MASK 0xfff9
#define IPV6_EXTENSIONS_MAX 5 /* the most that src/wire/ipv6.ts takes */
#define ICMP_ERROR_BYTES 8    /* in front of the quoted packet */

/* Registers that calls leave alone. Each holds the same thing throughout. */
#define CONTEXT BPF_REG_6
#define IP_OFFSET BPF_REG_7
#define NEXT_HEADER BPF_REG_8
#define AT BPF_REG_9

/*
 * Offsets from the frame pointer: the packet's header, the header that an error quotes, and
 * scratch space.
 */
#define HEADER (-48)
#define QUOTED (-96)
#define SCRATCH (-104)

enum label { QUEUE_0, IPV4, IPV6, HASH_4, HASH_6, ICMPV6, FINISH, LABELS };

struct program {
    struct bpf_insn code[PROGRAM_MAX];
    int length;
    struct {
        int at;
        enum label to;
    } jumps[JUMPS_MAX];
    int jump_count;
    int places[LABELS];
};

static void emit(struct program *program, uint8_t code, int to, int from, int offset,
                 int32_t value) {
    struct bpf_insn *insn = &program->code[program->length++];
    insn->code = code;
    insn->dst_reg = (uint8_t)to & 15;
    insn->src_reg = (uint8_t)from & 15;
    insn->off = (int16_t)offset;
    insn->imm = value;
}

static void set(struct program *program, int to, int32_t value) {
    emit(program, BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
}

static void copy(struct program *program, int to, int from) {
    emit(program, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

/* 32-bit arithmetic, as in JavaScript. */
static void compute(struct program *program, int operation, int to, int32_t value) {
    emit(program, (uint8_t)(BPF_ALU | operation | BPF_K), to, 0, 0, value);
}

static void add(struct program *program, int to, int32_t value) {
    emit(program, BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value);
}

static void combine(struct program *program, int operation, int to, int from) {
    emit(program, (uint8_t)(BPF_ALU | operation | BPF_X), to, from, 0, 0);
}

static void read_stack(struct program *program, int size, int to, int offset) {
    emit(program, (uint8_t)(BPF_LDX | size | BPF_MEM), to, BPF_REG_10, offset, 0);
}

static void jump_if(struct program *program, int comparison, int left, int32_t value,
                    enum label to) {
    program->jumps[program->jump_count].at = program->length;
    program->jumps[program->jump_count++].to = to;
    emit(program, (uint8_t)(BPF_JMP | comparison | BPF_K), left, 0, 0, value);
}

static void jump(struct program *program, enum label to) {
    jump_if(program, BPF_JA, 0, 0, to);
}

static void place(struct program *program, enum label label) {
    program->places[label] = program->length;
}

/*
 * Emits bpf_skb_load_bytes: copies `bytes` from base + offset of the packet to the stack. Jumps
 * to `otherwise` if they are not there.
 */
static void load(struct program *program, int base, int offset, int bytes, int to,
                 enum label otherwise) {
    copy(program, BPF_REG_1, CONTEXT);
    copy(program, BPF_REG_2, base);
    add(program, BPF_REG_2, offset);
    copy(program, BPF_REG_3, BPF_REG_10);
    add(program, BPF_REG_3, to);
    set(program, BPF_REG_4, bytes);
    emit(program, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_load_bytes);
    jump_if(program, BPF_JNE, BPF_REG_0, 0, otherwise);
}

/* Continues only if the header at `header` of the stack has that IP version. */
static void expect_version(struct program *program, int header, int version, enum label otherwise) {
    read_stack(program, BPF_B, BPF_REG_0, header);
    compute(program, BPF_RSH, BPF_REG_0, 4);
    jump_if(program, BPF_JNE, BPF_REG_0, version, otherwise);
}

static void begin(struct program *program, int link_bytes) {
    copy(program, CONTEXT, BPF_REG_1);
    set(program, IP_OFFSET, link_bytes);
    if (link_bytes == ETHERNET_BYTES) {
        load(program, IP_OFFSET, ETHERNET_TYPE - ETHERNET_BYTES, 2, SCRATCH, QUEUE_0);
        read_stack(program, BPF_H, BPF_REG_0, SCRATCH);
        emit(program, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_0, 0, 1, htons(ETHERTYPE_VLAN));
        add(program, IP_OFFSET, VLAN_TAG_BYTES);
    }
    load(program, IP_OFFSET, 0, 1, SCRATCH, QUEUE_0);
    read_stack(program, BPF_B, BPF_REG_0, SCRATCH);
    compute(program, BPF_RSH, BPF_REG_0, 4);
    jump_if(program, BPF_JEQ, BPF_REG_0, 4, IPV4);
    jump_if(program, BPF_JEQ, BPF_REG_0, 6, IPV6);
    place(program, QUEUE_0);
    set(program, BPF_REG_0, 0);
    emit(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Mixes one word of both addresses into the hash in R0, as src/dataplane/steering.ts does. */
static void mix(struct program *program, int source, int destination) {
    read_stack(program, BPF_W, BPF_REG_1, source);
    read_stack(program, BPF_W, BPF_REG_2, destination);
    combine(program, BPF_XOR, BPF_REG_1, BPF_REG_2);
    emit(program, BPF_ALU | BPF_END | BPF_TO_BE, BPF_REG_1, 0, 0, 32);
    combine(program, BPF_XOR, BPF_REG_0, BPF_REG_1);
    compute(program, BPF_MUL, BPF_REG_0, PAIR_HASH_FACTOR);
    copy(program, BPF_REG_1, BPF_REG_0);
    compute(program, BPF_RSH, BPF_REG_1, 15);
    combine(program, BPF_XOR, BPF_REG_0, BPF_REG_1);
}

/* Steers by the addresses in the header at `addresses` of the stack. Each has `words` words. */
static void mix_addresses(struct program *program, int addresses, int words) {
    compute(program, BPF_MOV, BPF_REG_0, PAIR_HASH_SEED);
    for (int word = 0; word < words; word++)
        mix(program, addresses + 4 * word, addresses + 4 * (words + word));
    jump(program, FINISH);
}

/*
 * Steers the ICMP error at AT by the addresses of the packet that it quotes, if it quotes a whole
 * header. From the label `by_own` on, steers any packet by its own addresses.
 */
static void steer_error(struct program *program, int version, int header_bytes, int addresses,
                        enum label by_own) {
    int words = version == 4 ? 1 : 4;
    load(program, AT, ICMP_ERROR_BYTES, header_bytes, QUOTED, by_own);
    expect_version(program, QUOTED, version, by_own);
    mix_addresses(program, QUOTED + addresses, words);
    place(program, by_own);
    mix_addresses(program, HEADER + addresses, words);
}

static void steer_ipv4(struct program *program) {
    place(program, IPV4);
    load(program, IP_OFFSET, 0, IPV4_BYTES, HEADER, QUEUE_0);
    read_stack(program, BPF_B, BPF_REG_0, HEADER + IPV4_PROTOCOL);
    jump_if(program, BPF_JNE, BPF_REG_0, IPPROTO_ICMP, HASH_4);
    /* A fragmented ICMP error goes by its own addresses, like its fragments. */
    read_stack(program, BPF_H, BPF_REG_0, HEADER + IPV4_FRAGMENT);
    jump_if(program, BPF_JSET, BPF_REG_0, htons(IPV4_FRAGMENT_MASK), HASH_4);
    read_stack(program, BPF_B, AT, HEADER);
    compute(program, BPF_AND, AT, 15);
    compute(program, BPF_LSH, AT, 2);
    emit(program, BPF_ALU64 | BPF_ADD | BPF_X, AT, IP_OFFSET, 0, 0);
    load(program, AT, 0, 1, SCRATCH, HASH_4);
    read_stack(program, BPF_B, BPF_REG_0, SCRATCH);
    /* The types that decoding treats as errors: unreachable, time exceeded, parameter problem. */
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 3);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 1, 11);
    jump_if(program, BPF_JNE, BPF_REG_0, 12, HASH_4);
    steer_error(program, 4, IPV4_BYTES, IPV4_SOURCE, HASH_4);
}

/* Skips one extension header, if NEXT_HEADER is one. Goes to ICMPV6, HASH_6, or what follows. */
static void walk_extension(struct program *program) {
    jump_if(program, BPF_JEQ, NEXT_HEADER, IPPROTO_ICMPV6, ICMPV6);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, NEXT_HEADER, 0, 3, IPPROTO_HOPOPTS);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, NEXT_HEADER, 0, 2, IPPROTO_ROUTING);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, NEXT_HEADER, 0, 1, IPPROTO_DSTOPTS);
    jump_if(program, BPF_JNE, NEXT_HEADER, IPPROTO_FRAGMENT, HASH_6);
    load(program, AT, 0, 8, SCRATCH, HASH_6);
    /*
     * The length counts units of 8 bytes beyond the first. In a fragment header that field is
     * reserved.
     */
    read_stack(program, BPF_B, BPF_REG_0, SCRATCH + 1);
    emit(program, BPF_JMP | BPF_JNE | BPF_K, NEXT_HEADER, 0, 3, IPPROTO_FRAGMENT);
    read_stack(program, BPF_H, BPF_REG_0, SCRATCH + 2);
    jump_if(program, BPF_JSET, BPF_REG_0, htons(IPV6_FRAGMENT_MASK), HASH_6);
    set(program, BPF_REG_0, 0);
    compute(program, BPF_ADD, BPF_REG_0, 1);
    compute(program, BPF_LSH, BPF_REG_0, 3);
    emit(program, BPF_ALU64 | BPF_ADD | BPF_X, AT, BPF_REG_0, 0, 0);
    read_stack(program, BPF_B, NEXT_HEADER, SCRATCH);
}

static void steer_ipv6(struct program *program) {
    place(program, IPV6);
    load(program, IP_OFFSET, 0, IPV6_BYTES, HEADER, QUEUE_0);
    read_stack(program, BPF_B, NEXT_HEADER, HEADER + IPV6_NEXT_HEADER);
    copy(program, AT, IP_OFFSET);
    add(program, AT, IPV6_BYTES);
    for (int i = 0; i < IPV6_EXTENSIONS_MAX; i++)
        walk_extension(program);
    jump_if(program, BPF_JNE, NEXT_HEADER, IPPROTO_ICMPV6, HASH_6);
    place(program, ICMPV6);
    load(program, AT, 0, 1, SCRATCH, HASH_6);
    read_stack(program, BPF_B, BPF_REG_0, SCRATCH);
    jump_if(program, BPF_JEQ, BPF_REG_0, 0, HASH_6);
    jump_if(program, BPF_JGT, BPF_REG_0, 4, HASH_6);
    steer_error(program, 6, IPV6_BYTES, IPV6_SOURCE, HASH_6);
}

static void finish(struct program *program) {
    place(program, FINISH);
    compute(program, BPF_MUL, BPF_REG_0, PAIR_HASH_LAST_FACTOR);
    copy(program, BPF_REG_1, BPF_REG_0);
    compute(program, BPF_RSH, BPF_REG_1, 16);
    combine(program, BPF_XOR, BPF_REG_0, BPF_REG_1);
    /* The kernel uses as many bits of the result, modulo the queues. */
    compute(program, BPF_AND, BPF_REG_0, 0xffff);
    emit(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    for (int i = 0; i < program->jump_count; i++) {
        int at = program->jumps[i].at;
        program->code[at].off = (int16_t)(program->places[program->jumps[i].to] - at - 1);
    }
}

static int load_program(struct program *program, const char *device, struct failure *failure) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
    attributes.insns = (uint64_t)(uintptr_t)program->code;
    attributes.insn_cnt = (uint32_t)program->length;
    attributes.license = (uint64_t)(uintptr_t) "Dual MIT/GPL";
    int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
    if (fd >= 0)
        return fd;
    int number = errno;
    if (number == EPERM || number == EACCES)
        return fail(failure, number, "bpf BPF_PROG_LOAD", device,
                    "packets of %s cannot be shared out among queues: this needs CAP_BPF and the "
                    "system call bpf(2)",
                    device);
    return fail(failure, number, "bpf BPF_PROG_LOAD", device,
                "packets of %s cannot be shared out among queues: the kernel refuses the program "
                "that does it: %s",
                device, strerror(number));
}

struct steering {
    const struct device_kind *kind;
    int fd;
    int queues;
    char name[IFNAMSIZ];
};

static int steer_here(void *context, struct failure *failure) {
    const struct steering *steering = context;
    struct program program = {.length = 0, .jump_count = 0};
    begin(&program, steering->kind->link_bytes);
    steer_ipv4(&program);
    steer_ipv6(&program);
    finish(&program);
    int fd = load_program(&program, steering->name, failure);
    if (fd < 0)
        return -1;
    int status = steering->kind->steer(steering->fd, steering->name, fd, steering->queues, failure);
    close(fd);
    return status;
}

napi_value steer_queues(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    struct opening opening = {0};
    struct steering steering = {0};
    char storage[PATH_MAX];
    const char *netns;
    if (!read_arguments(env, info, 3, arguments) ||
        !read_descriptor(env, arguments[0], &steering.fd) ||
        !read_device_options(env, arguments[1], &opening, storage, &netns) ||
        !read_integer(env, arguments[2], "queues", 1, QUEUES_MAX, &steering.queues))
        return NULL;
    steering.kind = opening.kind;
    memcpy(steering.name, opening.wanted, IFNAMSIZ);
    struct failure failure;
    if (run_in_netns(netns, steer_here, &steering, &failure) != 0)
        return throw_failure(env, &failure);
    return NULL;
}
