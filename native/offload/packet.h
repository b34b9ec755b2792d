/*
 * Reads packets for the programs of the fast path: a frame to numbers and their hash, or the word
 * that it is not plain. Plain is TCP or UDP, whole, behind an IP header without options, with
 * nothing behind the packet, and of TCP with ACK and neither SYN, FIN nor RST.
 *
 * Only what every such packet has is read, by bpf_skb_load_bytes, which checks bounds. The
 * functions are for one program each, so the compiler writes them into it.
 */
#ifndef SECGROUPD_OFFLOAD_PACKET_H
#define SECGROUPD_OFFLOAD_PACKET_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

#define ETHERNET_BYTES 14
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define TCP_BYTES 20
#define UDP_BYTES 8
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
/* Version 4, and a header without options. */
#define PLAIN_IPV4 0x45
/* More fragments, and the offset. */
#define FRAGMENT_MASK 0x3fff

/* What is read of a packet. Ends are in the order of the entry. */
struct packet {
    __u32 lower[4];
    __u32 upper[4];
    __u32 ports;
    __u32 kind;
    __u32 source; /* 0: the lower end sent it */
    __u32 bytes;  /* of the IP packet */
    __u32 header_bytes;
    /* TCP */
    __u32 sequence;
    __u32 acknowledgment;
    __u32 window;
    __u32 payload_bytes;
    __u8 addresses[12];
};

struct hash {
    __u32 v0, v1, v2, v3;
};

static __always_inline __u32 rotate(__u32 word, int bits) {
    return word << bits | word >> (32 - bits);
}

static __always_inline void take_word(struct hash *h, __u32 word) {
    h->v3 ^= word;
    h->v0 += h->v1;
    h->v1 = rotate(h->v1, 5) ^ h->v0;
    h->v0 = rotate(h->v0, 16);
    h->v2 += h->v3;
    h->v3 = rotate(h->v3, 8) ^ h->v2;
    h->v0 += h->v3;
    h->v3 = rotate(h->v3, 7) ^ h->v0;
    h->v2 += h->v1;
    h->v1 = rotate(h->v1, 13) ^ h->v2;
    h->v2 = rotate(h->v2, 16);
    h->v0 ^= word;
}

/* The hash of src/conntrack/flow-hash.ts. */
static __always_inline __u32 hash_tuple(const struct packet *p, const struct offload_control *c) {
    struct hash h = {
        .v0 = c->hash_key[0],
        .v1 = c->hash_key[1],
        .v2 = 0x6c796765 ^ c->hash_key[0],
        .v3 = 0x74656462 ^ c->hash_key[1],
    };
    __u32 bytes = 13;
    take_word(&h, p->lower[0]);
    if (p->kind >> 8 == 6) {
        bytes = 37;
        take_word(&h, p->lower[1]);
        take_word(&h, p->lower[2]);
        take_word(&h, p->lower[3]);
    }
    take_word(&h, p->upper[0]);
    if (p->kind >> 8 == 6) {
        take_word(&h, p->upper[1]);
        take_word(&h, p->upper[2]);
        take_word(&h, p->upper[3]);
    }
    take_word(&h, p->ports);
    take_word(&h, bytes << 24 | (p->kind & 0xff));
    h.v2 ^= 0xff;
    take_word(&h, 0);
    take_word(&h, 0);
    take_word(&h, 0);
    return h.v1 ^ h.v3;
}

/* Reads TCP at `at`, in front of `bytes`. Returns whether it is plain. */
static __always_inline int read_tcp(struct __sk_buff *skb, struct packet *p, __u32 at,
                                    __u32 bytes) {
    __u32 words[5] = {0};
    if (bytes < TCP_BYTES || bpf_skb_load_bytes(skb, at, words, sizeof words) != 0)
        return 0;
    __u32 bits = bpf_ntohl(words[3]);
    __u32 header = bits >> 28 << 2;
    if (header < TCP_BYTES || header > bytes)
        return 0;
    p->ports = bpf_ntohl(words[0]);
    p->sequence = bpf_ntohl(words[1]);
    p->acknowledgment = bpf_ntohl(words[2]);
    p->window = bits & 0xffff;
    p->payload_bytes = bytes - header;
    p->header_bytes += header;
    return (bits >> 16 & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK;
}

static __always_inline int read_udp(struct __sk_buff *skb, struct packet *p, __u32 at,
                                    __u32 bytes) {
    __u32 words[2] = {0};
    if (bytes < UDP_BYTES || bpf_skb_load_bytes(skb, at, words, sizeof words) != 0)
        return 0;
    __u32 length = bpf_ntohl(words[1]) >> 16;
    p->ports = bpf_ntohl(words[0]);
    p->header_bytes += UDP_BYTES;
    return length >= UDP_BYTES && length <= bytes;
}

/* Reads an IPv4 packet, its source into `lower`. Returns whether it is plain. */
static __always_inline int read_ipv4(struct __sk_buff *skb, struct packet *p) {
    __u32 words[5] = {0};
    if (bpf_skb_load_bytes(skb, ETHERNET_BYTES, words, sizeof words) != 0)
        return 0;
    __u32 first = bpf_ntohl(words[0]);
    p->bytes = first & 0xffff;
    p->kind = 4 << 8 | (bpf_ntohl(words[2]) >> 16 & 0xff);
    p->header_bytes = IPV4_BYTES;
    p->lower[0] = bpf_ntohl(words[3]);
    p->upper[0] = bpf_ntohl(words[4]);
    return first >> 24 == PLAIN_IPV4 && (bpf_ntohl(words[1]) & FRAGMENT_MASK) == 0;
}

static __always_inline int read_ipv6(struct __sk_buff *skb, struct packet *p) {
    __u32 words[10] = {0};
    if (bpf_skb_load_bytes(skb, ETHERNET_BYTES, words, sizeof words) != 0)
        return 0;
    __u32 second = bpf_ntohl(words[1]);
    p->bytes = IPV6_BYTES + (second >> 16);
    p->kind = 6 << 8 | (second >> 8 & 0xff);
    p->header_bytes = IPV6_BYTES;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        p->lower[i] = bpf_ntohl(words[2 + i]);
        p->upper[i] = bpf_ntohl(words[6 + i]);
    }
    return bpf_ntohl(words[0]) >> 28 == 6;
}

/* Whether `lower` is the lower end. IPv4 has zeros in its other words, so they decide nothing. */
static __always_inline int is_in_order(const struct packet *p) {
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (p->lower[i] != p->upper[i])
            return (__s32)p->lower[i] < (__s32)p->upper[i];
    return p->ports >> 16 <= (p->ports & 0xffff);
}

/* Reads a frame. Returns whether it is a plain TCP or UDP packet. */
static __always_inline int read_packet(struct __sk_buff *skb, struct packet *p) {
    int is_plain = 0;
    if (bpf_skb_load_bytes(skb, 0, p->addresses, sizeof p->addresses) != 0)
        return 0;
    if (skb->protocol == bpf_htons(ETHERTYPE_IPV4))
        is_plain = read_ipv4(skb, p);
    else if (skb->protocol == bpf_htons(ETHERTYPE_IPV6))
        is_plain = read_ipv6(skb, p);
    /* Where there is padding, the frame is longer than the packet. */
    if (!is_plain || p->bytes < p->header_bytes || p->bytes + ETHERNET_BYTES != skb->len)
        return 0;
    __u32 at = ETHERNET_BYTES + p->header_bytes, bytes = p->bytes - p->header_bytes;
    __u32 protocol = p->kind & 0xff;
    if (protocol == PROTOCOL_TCP)
        is_plain = read_tcp(skb, p, at, bytes);
    else
        is_plain = protocol == PROTOCOL_UDP && read_udp(skb, p, at, bytes);
    if (!is_plain || is_in_order(p))
        return is_plain;
    p->source = 1;
    p->ports = rotate(p->ports, 16);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        __u32 word = p->lower[i];
        p->lower[i] = p->upper[i];
        p->upper[i] = word;
    }
    return 1;
}

#endif
