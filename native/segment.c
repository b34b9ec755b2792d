/*
 * Completes checksums and cuts superpackets, for a device that takes plain frames only.
 *
 * Theory of operation
 *
 * A TUN, a TAP and a packet socket take a virtio header, and their kernel completes the checksum
 * and cuts where it has to. A stream (stream.c) has no such header. So the same is done here, with
 * the same results as tcp_gso_segment(), __udp_gso_segment() and skb_checksum_help() of Linux:
 *
 * - Each segment has the headers of the superpacket. Lengths, IPv4's identification and header
 *   checksum, and TCP's sequence number are its own. FIN and PSH are on the last one, CWR on the
 *   first.
 * - A partial checksum holds the sum of the pseudo-header. That of a segment differs from it by the
 *   length alone. So nothing is read of addresses, and a sender that wrote a wrong sum gets wrong
 *   checksums, as from the kernel.
 *
 * src/engine/offload.ts has checked the header against the packet before any gate. What is checked
 * here again is what memory depends on.
 */
#include "segment.h"

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <string.h>

#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define IPV4_BYTES_MAX 60
#define TCP_BYTES 20
#define UDP_BYTES 8
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6
#define TCP_FLAGS 13
#define FIN_AND_PSH 0x09
#define CWR 0x80

/* VIRTIO_NET_HDR_GSO_UDP_L4, Linux 6.2; absent from older headers. */
#define GSO_UDP_L4 5

/* Adds up 16-bit words in the byte order of the host, without folding. */
static uint64_t sum_bytes(const uint8_t *bytes, size_t length, uint64_t sum) {
    uint32_t word;
    uint16_t half = 0;
    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        sum += word;
    }
    if (length >= sizeof half) {
        memcpy(&half, bytes, sizeof half);
        sum += half;
        bytes += sizeof half;
        length -= sizeof half;
    }
    if (length > 0) {
        half = 0;
        memcpy(&half, bytes, 1);
        sum += half;
    }
    return sum;
}

static uint16_t fold(uint64_t sum) {
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint16_t read_16(const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return ntohs(value);
}

static void write_16(uint8_t *at, uint16_t value) {
    value = htons(value);
    memcpy(at, &value, sizeof value);
}

static void write_32(uint8_t *at, uint32_t value) {
    value = htonl(value);
    memcpy(at, &value, sizeof value);
}

/* The field at `at` counts as part of what is summed up. */
static void complete(uint8_t *start, size_t length, uint8_t *at, bool may_be_zero) {
    uint16_t sum = (uint16_t)~fold(sum_bytes(start, length, 0));
    /* 0 would mean "none" in UDP. */
    if (sum == 0 && !may_be_zero)
        sum = 0xffff;
    memcpy(at, &sum, sizeof sum);
}

static bool is_ipv4(const struct cut *cut) {
    return cut->frame[ETH_HLEN] >> 4 == 4;
}

/* Finds the headers of a superpacket. */
static bool plan_segments(struct cut *cut) {
    const struct vnet_header *header = &cut->header;
    unsigned type = header->gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;
    cut->is_tcp = type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6;
    if ((!cut->is_tcp && type != GSO_UDP_L4) || header->flags != VIRTIO_NET_HDR_F_NEEDS_CSUM ||
        header->gso_bytes == 0)
        return false;
    cut->transport = header->csum_start;
    size_t least = ETH_HLEN + (is_ipv4(cut) ? IPV4_BYTES : IPV6_BYTES);
    size_t transport_bytes = cut->is_tcp ? TCP_BYTES : UDP_BYTES;
    if (cut->transport < least || cut->transport + transport_bytes > cut->length)
        return false;
    if (is_ipv4(cut) && cut->transport > ETH_HLEN + IPV4_BYTES_MAX)
        return false;
    if (header->csum_offset != (cut->is_tcp ? TCP_CHECKSUM : UDP_CHECKSUM))
        return false;
    if (cut->is_tcp)
        transport_bytes = (size_t)(cut->frame[cut->transport + 12] >> 4) * 4;
    cut->payload = cut->transport + transport_bytes;
    if (transport_bytes < (cut->is_tcp ? TCP_BYTES : UDP_BYTES) || cut->payload >= cut->length)
        return false;
    size_t payload_bytes = cut->length - cut->payload;
    cut->segments = (payload_bytes + header->gso_bytes - 1) / header->gso_bytes;
    cut->bytes = payload_bytes + cut->segments * (LENGTH_BYTES + cut->payload);
    return cut->segments <= SEGMENTS_MAX;
}

bool plan_cut(const uint8_t *packet, size_t length, struct cut *cut) {
    if (length < VNET_HDR_BYTES)
        return false;
    *cut = (struct cut){.frame = packet + VNET_HDR_BYTES, .length = length - VNET_HDR_BYTES};
    memcpy(&cut->header, packet, sizeof cut->header);
    if (cut->header.gso_type != VIRTIO_NET_HDR_GSO_NONE)
        return cut->length > ETH_HLEN && plan_segments(cut);
    cut->segments = 1;
    cut->bytes = LENGTH_BYTES + cut->length;
    if (!(cut->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return true;
    size_t field = (size_t)cut->header.csum_start + cut->header.csum_offset;
    return field + sizeof(uint16_t) <= cut->length;
}

/* Writes the headers of a segment whose payload begins at `at` and is behind them already. */
static void write_headers(const struct cut *cut, uint8_t *frame, size_t index, size_t at,
                          size_t bytes) {
    uint8_t *ip = frame + ETH_HLEN;
    uint8_t *transport = frame + cut->transport;
    uint8_t *field = transport + cut->header.csum_offset;
    size_t ip_bytes = cut->transport - ETH_HLEN;
    size_t transport_bytes = cut->payload - cut->transport + bytes;
    size_t whole_bytes = cut->length - cut->transport;
    bool is_last = at + bytes == cut->length;
    memcpy(frame, cut->frame, cut->payload);
    if (is_ipv4(cut)) {
        write_16(ip + 2, (uint16_t)(ip_bytes + transport_bytes));
        write_16(ip + 4, (uint16_t)(read_16(ip + 4) + index));
        write_16(ip + 10, 0);
        complete(ip, ip_bytes, ip + 10, true);
    } else {
        write_16(ip + 4, (uint16_t)(ip_bytes - IPV6_BYTES + transport_bytes));
    }
    if (cut->is_tcp) {
        uint32_t sequence;
        memcpy(&sequence, transport + 4, sizeof sequence);
        write_32(transport + 4, ntohl(sequence) + (uint32_t)(at - cut->payload));
        if (!is_last)
            transport[TCP_FLAGS] &= (uint8_t)~FIN_AND_PSH;
        if (index > 0)
            transport[TCP_FLAGS] &= (uint8_t)~CWR;
    } else {
        write_16(transport + 4, (uint16_t)transport_bytes);
    }
    /* In ones' complement, to subtract is to add the complement. */
    uint64_t sum = (uint64_t)read_16(field) + transport_bytes + (uint16_t)~fold(whole_bytes);
    write_16(field, fold(sum));
    complete(transport, transport_bytes, field, cut->is_tcp);
}

void write_cut(const struct cut *cut, uint8_t *to) {
    if (cut->header.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        write_32(to, (uint32_t)cut->length);
        memcpy(to + LENGTH_BYTES, cut->frame, cut->length);
        if (cut->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
            uint8_t *start = to + LENGTH_BYTES + cut->header.csum_start;
            complete(start, cut->length - cut->header.csum_start, start + cut->header.csum_offset,
                     false);
        }
        return;
    }
    size_t at = cut->payload;
    for (size_t index = 0; index < cut->segments; index++) {
        size_t left = cut->length - at;
        size_t bytes = left < cut->header.gso_bytes ? left : cut->header.gso_bytes;
        write_32(to, (uint32_t)(cut->payload + bytes));
        to += LENGTH_BYTES;
        memcpy(to + cut->payload, cut->frame + at, bytes);
        write_headers(cut, to, index, at, bytes);
        to += cut->payload + bytes;
        at += bytes;
    }
}
