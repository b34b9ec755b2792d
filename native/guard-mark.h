/* The mark (SO_MARK, skb->mark) of packets that may be sent by a guarded interface. */
#ifndef SECGROUPD_GUARD_MARK_H
#define SECGROUPD_GUARD_MARK_H

#define GUARD_MARK 0x5ec6a77a

#endif
