/** Interfaces that somebody else made: what has become of one, and how the host gets it back. */
import type { Device, DeviceSpec } from './device.ts';
import { whyNotOne } from './find-link.ts';
import { fitsMatch, matchLabel, type Link, type LinkMatch } from './link-match.ts';
import type { Native } from './native.ts';
import { portKind } from './port-kind.ts';

/**
 * Gives attached interfaces that are known by their name back to the host.
 * @param onError told of each that could not be
 */
export function unguardDevices(
  native: Native,
  specs: readonly DeviceSpec[],
  onError: (spec: DeviceSpec, error: unknown) => void,
): void {
  for (const spec of specs) {
    if (!portKind(spec.kind).isAttached || spec.match !== undefined) continue;
    try {
      native.unguardDevice(spec.netnsPath, spec.name);
    } catch (error) {
      // With its namespace the interface is gone, and the guard with it.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onError(spec, error);
    }
  }
}

/**
 * What has become of an attached interface while it was open.
 * @param links of its namespace, now; absent: it is known by its name
 * @returns why it must be opened anew; undefined: all is as it was
 * @throws NativeError if it can't be looked at
 */
export function changeOfAttached(
  native: Pick<Native, 'lookAtDevice'>,
  { spec, name, ifindex, mtu }: Device,
  links: readonly Link[] = [],
): string | undefined {
  const why = spec.match && changeOfMatched(spec.match, { name, ifindex }, links);
  if (why !== undefined) return why;
  const now = native.lookAtDevice(spec.netnsPath, name);
  if (now.ifindex === 0) return 'it was deleted or renamed';
  if (now.ifindex !== ifindex) return 'another interface has its name now';
  if (!now.isUp) return `it is down: ip link set ${name} up`;
  if (!now.isGuarded)
    return `the table of nftables that kept the host from it was removed; keep tables named secgroupd_… when the ruleset is flushed`;
  return now.mtu === mtu ? undefined : `its MTU is ${now.mtu} now`;
}

function changeOfMatched(
  match: LinkMatch,
  { name, ifindex }: Pick<Device, 'name' | 'ifindex'>,
  links: readonly Link[],
): string | undefined {
  const link = links.find((one) => one.ifindex === ifindex);
  if (link === undefined) return `${name} was deleted`;
  if (!fitsMatch(match, link))
    return `${name} is not '${matchLabel(match)}' any more: its name is ${link.name}, its alias '${link.alias}', its MAC address ${link.mac}`;
  const why = whyNotOne(
    match,
    links.filter((one) => fitsMatch(match, one)),
  );
  return why ?? (link.name === name ? undefined : `${name} is called ${link.name} now`);
}
