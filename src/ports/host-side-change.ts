/** Interfaces of a host that the packet loops have packet sockets on: what has become of one. */
import type { Device } from './device.ts';
import { whyNotOne } from './find-link.ts';
import { fitsMatch, matchLabel, type Link } from './link-match.ts';
import { hostSide, whyGone } from './host-side.ts';
import type { Native } from './native.ts';

/**
 * What has become of the host's side of a device (hostSide) while it was open. It may have another name by now: that is
 * no change, as long as it is the one that is meant.
 * @param links of its namespace, now
 * @returns why it must be opened anew; undefined: all is as it was
 * @throws NativeError if it can't be looked at
 */
export function changeOfHostSide(
  native: Pick<Native, 'lookAtDevice'>,
  { spec, name: nameBefore, ifindex, mtu: mtuBefore }: Device,
  links: readonly Link[],
): string | undefined {
  const { match, netnsPath } = hostSide(spec)!;
  const mtu = spec.hostEnd === undefined ? mtuBefore : spec.mtu;
  const link = links.find((one) => one.ifindex === ifindex);
  if (link === undefined) return whyGone(nameBefore);
  const { name } = link;
  if (match !== undefined) {
    if (!fitsMatch(match, link))
      return `${nameBefore} is not '${matchLabel(match)}' any more: its name is ${name}, its alias '${link.alias}', its MAC address ${link.mac}`;
    const why = whyNotOne(
      match,
      links.filter((one) => fitsMatch(match, one)),
    );
    if (why !== undefined) return why;
  }
  const now = native.lookAtDevice(netnsPath, name);
  // It was renamed again since it was listed; that is told too.
  if (now.ifindex !== ifindex) return undefined;
  if (!now.isUp) return `it is down: ip link set ${name} up`;
  if (!now.isGuarded)
    return `the table of nftables that kept the host from it was removed; keep tables named secgroupd_… when the ruleset is flushed`;
  return now.mtu === mtu ? undefined : `its MTU is ${now.mtu} now`;
}
