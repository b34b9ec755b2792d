/**
 * Who is meant by `from` and `to`.
 *
 * In this order: `internet` or `stranger`; `sg:` and a group; the key or id of an interface, or the
 * name or id of a group; an address; the namespace of an interface's device. A name that is both an
 * interface and a group says nothing unless the group is on that interface alone.
 */
import {
  cidrContains,
  formatAddress,
  parseAddress,
  parseCidr,
  type Address,
  type Family,
  type Parsed,
} from '../addr/address.ts';
import type { Config } from '../control/config/config.ts';
import { findEndpoint } from '../control/views/explain-names.ts';
import type { NetworkInterface, PolicyModel, SecurityGroup } from '../policy/model.ts';
import { didYouMean, listWords } from '../source/suggest.ts';
import type { CaseEnd } from './suite.ts';
import { ambiguousGroupText, findGroups, groupLabel } from '../policy/vpcs.ts';

export const ANYONE_WORDS: readonly string[] = ['internet', 'stranger'];

/** What a name stands for; each of `ends` has one address family. */
export interface Target {
  readonly label: string;
  readonly ends: readonly CaseEnd[];
}

/** Blocks for documentation: nobody's addresses. Sources: RFC 5737, RFC 3849, RFC 9637. */
const DOCUMENTATION_BLOCKS = [
  '192.0.2.0/24',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '2001:db8::/32',
  '3fff::/20',
].map((text) => must(parseCidr(text, 'refuse')));
/** One of each of them. */
const STRANGERS = [
  '203.0.113.77',
  '198.51.100.77',
  '192.0.2.77',
  '2001:db8:77::77',
  '3fff:77::77',
].map((text) => must(parseAddress(text)));

export class EndFinder {
  private readonly config: Config;
  private readonly known = new Map<string, Parsed<Target>>();
  private readonly groups: readonly SecurityGroup[];
  private readonly networks: readonly NetworkInterface[];

  constructor(config: Config) {
    this.config = config;
    this.groups = [...config.model.groups.values()];
    this.networks = [...config.model.interfaces.values()];
  }

  find(label: string): Parsed<Target> {
    const known = this.known.get(label) ?? this.look(label);
    this.known.set(label, known);
    return known;
  }

  private look(label: string): Parsed<Target> {
    if (ANYONE_WORDS.includes(label)) return found(label, this.anyone());
    if (label.startsWith('sg:')) {
      const name = label.slice('sg:'.length);
      const group = this.findGroup(name);
      return group === undefined ? this.unknownGroup(name) : this.membersOf(label, group);
    }
    const network = this.networks.find(({ name, id }) => name === label || id === label);
    const group = this.findGroup(label);
    if (network !== undefined && group !== undefined) {
      const members = this.interfacesOn(group);
      if (members.length !== 1 || members[0] !== network) {
        return refuse(
          `'${label}' is an interface, and a group on other interfaces as well`,
          `write sg:${label} for the group, ${network.id} for the interface`,
        );
      }
    }
    if (network !== undefined) return found(label, endsOf(network));
    if (group !== undefined) return this.membersOf(label, group);
    const endpoint = findEndpoint(this.config, label);
    if (!endpoint.ok) return looksLikeAddress(label) ? endpoint : this.unknown(label);
    const { value } = endpoint;
    if (value.kind === 'address') return found(label, [outside(value.address, false)]);
    const owner = this.config.model.interfaces.get(value.interfaceId)!;
    return found(
      label,
      value.address === undefined ? endsOf(owner) : [endOf(owner, value.address)],
    );
  }

  private findGroup(label: string): SecurityGroup | undefined {
    const found = findGroups(this.groups, label);
    return found.length === 1 ? found[0] : undefined;
  }

  private interfacesOn({ id }: SecurityGroup): readonly NetworkInterface[] {
    return this.networks.filter(({ groupIds }) => groupIds.includes(id));
  }

  private membersOf(label: string, group: SecurityGroup): Parsed<Target> {
    const members = this.interfacesOn(group);
    if (members.length > 0) return found(label, members.flatMap(endsOf));
    return refuse(
      `the security group '${group.name}' is on no interface`,
      'name a group that is on one, or put it on one',
    );
  }

  /** Somebody outside whom no rule singles out, in both families. */
  private anyone(): readonly CaseEnd[] {
    const own = this.config.uplink?.addresses.map(({ address }) => address) ?? [];
    // The uplink's own address first, if nobody could mistake it for a real one: live tests can use it.
    const candidates = [...own.filter(isDocumentation), ...STRANGERS];
    const ends: CaseEnd[] = [];
    for (const family of [4, 6] as const) {
      const suitable = candidates.filter((address) => address.family === family);
      const address = suitable.find((one) => !isSingledOut(this.config.model, one)) ?? suitable[0];
      ends.push(outside(address, true));
    }
    return ends;
  }

  private unknownGroup(name: string): Parsed<Target> {
    const several = findGroups(this.groups, name);
    if (several.length > 1) return refuse(ambiguousGroupText(name, several), 'name one VPC');
    const names = this.groups.map(groupLabel);
    return refuse(
      `there is no security group '${name}'${didYouMean(name, names)}`,
      `groups: ${listWords(names)}`,
    );
  }

  private unknown(label: string): Parsed<Target> {
    const several = findGroups(this.groups, label);
    if (several.length > 1) return refuse(ambiguousGroupText(label, several), 'name one VPC');
    const interfaces = this.networks.map(({ name }) => name);
    const groups = this.groups.map(groupLabel);
    const known = [...interfaces, ...groups, ...ANYONE_WORDS];
    return refuse(
      `there is no interface and no group '${label}'${didYouMean(label, known)}`,
      `interfaces: ${listWords(interfaces)}; groups: ${listWords(groups)}; or write an address, or internet`,
    );
  }
}

/** The end of a packet from or to outside. */
export function outside(address: Address, isAnyone: boolean): CaseEnd {
  return {
    endpoint: { kind: 'address', address },
    address,
    interfaceId: undefined,
    name: formatAddress(address),
    isAnyone,
  };
}

/** The primary address of each family. */
function endsOf(network: NetworkInterface): readonly CaseEnd[] {
  const primary = (family: Family): Address | undefined =>
    network.addresses.find((address) => address.family === family);
  return [primary(4), primary(6)].flatMap((address) =>
    address === undefined ? [] : [endOf(network, address)],
  );
}

function endOf({ id, name }: NetworkInterface, address: Address): CaseEnd {
  return {
    endpoint: { kind: 'interface', interfaceId: id, address },
    address,
    interfaceId: id,
    name,
    isAnyone: false,
  };
}

function isDocumentation(address: Address): boolean {
  return DOCUMENTATION_BLOCKS.some((block) => cidrContains(block, address));
}

/** Whether a rule or a prefix list has a block around the address that is not everything. */
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

function looksLikeAddress(text: string): boolean {
  return /[:/]/.test(text) || /^[\d.]+$/.test(text);
}

function found(label: string, ends: readonly CaseEnd[]): Parsed<Target> {
  return { ok: true, value: { label, ends } };
}

function refuse(message: string, hint: string): { ok: false; message: string; hint: string } {
  return { ok: false, message, hint };
}

function must<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}
