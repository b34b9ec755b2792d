/** This file chooses addresses for "anybody outside": `internet` in a question or an expectation. */
import { cidrContains, parseAddress, type Address, type Parsed } from '../addr/address.ts';
import { isDocumentation } from '../policy/documentation.ts';
import type { PolicyModel } from '../policy/model.ts';
import type { Config } from '../config/config.ts';

export const ANYONE_WORDS: readonly string[] = ['internet', 'stranger'];

/** One address of each of these blocks. */
const STRANGERS = [
  '203.0.113.77',
  '198.51.100.77',
  '192.0.2.77',
  '2001:db8:77::77',
  '3fff:77::77',
].map((text) => must(parseAddress(text)));

/** Finds an address of each family, IPv4 first, that no rule singles out. */
export function anyoneOutside({
  model,
  uplink,
}: Pick<Config, 'model' | 'uplink'>): readonly Address[] {
  const own = uplink?.addresses.map(({ address }) => address) ?? [];
  // Live tests can use the uplink's own address. So it comes first, if it is a documentation address.
  const candidates = [...own.filter(isDocumentation), ...STRANGERS];
  return ([4, 6] as const).map((family) => {
    const suitable = candidates.filter((address) => address.family === family);
    return suitable.find((one) => !isSingledOut(model, one)) ?? suitable[0];
  });
}

/** Checks whether a rule or a prefix list has a block with the address, other than the whole family. */
function isSingledOut({ groups, prefixLists }: PolicyModel, address: Address): boolean {
  for (const { ingress, egress } of groups.values()) {
    for (const { peer } of [...ingress, ...egress]) {
      if (peer.kind === 'cidr' && peer.cidr.length > 0 && cidrContains(peer.cidr, address))
        return true;
    }
  }
  for (const { entries } of prefixLists.values())
    if (entries.some(({ cidr }) => cidr.length > 0 && cidrContains(cidr, address))) return true;
  return false;
}

function must<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}
