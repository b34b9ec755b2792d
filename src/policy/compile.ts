/** Rules, peers and interfaces to the arrays of compiled.ts. Control plane: may allocate, runs when policy changes. */
import { addressBits, maskWords, type Address, type Cidr, type Family } from '../addr/address.ts';
import type { CompiledPolicy, PrefixTable } from './compiled.ts';
import { compileRules, type RuleCache } from './gate-tables.ts';
import type { GroupId, InterfaceId, PolicyModel } from './model.ts';
import type { NumberLists, PeerNumbers } from './peer-numbers.ts';
import type { RuleNumbers } from './rule-numbers.ts';
import { shareWords, WordTable } from './word-table.ts';

export interface CompileInput {
  readonly model: PolicyModel;
  /** Port of each interface; ports start at 1 (0 is the uplink). */
  readonly ports: ReadonlyMap<InterfaceId, number>;
  readonly ruleNumbers: RuleNumbers;
  /** Spares compiling the rules again where they did not change. */
  readonly ruleCache?: RuleCache;
  readonly platformAddresses: readonly Address[];
  readonly generation: number;
}

/** @throws RangeError if there are more rules than a flow entry can name (see RuleNumbers) */
export function compilePolicy(input: CompileInput): CompiledPolicy {
  const { model, ruleNumbers, ruleCache } = input;
  ruleNumbers.take(model.groups.values());
  const { profiles, groupSets } = numberProfiles(input);
  const {
    gates,
    peers,
    lists: ruleLists,
  } = ruleCache === undefined
    ? compileRules(model, groupSets, ruleNumbers)
    : ruleCache.rulesOf(model, groupSets, ruleNumbers);
  const lists = ruleLists.copy();
  const sourceDestCheck = new Uint8Array(profiles.length);
  const alwaysTracked = new Uint8Array(profiles.length);
  for (const [id, port] of input.ports) {
    const network = model.interfaces.get(id)!;
    sourceDestCheck[port] = network.sourceDestCheck ? 1 : 0;
    alwaysTracked[port] = network.alwaysTracked === true ? 1 : 0;
  }
  const memberLists = groupSets.map((groupIds) => memberList(groupIds, peers, lists));
  const prefixes4 = compilePrefixes(4, input, { peers, lists, profiles, memberLists });
  const prefixes6 = compilePrefixes(6, input, { peers, lists, profiles, memberLists });
  return {
    generation: input.generation,
    rules: gates.rules,
    levels: gates.levels,
    open: gates.open,
    prefixes4,
    prefixes6,
    lists: shareWords(lists.words),
    revocation: ruleNumbers.revocation(),
    profiles,
    sourceDestCheck,
    alwaysTracked,
    hosts4: compileHosts(4, input),
    hosts6: compileHosts(6, input),
    platform4: compileAddresses(4, input.platformAddresses),
    platform6: compileAddresses(6, input.platformAddresses),
  };
}

/** The profile of each port, and the groups of each profile. */
function numberProfiles(input: CompileInput): { profiles: Int32Array; groupSets: GroupId[][] } {
  const known = new Map<string, number>();
  const groupSets: GroupId[][] = [];
  let ports = 1;
  for (const port of input.ports.values()) ports = Math.max(ports, port + 1);
  const profiles = new Int32Array(ports).fill(-1);
  for (const [id, port] of input.ports) {
    const groupIds = [...new Set(input.model.interfaces.get(id)!.groupIds)].sort();
    const key = groupIds.join();
    let profile = known.get(key);
    if (profile === undefined) {
      profile = groupSets.push(groupIds) - 1;
      known.set(key, profile);
    }
    profiles[port] = profile;
  }
  return { profiles, groupSets };
}

/** The list of peers that an interface with these groups is a member of; 0 if no rule names any of them. */
function memberList(groupIds: readonly GroupId[], peers: PeerNumbers, lists: NumberLists): number {
  const numbers = groupIds
    .map((groupId) => peers.groups.get(groupId))
    .filter((peer) => peer !== undefined);
  return numbers.length === 0 ? 0 : lists.add(numbers.sort((a, b) => a - b));
}

interface Parts {
  readonly peers: PeerNumbers;
  readonly lists: NumberLists;
  readonly profiles: Int32Array;
  /** By profile. */
  readonly memberLists: readonly number[];
}

function compilePrefixes(
  family: Family,
  { model, ports }: CompileInput,
  parts: Parts,
): PrefixTable {
  const { peers, lists, profiles, memberLists } = parts;
  const addressWords = family === 4 ? 1 : 4;
  const table = new WordTable(1 + addressWords);
  const key = new Int32Array(1 + addressWords);
  const lengths = new Set<number>();
  const add = (address: Address, length: number, list: number): void => {
    key[0] = length;
    for (let i = 0; i < addressWords; i++) key[1 + i] = address.words[i];
    lengths.add(length);
    const known = table.get(key);
    if (known === 0) table.set(key, list);
    else if (known !== list) table.set(key, lists.union(known, list));
  };
  const addCidr = (cidr: Cidr, peer: number): void => {
    if (cidr.family === family) add(cidr, cidr.length, lists.add([peer]));
  };
  for (const { cidr, peer } of peers.cidrs) addCidr(cidr, peer);
  for (const [id, peer] of peers.prefixLists) {
    for (const entry of model.prefixLists.get(id)!.entries) addCidr(entry.cidr, peer);
  }
  const hostLength = addressBits(family);
  for (const [id, port] of ports) {
    const list = memberLists[profiles[port]];
    if (list === 0) continue;
    for (const address of model.interfaces.get(id)!.addresses) {
      if (address.family === family) add(address, hostLength, list);
    }
  }
  const sorted = [...lengths].sort((a, b) => b - a);
  const ones = new Array<number>(addressWords).fill(-1);
  return {
    lengths: Uint8Array.from(sorted),
    masks: Int32Array.from(sorted.flatMap((length) => maskWords(ones, length))),
    table,
  };
}

function compileHosts(family: Family, { model, ports }: CompileInput): WordTable {
  const table = new WordTable(family === 4 ? 1 : 4);
  for (const [id, port] of ports) {
    for (const address of model.interfaces.get(id)!.addresses)
      setHost(table, family, address, port);
  }
  return table;
}

function compileAddresses(family: Family, addresses: readonly Address[]): WordTable {
  const table = new WordTable(family === 4 ? 1 : 4);
  for (const address of addresses) setHost(table, family, address, 1);
  return table;
}

function setHost(table: WordTable, family: Family, address: Address, value: number): void {
  if (address.family === family) table.set(Int32Array.from(address.words), value);
}
