/*
 * The memory that packet loops and the programs of the fast path share: who writes which word, and
 * what it means. src/offload/layout.ts has the same numbers; a test compares the two.
 *
 * All words are in the processor's byte order. An end of a flow is its address and port. Of the two
 * ends of a flow the lower one comes first: by address words compared as int32, then by port, as
 * src/conntrack/flow-hash.ts has them. So both directions of a flow find the same entry, and the
 * end that a packet comes from says which direction it is of.
 */
#ifndef SECGROUPD_OFFLOAD_LAYOUT_H
#define SECGROUPD_OFFLOAD_LAYOUT_H

#define OFFLOAD_LOOPS_MAX 16
#define OFFLOAD_PORTS_MAX 8192
/* A bucket is half a cache line: a flow whose bucket is full is not offloaded. */
#define OFFLOAD_BUCKET_SLOTS 8
/* Flows behind one byte of the marks, and bytes in an element of that map. */
#define OFFLOAD_MARK_FLOWS 8
#define OFFLOAD_MARK_BYTES 64

/* What a side of TCP has said: the words of conntrack/entry.ts. */
struct offload_side {
    int end;
    int max_end;
    int ack;
    /* The largest window that it offered, in units of its scale. */
    unsigned window;
    unsigned scale;
};

/* Packets from that end pass. The loop clears both when it takes the flow back. */
#define OFFLOAD_FROM_LOWER 2u
#define OFFLOAD_FROM_UPPER 4u
/* A gate lets the flow pass by the rules alone, and has no entry of it. */
#define OFFLOAD_BY_RULES 8u
/* Both gates do: no window is known. */
#define OFFLOAD_UNCHECKED 16u

/* Bits of is_watched. */
#define OFFLOAD_WATCHES_ALL 1u
#define OFFLOAD_WATCHES_BY_RULES 2u

struct offload_flow {
    unsigned lower[4]; /* IPv4 has its address in the first word, and zeros */
    unsigned upper[4];
    unsigned ports; /* lower end's << 16 | upper end's */
    unsigned kind;  /* family << 8 | protocol */
    unsigned flags;
    unsigned generation; /* of the policy by which it was admitted */
    unsigned places;     /* port number of the lower end's interface << 16 | upper end's */
    unsigned loop;
    unsigned timeout_ms;
    unsigned seen_ms; /* the programs and the loop write it */
    /* The programs and the loop raise these by compare-and-swap: [0] of the lower end. */
    struct offload_side sides[2];
    /* Since the loop last looked, by the end that sent them. The loop takes them by exchange. */
    unsigned packets[2];
    unsigned bytes[2];
    unsigned hash; /* for the loop */
    unsigned spare;
};

/* Where an interface is. */
struct offload_port {
    unsigned ifindex; /* 0: it takes no part */
    /* 1: its device has another end in another namespace; packets go to no other device. */
    unsigned is_pair;
    unsigned mtu;
    unsigned mac_high; /* of the instance: 16 bits */
    unsigned mac_low;
    unsigned spare[3];
};

struct offload_loop {
    unsigned generation;
    /* The programs pass nothing of this loop later than this. The loop moves it on as long as it
     * turns. */
    unsigned alive_until_ms;
    /* OFFLOAD_WATCHES_…: somebody watches packets, so these go to the loop. */
    unsigned is_watched;
    /*
     * Unless 0, nothing of this loop passes later than this, in ms of CLOCK_BOOTTIME, which goes on
     * while the machine sleeps: interfaces of a shared store may be another host's then.
     */
    unsigned fenced_from_ms;
};

struct offload_control {
    unsigned hash_key[2];
    unsigned bucket_mask;
    /* Low and high word of CLOCK_MONOTONIC in ns when the loops' clock was 0. */
    unsigned origin_ns[2];
    /* MAC address of the gateway that every instance sees: 16 and 32 bits. */
    unsigned gateway_high;
    unsigned gateway_low;
    unsigned spare;
    struct offload_loop loops[OFFLOAD_LOOPS_MAX];
};

#endif
