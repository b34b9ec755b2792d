/**
 * The part of a compiled policy that depends on rules alone: (gate, node of the port tree, peer) → rule.
 *
 * It is kept from one policy to the next as long as no rule and no set of groups changed, so that who is
 * a member of what changes without any rule being compiled again.
 */
import {
  GATE_EGRESS,
  GATE_INGRESS,
  LEVEL_BITS,
  PORT_BITS,
  PORT_LEVELS,
  PROTOCOL_COLUMN_ALL,
  PROTOCOL_COLUMNS,
  openColumn,
} from './compiled.ts';
import { ANY, PROTOCOL_ALL, type GroupId, type PolicyModel, type Rule } from './model.ts';
import { isAnywhere, NumberLists, PeerNumbers } from './peer-numbers.ts';
import type { RuleNumbers } from './rule-numbers.ts';
import { WordTable } from './word-table.ts';

const PORT_MAX = 65535;
const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;
const ICMP_PROTOCOLS: ReadonlySet<number> = new Set([1, 58]);

/** The gates of a policy's profiles, with the numbers their rules use. */
export interface CompiledRules {
  readonly gates: GateTables;
  readonly peers: PeerNumbers;
  /** Lists the gates use; the addresses of a policy put theirs behind a copy. */
  readonly lists: NumberLists;
}

/** Keeps the rules compiled last, for a policy that has the same ones. */
export class RuleCache {
  private signature = '';
  private compiled: CompiledRules | undefined;

  /** How often rules had to be compiled. */
  compilations = 0;

  /** The compiled rules of these profiles; not compiled again if they are what they were. */
  rulesOf(
    model: PolicyModel,
    groupSets: readonly (readonly GroupId[])[],
    ruleNumbers: RuleNumbers,
  ): CompiledRules {
    const signature = signatureOf(model, groupSets, ruleNumbers);
    if (this.compiled === undefined || signature !== this.signature) {
      this.compiled = compileRules(model, groupSets, ruleNumbers);
      this.signature = signature;
      this.compilations++;
    }
    return this.compiled;
  }
}

/** Numbers stand for rules whose content never changes (rule-numbers.ts), so they are enough to tell two sets apart. */
function signatureOf(
  model: PolicyModel,
  groupSets: readonly (readonly GroupId[])[],
  ruleNumbers: RuleNumbers,
): string {
  const groups = [...model.groups.values()].map(
    ({ id, ingress, egress }) =>
      `${id}:${[...ingress, ...egress].map((rule) => ruleNumbers.numberOf(rule)).join()}`,
  );
  return `${groups.join(';')}|${groupSets.map((ids) => ids.join()).join(';')}`;
}

export function compileRules(
  model: PolicyModel,
  groupSets: readonly (readonly GroupId[])[],
  ruleNumbers: RuleNumbers,
): CompiledRules {
  const peers = new PeerNumbers();
  const lists = new NumberLists();
  for (const { ingress, egress } of model.groups.values()) {
    for (const rule of [...ingress, ...egress]) peers.numberOf(rule.peer);
  }
  const gates = new GateTables(groupSets.length, peers, ruleNumbers, lists);
  groupSets.forEach((groupIds, profile) => {
    for (const groupId of groupIds) {
      const group = model.groups.get(groupId)!;
      for (const rule of group.ingress) gates.add(2 * profile + GATE_INGRESS, rule);
      for (const rule of group.egress) gates.add(2 * profile + GATE_EGRESS, rule);
    }
  });
  return { gates, peers, lists };
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
