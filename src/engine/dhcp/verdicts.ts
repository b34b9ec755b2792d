/** Has what the answering of DHCP, DHCPv6 and router solicitations has in common. */
import { REASON_COUNT } from '../reasons.ts';

/** The packet is no question of this kind: it goes on like any. */
export const NOT_FOR_US = 0;
/** The question was taken, and answered if it wants an answer. No drop reason has this number, nor batch.ts. */
export const TAKEN = -(REASON_COUNT + 2);

/** How long an address is given for, as in AWS. It is the interface's for good; a client asks again after the half. */
export const LEASE_SEC = 3600;
