/*
 * The programs of the fast path: they forward packets of flows that a packet loop has admitted.
 *
 * Theory of operation
 *
 * A packet loop decides the first packets of each flow, and puts a flow that both gates have
 * admitted and that is established into a table (layout.h, src/offload/). These programs forward
 * the packets of such flows in the kernel. They decide nothing new: what is not plainly a further
 * packet of a known flow goes to the loop, as if there were no program.
 *
 * Two programs take turns on each packet that comes in by a device of ours:
 *
 *   1. `decide` is the filter of the packet socket by which the loop reads the device. It looks the
 *      packet up, checks it, notes what it says about its connection, and leaves its verdict in a
 *      scratch of this processor. If the kernel is to forward it, the loop gets no copy.
 *   2. `forward` is at the device's tc ingress hook, which the same packet reaches next on the same
 *      processor. It takes the verdict from the scratch, and sends the packet out by the other
 *      interface. Without a verdict it does nothing, and the guard behind it (native/guard.c) drops
 *      the packet, of which the loop has a copy.
 *
 * The decision is made once, where the copy is made, so that no packet is forwarded twice. If one
 * program is missing, packets are lost or go by the loop; none passes unjudged.
 *
 * Fail closed. Flows are of a policy's generation: after a change of rules none matches until the
 * loop has judged it anew. A loop that stopped moves its deadline no further, and its flows pass no
 * longer. A program whose process is gone has the last table, and past the deadline passes nothing.
 *
 * What is checked a packet: the interface it came in by, both MAC addresses, that the IP header has
 * no options, is no fragment and fits the frame, that TCP has ACK and neither SYN, FIN nor RST and
 * lies in the window (conditions I to IV of src/conntrack/tcp.ts) if a gate knows one, that the
 * flow is not past its time-out, and that it fits the other device.
 * test/offload/plain-programs.ts is their slow twin.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"
#include "packet.h"

#define MAC_GROUP 0x01
#define PACKET_HOST 0 /* linux/if_packet.h */
#define ACK_WINDOW_MIN 66000
/* As src/engine/offload.ts. */
#define TCP_SEGMENTS_MAX 1024
#define UDP_SEGMENTS_MAX 128

struct bucket {
    __u32 slots[OFFLOAD_BUCKET_SLOTS];
};

struct marks {
    __u8 bytes[OFFLOAD_MARK_BYTES];
};

/* What `decide` leaves for `forward`. */
struct verdict {
    __u32 is_set;
    __u32 from;         /* ifindex */
    __u32 length;       /* of the frame */
    __u32 to;           /* ifindex */
    __u8 addresses[12]; /* of the frame: the instance's, the gateway's */
};

/* Sizes are set before they are loaded (loader.c). */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct offload_control);
} control SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, OFFLOAD_PORTS_MAX);
    __type(key, __u32);
    __type(value, struct offload_port);
} ports SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct bucket);
} buckets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct offload_flow);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct marks);
} changed SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct verdict);
} scratch SEC(".maps");

static __always_inline int is_of(const struct offload_flow *flow, const struct packet *p) {
    __u32 other = flow->ports ^ p->ports;
    other |= flow->kind ^ p->kind;
#pragma unroll
    for (int i = 0; i < 4; i++)
        other |= (flow->lower[i] ^ p->lower[i]) | (flow->upper[i] ^ p->upper[i]);
    return other == 0;
}

/*
 * Raises a word to `value`, if that is ahead of it in the sequence space. Two may do so at a time:
 * the loop, and the processor that has this direction's packets. A third one's value can get lost,
 * and the next packet brings a later one. (A loop here would be too much for the kernel's
 * verifier.)
 */
static __always_inline void raise(int *word, __u32 value) {
    int before = *(volatile int *)word;
    if ((int)(value - (__u32)before) <= 0)
        return;
    int found = __sync_val_compare_and_swap(word, before, (int)value);
    if (found != before && (int)(value - (__u32)found) > 0)
        __sync_val_compare_and_swap(word, found, (int)value);
}

/* Conditions I to IV of src/conntrack/tcp.ts. Returns whether the segment fits. */
static __always_inline int take_segment(struct offload_flow *flow, const struct packet *p) {
    struct offload_side *sender = p->source ? &flow->sides[1] : &flow->sides[0];
    struct offload_side *receiver = p->source ? &flow->sides[0] : &flow->sides[1];
    __u32 known_end = sender->end, units = sender->window, scale = sender->scale & 15;
    __u32 end = p->sequence + p->payload_bytes;
    int room = (int)((__u32)sender->max_end - known_end);
    int start = (int)(p->sequence - known_end);
    int reach = (int)(end - known_end);
    int ahead = (int)(p->acknowledgment - (__u32)receiver->end);
    int theirs = (int)(receiver->window << (receiver->scale & 15));
    int ours = (int)(units << scale);
    if (theirs == 0)
        theirs = 1;
    if (ours < ACK_WINDOW_MIN)
        ours = ACK_WINDOW_MIN;
    if (start > room || reach < -theirs || ahead > 0 || ahead < -ours)
        return 0;
    __u32 offered = p->window << scale;
    if (p->window > units)
        sender->window = p->window;
    raise(&sender->end, end);
    raise(&sender->ack, p->acknowledgment);
    raise(&receiver->max_end, p->acknowledgment + (offered == 0 ? 1 : offered));
    return 1;
}

static __always_inline int find_flow(const struct packet *p, __u32 hash,
                                     const struct offload_control *c, struct offload_flow **found,
                                     __u32 *number) {
    __u32 home = hash & c->bucket_mask;
    struct bucket *bucket = bpf_map_lookup_elem(&buckets, &home);
    if (bucket == NULL)
        return 0;
    /* A slot is the number of a flow plus 1, and 8 bits of the hash. */
    __u32 tag = hash & 0xff000000;
#pragma unroll
    for (int i = 0; i < OFFLOAD_BUCKET_SLOTS; i++) {
        __u32 slot = *(volatile __u32 *)&bucket->slots[i];
        if (slot == 0 || ((slot ^ tag) & 0xff000000) != 0)
            continue;
        __u32 at = (slot & 0xffffff) - 1;
        struct offload_flow *flow = bpf_map_lookup_elem(&flows, &at);
        if (flow != NULL && is_of(flow, p)) {
            *found = flow;
            *number = at;
            return 1;
        }
    }
    return 0;
}

static __always_inline __u32 now_ms(const struct offload_control *c) {
    __u64 origin = (__u64)c->origin_ns[1] << 32 | c->origin_ns[0];
    return (__u32)((bpf_ktime_get_ns() - origin) / 1000000);
}

static __always_inline int is_fenced(const struct offload_loop *loop) {
    __u32 from = *(volatile __u32 *)&loop->fenced_from_ms;
    return from != 0 && (int)(from - (__u32)(bpf_ktime_get_boot_ns() / 1000000)) <= 0;
}

/* Marks a flow for the loop's next look. */
static __always_inline void mark(__u32 number) {
    __u32 byte = number / OFFLOAD_MARK_FLOWS, element = byte / OFFLOAD_MARK_BYTES;
    struct marks *found = bpf_map_lookup_elem(&changed, &element);
    if (found == NULL)
        return;
    volatile __u8 *at = &found->bytes[byte % OFFLOAD_MARK_BYTES];
    if (*at == 0)
        *at = 1;
}

/* As many packets as the frame is on a wire; 0 if the loop is to see it. */
static __always_inline __u32 segments_of(struct __sk_buff *skb, const struct packet *p, __u32 mtu) {
    __u32 size = skb->gso_size;
    if (size == 0)
        return p->bytes <= mtu;
    /* gso_segs is 0 in what a guest sends. */
    __u32 segments = (p->bytes - p->header_bytes + size - 1) / size;
    __u32 most = (p->kind & 0xff) == PROTOCOL_TCP ? TCP_SEGMENTS_MAX : UDP_SEGMENTS_MAX;
    return p->header_bytes + size <= mtu && segments <= most ? segments : 0;
}

static __always_inline void count_packets(struct offload_flow *flow, __u32 source, __u32 packets,
                                          __u32 bytes) {
    if (source) {
        __sync_fetch_and_add(&flow->packets[1], packets);
        __sync_fetch_and_add(&flow->bytes[1], bytes);
        /* Or the compiler makes one branch of both, with an index that the verifier refuses. */
        asm volatile("" ::: "memory");
    } else {
        __sync_fetch_and_add(&flow->packets[0], packets);
        __sync_fetch_and_add(&flow->bytes[0], bytes);
    }
}

static __always_inline void write_mac(__u8 *to, __u32 high, __u32 low) {
    to[0] = high >> 8;
    to[1] = high;
    to[2] = low >> 24;
    to[3] = low >> 16;
    to[4] = low >> 8;
    to[5] = low;
}

/* Takes a packet of a flow that is offloaded. Returns whether the kernel is to forward it. */
static __always_inline int take(struct __sk_buff *skb, const struct packet *p,
                                const struct offload_control *c, struct offload_flow *flow,
                                __u32 number, struct verdict *verdict) {
    __u32 flags = *(volatile __u32 *)&flow->flags;
    if (!(flags & (p->source ? OFFLOAD_FROM_UPPER : OFFLOAD_FROM_LOWER)))
        return 0;
    const struct offload_loop *loop = &c->loops[flow->loop & (OFFLOAD_LOOPS_MAX - 1)];
    __u32 now = now_ms(c), seen = flow->seen_ms;
    __u32 watches = flags & OFFLOAD_BY_RULES ? OFFLOAD_WATCHES_ALL | OFFLOAD_WATCHES_BY_RULES
                                             : OFFLOAD_WATCHES_ALL;
    if (flow->generation != *(volatile __u32 *)&loop->generation ||
        (*(volatile __u32 *)&loop->is_watched & watches) != 0 || is_fenced(loop) ||
        (int)(*(volatile __u32 *)&loop->alive_until_ms - now) < 0)
        return 0;
    int idle = (int)(now - seen);
    if (idle > (int)flow->timeout_ms)
        return 0;
    __u32 lower = flow->places >> 16, upper = flow->places & 0xffff;
    __u32 from = p->source ? upper : lower, to = p->source ? lower : upper;
    struct offload_port *in = bpf_map_lookup_elem(&ports, &from);
    struct offload_port *out = bpf_map_lookup_elem(&ports, &to);
    if (in == NULL || out == NULL || in->ifindex != skb->ifindex || out->ifindex == 0)
        return 0;
    /*
     * Only to the other end of a pair. Who sends chooses where a checksum that is left to the
     * device goes (virtio header, of a guest or by PACKET_VNET_HDR), and this program can't see it.
     * A device without checksum offload would write it there, maybe over the ports that were just
     * checked. On the way to the other end nobody writes anything.
     */
    __u32 segments = segments_of(skb, p, out->mtu);
    if (!out->is_pair || segments == 0)
        return 0;
    /* Frames of the instance alone, and none to a group: others teach or ask something. */
    __u32 high = p->addresses[6] << 8 | p->addresses[7];
    __u32 low = (__u32)p->addresses[8] << 24 | p->addresses[9] << 16 | p->addresses[10] << 8 |
                p->addresses[11];
    if (high != in->mac_high || low != in->mac_low || (p->addresses[0] & MAC_GROUP) != 0)
        return 0;
    if ((p->kind & 0xff) == PROTOCOL_TCP && !(flags & OFFLOAD_UNCHECKED) && !take_segment(flow, p))
        return 0;
    /* Another processor may have a later time. */
    if (idle > 0)
        flow->seen_ms = now;
    count_packets(flow, p->source, segments, p->bytes);
    mark(number);
    verdict->from = skb->ifindex;
    verdict->length = skb->len;
    verdict->to = out->ifindex;
    write_mac(verdict->addresses, out->mac_high, out->mac_low);
    write_mac(verdict->addresses + 6, c->gateway_high, c->gateway_low);
    return 1;
}

/* Returns whether the kernel is to forward the packet, as `verdict` says. */
static __always_inline int judge(struct __sk_buff *skb, struct verdict *verdict) {
    struct packet p = {0};
    struct offload_flow *flow = NULL;
    __u32 zero = 0, number = 0;
    const struct offload_control *c = bpf_map_lookup_elem(&control, &zero);
    if (c == NULL || skb->vlan_present)
        return 0;
    return read_packet(skb, &p) && find_flow(&p, hash_tuple(&p, c), c, &flow, &number) &&
           take(skb, &p, c, flow, number, verdict);
}

SEC("socket")
int decide(struct __sk_buff *skb) {
    __u32 zero = 0;
    struct verdict *verdict = bpf_map_lookup_elem(&scratch, &zero);
    if (verdict == NULL)
        return skb->len;
    verdict->is_set = judge(skb, verdict);
    return verdict->is_set ? 0 : skb->len;
}

SEC("tc")
int forward(struct __sk_buff *skb) {
    __u32 zero = 0;
    struct verdict *verdict = bpf_map_lookup_elem(&scratch, &zero);
    if (verdict == NULL || !verdict->is_set)
        return TC_ACT_OK;
    verdict->is_set = 0;
    if (verdict->from != skb->ifindex || verdict->length != skb->len)
        return TC_ACT_OK;
    if (bpf_skb_store_bytes(skb, 0, verdict->addresses, sizeof verdict->addresses, 0) != 0)
        return TC_ACT_SHOT;
    /* The other end's stack takes the packet as it is, and it was addressed to the gateway. */
    if (bpf_skb_change_type(skb, PACKET_HOST) != 0)
        return TC_ACT_SHOT;
    return bpf_redirect_peer(verdict->to, 0);
}

/* What `decide` would say, for tests that hand it a packet (BPF_PROG_TEST_RUN). */
SEC("tc")
int rehearse(struct __sk_buff *skb) {
    struct verdict verdict = {0};
    return judge(skb, &verdict);
}

char _license[] SEC("license") = "Dual MIT/GPL";
