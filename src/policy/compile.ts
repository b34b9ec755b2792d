/** Rules, peers and interfaces to the arrays of compiled.ts. Control plane: may allocate, runs when policy changes. */
import { addressBits, maskWords, type Address, type Cidr, type Family } from '../addr/address.ts';
import {
  GATE_EGRESS,
  GATE_INGRESS,
  LEVEL_BITS,
  PEER_ANY_4,
  PEER_ANY_6,
  PEER_FIRST,
  PORT_BITS,
  PORT_LEVELS,
  PROTOCOL_COLUMN_ALL,
  PROTOCOL_COLUMNS,
  openColumn,
  type CompiledPolicy,
  type PrefixTable,
} from './compiled.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type GroupId,
  type InterfaceId,
  type Peer,
  type PolicyModel,
  type Rule,
} from './model.ts';
import type { RuleNumbers } from './rule-numbers.ts';
import { WordTable } from './word-table.ts';

const PORT_MAX = 65535;
const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;
const ICMP_PROTOCOLS: ReadonlySet<number> = new Set([1, 58]);

export interface CompileInput {
  readonly model: PolicyModel;
  /** Port of each interface; ports start at 1 (0 is the uplink). */
  readonly ports: ReadonlyMap<InterfaceId, number>;
  readonly ruleNumbers: RuleNumbers;
  readonly platformAddresses: readonly Address[];
  readonly generation: number;
}

/** @throws RangeError if there are more rules than a flow entry can name (see RuleNumbers) */
export function compilePolicy(input: CompileInput): CompiledPolicy {
  const { model, ruleNumbers } = input;
  ruleNumbers.take(model.groups.values());
  const peers = new PeerNumbers();
  for (const group of model.groups.values()) {
    for (const rule of [...group.ingress, ...group.egress]) peers.numberOf(rule.peer);
  }
  const lists = new NumberLists();
  const { profiles, groupSets } = numberProfiles(input);
  const gates = new GateTables(groupSets.length, peers, ruleNumbers, lists);
  groupSets.forEach((groupIds, profile) => {
    for (const groupId of groupIds) {
      const group = model.groups.get(groupId)!;
      for (const rule of group.ingress) gates.add(2 * profile + GATE_INGRESS, rule);
      for (const rule of group.egress) gates.add(2 * profile + GATE_EGRESS, rule);
    }
  });
  const sourceDestCheck = new Uint8Array(profiles.length);
  for (const [id, port] of input.ports)
    sourceDestCheck[port] = model.interfaces.get(id)!.sourceDestCheck ? 1 : 0;

  const prefixes4 = compilePrefixes(4, model, peers, lists);
  const prefixes6 = compilePrefixes(6, model, peers, lists);
  const platform = input.platformAddresses.map((address): [Address, number] => [address, 1]);
  return {
    generation: input.generation,
    rules: gates.rules,
    levels: gates.levels,
    open: gates.open,
    prefixes4,
    prefixes6,
    lists: Int32Array.from(lists.words),
    revocation: ruleNumbers.revocation(),
    profiles,
    sourceDestCheck,
    hosts4: compileHosts(4, input),
    hosts6: compileHosts(6, input),
    platform4: compileAddresses(4, platform),
    platform6: compileAddresses(6, platform),
  };
}

/** The nodes of the port tree that cover from–to exactly, as level << 16 | prefix; fewest possible. */
export function coverRange(from: number, to: number): number[] {
  const nodes: number[] = [];
  let at = from;
  while (at <= to) {
    // The widest node that starts at `at` and ends within the range.
    let level = PORT_LEVELS - 1;
    while (level > 0) {
      const width = 1 << (PORT_BITS - LEVEL_BITS * (level - 1));
      if (at % width !== 0 || at + width - 1 > to) break;
      level--;
    }
    const shift = PORT_BITS - LEVEL_BITS * level;
    nodes.push((level << PORT_BITS) | (at >>> shift));
    at += 1 << shift;
  }
  return nodes;
}

/** The range of the tree that a rule's ports, or ICMP type and code, take. */
function portRange(rule: Rule): readonly [from: number, to: number] {
  if (rule.fromPort === ANY) return [0, PORT_MAX];
  if (!ICMP_PROTOCOLS.has(rule.protocol)) return [rule.fromPort, rule.toPort];
  const type = rule.fromPort << 8;
  return rule.toPort === ANY ? [type, type | 0xff] : [type | rule.toPort, type | rule.toPort];
}

function isAnywhere(peer: Peer): Family | undefined {
  return peer.kind === 'cidr' && peer.cidr.length === 0 ? peer.cidr.family : undefined;
}

/** Gives each distinct CIDR, prefix list and group that a rule names its number. */
class PeerNumbers {
  private readonly numbers = new Map<string, number>();
  private next = PEER_FIRST;
  readonly cidrs: { readonly cidr: Cidr; readonly peer: number }[] = [];
  readonly prefixLists = new Map<string, number>();
  readonly groups = new Map<GroupId, number>();

  numberOf(peer: Peer): number {
    const anywhere = isAnywhere(peer);
    if (anywhere !== undefined) return anywhere === 4 ? PEER_ANY_4 : PEER_ANY_6;
    const key =
      peer.kind === 'cidr'
        ? `${peer.cidr.words.join()}/${peer.cidr.length}`
        : peer.kind === 'group'
          ? peer.groupId
          : peer.prefixListId;
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    const number = this.next++;
    this.numbers.set(key, number);
    if (peer.kind === 'cidr') this.cidrs.push({ cidr: peer.cidr, peer: number });
    else if (peer.kind === 'group') this.groups.set(peer.groupId, number);
    else this.prefixLists.set(peer.prefixListId, number);
    return number;
  }
}

/** `rules`, `levels` and `open` of the compiled policy, filled rule by rule. */
class GateTables {
  readonly rules = new WordTable(3);
  private readonly lists: NumberLists;
  readonly levels: Uint8Array;
  readonly open: Uint8Array;
  private readonly peers: PeerNumbers;
  private readonly ruleNumbers: RuleNumbers;
  private readonly key = new Int32Array(3);

  constructor(
    profileCount: number,
    peers: PeerNumbers,
    ruleNumbers: RuleNumbers,
    lists: NumberLists,
  ) {
    this.levels = new Uint8Array(2 * profileCount * PROTOCOL_COLUMNS);
    this.open = new Uint8Array(2 * profileCount * 4);
    this.peers = peers;
    this.ruleNumbers = ruleNumbers;
    this.lists = lists;
  }

  add(gate: number, rule: Rule): void {
    const column = rule.protocol === PROTOCOL_ALL ? PROTOCOL_COLUMN_ALL : rule.protocol;
    const [from, to] = portRange(rule);
    const { key } = this;
    key[0] = gate;
    key[2] = this.peers.numberOf(rule.peer);
    for (const node of coverRange(from, to)) {
      key[1] = (column << 20) | node;
      this.levels[gate * PROTOCOL_COLUMNS + column] |= 1 << (node >>> PORT_BITS);
      this.addRule(key, this.ruleNumbers.numberOf(rule) + 1);
    }
    const anywhere = isAnywhere(rule.peer);
    if (anywhere === undefined || from !== 0 || to !== PORT_MAX) return;
    for (const protocol of [PROTOCOL_TCP, PROTOCOL_UDP]) {
      if (rule.protocol === PROTOCOL_ALL || rule.protocol === protocol)
        this.open[gate * 4 + openColumn(anywhere, protocol)] = 1;
    }
  }

  /** Two rules may share a node and a peer: both are kept, the one written first in front. */
  private addRule(key: Int32Array, rule: number): void {
    const value = this.rules.get(key);
    if (value === 0) {
      this.rules.set(key, rule);
      return;
    }
    const known = value > 0 ? [value] : this.lists.at(-value);
    if (!known.includes(rule)) this.rules.set(key, -this.lists.add([...known, rule]));
  }
}

/** Lists of numbers, each stored once. */
class NumberLists {
  readonly words: number[] = [];
  private readonly known = new Map<string, number>();

  /** The list that `add` gave this number for. */
  at(indexPlus1: number): number[] {
    const start = indexPlus1;
    return this.words.slice(start, start + this.words[indexPlus1 - 1]);
  }

  /** @returns index of the list plus 1 */
  add(numbers: readonly number[]): number {
    const key = numbers.join();
    let at = this.known.get(key);
    if (at === undefined) {
      at = this.words.length;
      this.words.push(numbers.length, ...numbers);
      this.known.set(key, at);
    }
    return at + 1;
  }
}

function compilePrefixes(
  family: Family,
  model: PolicyModel,
  peers: PeerNumbers,
  lists: NumberLists,
): PrefixTable {
  const found = new Map<string, { readonly cidr: Cidr; readonly peers: Set<number> }>();
  const add = (cidr: Cidr, peer: number): void => {
    if (cidr.family !== family) return;
    const key = `${cidr.words.join()}/${cidr.length}`;
    const entry = found.get(key) ?? { cidr, peers: new Set<number>() };
    entry.peers.add(peer);
    found.set(key, entry);
  };
  for (const { cidr, peer } of peers.cidrs) add(cidr, peer);
  for (const [id, peer] of peers.prefixLists) {
    for (const entry of model.prefixLists.get(id)!.entries) add(entry.cidr, peer);
  }
  for (const member of model.interfaces.values()) {
    for (const groupId of member.groupIds) {
      const peer = peers.groups.get(groupId);
      if (peer === undefined) continue;
      for (const address of member.addresses)
        add({ ...address, length: addressBits(address.family) }, peer);
    }
  }
  const addressWords = family === 4 ? 1 : 4;
  const table = new WordTable(1 + addressWords);
  const key = new Int32Array(1 + addressWords);
  const lengths = new Set<number>();
  for (const { cidr, peers: members } of found.values()) {
    lengths.add(cidr.length);
    key[0] = cidr.length;
    key.set(cidr.words, 1);
    table.set(key, lists.add([...members].sort((a, b) => a - b)));
  }
  const sorted = [...lengths].sort((a, b) => b - a);
  const ones = new Array<number>(addressWords).fill(-1);
  return {
    lengths: Uint8Array.from(sorted),
    masks: Int32Array.from(sorted.flatMap((length) => maskWords(ones, length))),
    table,
  };
}

function numberProfiles(input: CompileInput): { profiles: Int32Array; groupSets: GroupId[][] } {
  const known = new Map<string, number>();
  const groupSets: GroupId[][] = [];
  const profiles = new Int32Array(1 + Math.max(0, ...input.ports.values())).fill(-1);
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

function compileHosts(family: Family, { model, ports }: CompileInput): WordTable {
  const hosts = [...ports].flatMap(([id, port]) =>
    model.interfaces.get(id)!.addresses.map((address): [Address, number] => [address, port]),
  );
  return compileAddresses(family, hosts);
}

function compileAddresses(
  family: Family,
  values: readonly (readonly [Address, number])[],
): WordTable {
  const table = new WordTable(family === 4 ? 1 : 4);
  for (const [address, value] of values)
    if (address.family === family) table.set(Int32Array.from(address.words), value);
  return table;
}
