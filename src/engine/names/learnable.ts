/**
 * Says which addresses no name may stand for, whatever an answer says.
 *
 * Whoever owns a name chooses its addresses. A rule for the name would let them point an instance at what only hosts
 * inside reach (DNS rebinding). So a name never has the address of an interface here, of the platform, or of no host
 * outside, and one of a private network only where the configuration accepts that.
 */
import type { CompiledPolicy } from '../../policy/compiled.ts';
import { lookUpHost, NO_HOST } from '../../policy/match.ts';
import { isInPlatformBlock } from '../../policy/special-addresses.ts';
import { CLASS_E, isLinkLocal6, LOOPBACK_4, MULTICAST_4 } from '../scope.ts';

/** 64:ff9b::/96 (RFC 6052), behind which a translator sends to the IPv4 address in the last word. */
const NAT64_0 = 0x0064ff9b;
/** 2002::/16 (RFC 3056): the IPv4 address follows. */
const SIX_TO_FOUR = 0x2002;
/** fec0::/10, the former site-local addresses (RFC 3879). */
const SITE_LOCAL_6 = 0x3fb;

export function isLearnable(
  policy: CompiledPolicy,
  acceptsPrivate: boolean,
  family: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
): boolean {
  if (isInPlatformBlock(family, a0)) return false;
  const { hosts4, hosts6, special4, special6 } = policy;
  if (lookUpHost(hosts4, hosts6, family, a0, a1, a2, a3) !== NO_HOST) return false;
  if (lookUpHost(special4, special6, family, a0, a1, a2, a3) !== 0) return false;
  return family === 4
    ? isOutside4(policy, acceptsPrivate, a0)
    : isOutside6(policy, acceptsPrivate, a0, a1, a2, a3);
}

function isOutside4(policy: CompiledPolicy, acceptsPrivate: boolean, address: number): boolean {
  const first = address >>> 24;
  if (first === 0 || first === LOOPBACK_4 || address === -1) return false;
  if (first >= MULTICAST_4 && (first < CLASS_E || !policy.allowsClassE)) return false;
  return acceptsPrivate || !isPrivate4(address);
}

/** RFC 1918, and the shared addresses of RFC 6598. */
function isPrivate4(address: number): boolean {
  return (
    address >>> 24 === 10 ||
    address >>> 20 === 0xac1 ||
    address >>> 16 === 0xc0a8 ||
    address >>> 22 === 0x191
  );
}

function isOutside6(
  policy: CompiledPolicy,
  acceptsPrivate: boolean,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
): boolean {
  // These carry an IPv4 address: it must be one that a name may have.
  if (a0 === NAT64_0 && a1 === 0 && a2 === 0) return isLearnable(policy, acceptsPrivate, 4, a3, 0, 0, 0); // prettier-ignore
  if (a0 >>> 16 === SIX_TO_FOUR)
    return isLearnable(policy, acceptsPrivate, 4, (a0 << 16) | (a1 >>> 16), 0, 0, 0);
  const first = a0 >>> 24;
  // Of ::/8 nothing is a host's: unspecified, loopback, mapped and compatible addresses are there.
  if (first === 0 || first === 0xff || isLinkLocal6(a0) || a0 >>> 22 === SITE_LOCAL_6) return false;
  return acceptsPrivate || (first & 0xfe) !== 0xfc;
}
