/**
 * Resolves the names in `from` and `to`.
 *
 * It tries in this order: `internet` or `stranger`; `sg:` and a group; the key or id of an interface, or the name or
 * id of a group; an address; the namespace of an interface's device. A name that is both an interface and a group is
 * ambiguous, unless the group is on that interface alone.
 */
import { formatAddress, refuse, type Address, type Family, type Parsed } from '../addr/address.ts';
import type { Config } from '../config/config.ts';
import { findEndpoint } from '../explain/question-names.ts';
import { membersOfGroup, refuseIdleGroup, unknownGroup } from '../explain/question-ends.ts';
import { ANYONE_WORDS, anyoneOutside } from '../explain/strangers.ts';
import type { NetworkInterface, SecurityGroup } from '../policy/model.ts';
import { didYouMean, listWords } from '../source/suggest.ts';
import type { CaseEnd } from './suite.ts';
import { findGroups, groupLabel } from '../policy/vpcs.ts';

/** What a name stands for. Each of `ends` has one address family. */
export interface Target {
  readonly label: string;
  readonly ends: readonly CaseEnd[];
}

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
    if (ANYONE_WORDS.includes(label)) {
      const ends = anyoneOutside(this.config).map((address) => outside(address, true));
      return found(label, ends);
    }
    if (label.startsWith('sg:')) {
      const name = label.slice('sg:'.length);
      const group = this.findGroup(name);
      return group === undefined
        ? unknownGroup(name, this.groups, findGroups(this.groups, name))
        : this.membersOf(label, group);
    }
    const network = this.networks.find(({ name, id }) => name === label || id === label);
    const group = this.findGroup(label);
    if (network !== undefined && group !== undefined) {
      const members = membersOfGroup(group.id, this.networks);
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

  private membersOf(label: string, group: SecurityGroup): Parsed<Target> {
    const members = membersOfGroup(group.id, this.networks);
    if (members.length > 0) return found(label, members.flatMap(endsOf));
    return refuseIdleGroup(group);
  }

  private unknown(label: string): Parsed<Target> {
    const several = findGroups(this.groups, label);
    if (several.length > 1) return unknownGroup(label, this.groups, several);
    const interfaces = this.networks.map(({ name }) => name);
    const groups = this.groups.map(groupLabel);
    const known = [...interfaces, ...groups, ...ANYONE_WORDS];
    return refuse(
      `there is no interface and no group '${label}'${didYouMean(label, known)}`,
      `interfaces: ${listWords(interfaces)}; groups: ${listWords(groups)}; or write an address, or internet`,
    );
  }
}

/** Makes the end of a packet from or to outside. */
export function outside(address: Address, isAnyone: boolean): CaseEnd {
  return {
    endpoint: { kind: 'address', address },
    address,
    interfaceId: undefined,
    name: formatAddress(address),
    isAnyone,
  };
}

/** An end for the primary address of each family. */
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

function looksLikeAddress(text: string): boolean {
  return /[:/]/.test(text) || /^[\d.]+$/.test(text);
}

function found(label: string, ends: readonly CaseEnd[]): Parsed<Target> {
  return { ok: true, value: { label, ends } };
}
