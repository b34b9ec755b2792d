/**
 * The part of a compiled policy that depends on rules alone: (gate, node of the port tree, peer) → rule.
 *
 * Theory of operation
 *
 * It is kept from one policy to the next, and a change costs what changed, not what there is: of each group the
 * rules between the first and the last that differ are taken out and put in. Who is a member of what changes
 * without any rule being looked at.
 *
 * A *cell* is a protocol column and a peer. Rules of different cells share no key, so a cell is what is made
 * anew as a whole: rules that share a key in it stand in the order in which they were written.
 *
 * The packet loop reads what `share` gives: copies, which no later change touches. test/policy/compile.test.ts
 * holds a policy that went through many changes against one made at once.
 */
import { changedRules } from './changed-part.ts';
import type { PolicyParts } from './compile.ts';
import {
  GATE_EGRESS,
  GATE_INGRESS,
  LEVEL_BITS,
  LEVELS_ANY_4,
  LEVELS_ANY_6,
  LEVEL_PEER_RULES,
  PEER_ANY_4,
  PEER_ANY_6,
  PEER_FIRST,
  PORT_BITS,
  PORT_LEVELS,
  PROTOCOL_COLUMN_ALL,
  PROTOCOL_COLUMNS,
  openColumn,
  type CompiledPolicy,
} from './compiled.ts';
import { ANY, PROTOCOL_ALL, type GroupId, type PolicyModel, type Rule } from './model.ts';
import { isAnywhere, type NumberLists, type PeerNumbers } from './peer-numbers.ts';
import { PeerRules } from './peer-rules.ts';
import type { RuleNumbers } from './rule-numbers.ts';
import { WordTable } from './word-table.ts';

const PORT_MAX = 65535;
const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;
const ICMP_PROTOCOLS: ReadonlySet<number> = new Set([1, 58]);
const OPEN_COLUMNS = 4;
const GATES = [GATE_INGRESS, GATE_EGRESS] as const;

/** Keeps what was compiled last, for a policy that is much the same. */
export class RuleCache {
  parts: PolicyParts | undefined;
  /** How often rules had to be compiled. */
  compilations = 0;
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

/** Rules of a group in one direction, and the cell of each. */
interface Row {
  readonly rules: readonly Rule[];
  readonly cells: readonly number[];
}

/** A row that changes: the rules from `start` to `end` of the old one make way. */
interface RowChange {
  readonly old: Row;
  readonly next: Row;
  readonly start: number;
  readonly end: number;
  readonly cells: ReadonlySet<number>;
}

const EMPTY: Row = { rules: [], cells: [] };

/** More than there are protocol columns: a cell is peer * CELL_COLUMNS + column. */
const CELL_COLUMNS = 512;

/** Bits of an element of `levels`. */
const LEVEL_FLAGS = 16;

/** Up to so many cells are searched for one by one, which V8 does at once, also in code that it has not compiled yet. */
const SEARCHES_MAX = 16;

type GateArrays = Pick<CompiledPolicy, 'peerRules' | 'rules' | 'levels' | 'open'>;

/** What of a compiled policy depends on rules alone. */
export class GateTables {
  private readonly table = new WordTable(3);
  private readonly peers: PeerNumbers;
  private readonly lists: NumberLists;
  private readonly key = new Int32Array(3);
  /** By gate and group. */
  private readonly rows: readonly [Map<GroupId, Row>, Map<GroupId, Row>] = [new Map(), new Map()];
  /** By profile: the groups whose rules its gates have. */
  private readonly applied: (readonly GroupId[])[] = [];
  private readonly peerRules = new PeerRules();
  /** How much each bit of `levels` stands for; few gates have rules in more than a few columns. */
  private readonly flags = new Map<number, number>();
  private levels = new Uint16Array(0);
  /** Rules that admit everything, by gate and openColumn. */
  private openings = new Int32Array(0);
  private shared: GateArrays | undefined;

  constructor(peers: PeerNumbers, lists: NumberLists) {
    this.peers = peers;
    this.lists = lists;
  }

  /**
   * Takes over the rules of `model`.
   * @param groupSets groups of each profile, none for one that no interface has; those of an earlier update come
   *   first, and each is the same object for as long as it has the same groups
   * @returns whether anything changed
   */
  update(
    model: PolicyModel,
    groupSets: readonly (readonly GroupId[])[],
    ruleNumbers: RuleNumbers,
  ): boolean {
    const isGrown = groupSets.length > this.applied.length;
    if (isGrown) this.widen(groupSets.length);
    const groupIds = new Set(groupSets.flat());
    const changes = GATES.map((gate) => this.compare(model, groupIds, gate));
    let isChanged = isGrown;
    groupSets.forEach((ids, profile) => {
      for (const gate of GATES) {
        if (this.applyTo(2 * profile + gate, ids, changes[gate], ruleNumbers)) isChanged = true;
      }
      this.applied[profile] = ids;
    });
    for (const gate of GATES) {
      for (const [groupId, { old, next, start, end }] of changes[gate]) {
        if (groupIds.has(groupId)) this.rows[gate].set(groupId, next);
        else this.rows[gate].delete(groupId);
        for (let i = start; i < end; i++) this.peers.release(peerOf(old.cells[i]));
      }
    }
    if (isChanged) this.shared = undefined;
    return isChanged;
  }

  /** What it holds now; not changed by what comes after. */
  share(): GateArrays {
    this.shared ??= {
      peerRules: this.peerRules.share(),
      rules: this.table.makeCopy(),
      levels: this.levels.slice(),
      open: Uint8Array.from(this.openings, (rules) => (rules > 0 ? 1 : 0)),
    };
    return this.shared;
  }

  /** The rows of a gate that differ from those of the model. */
  private compare(
    model: PolicyModel,
    groupIds: ReadonlySet<GroupId>,
    gate: number,
  ): Map<GroupId, RowChange> {
    const changes = new Map<GroupId, RowChange>();
    for (const groupId of new Set([...groupIds, ...this.rows[gate].keys()])) {
      const group = groupIds.has(groupId) ? model.groups.get(groupId) : undefined;
      const rules = (gate === GATE_INGRESS ? group?.ingress : group?.egress) ?? [];
      const old = this.rows[gate].get(groupId) ?? EMPTY;
      const change = this.compareRows(old, rules);
      if (change !== undefined) changes.set(groupId, change);
    }
    return changes;
  }

  private compareRows(old: Row, rules: readonly Rule[]): RowChange | undefined {
    const [start, end, nextEnd] = changedRules(old.rules, rules);
    if (start === end && start === nextEnd) return undefined;
    const came = rules.slice(start, nextEnd).map((rule) => this.cellOf(rule));
    const gone = old.cells.slice(start, end);
    const cells = old.cells.slice(0, start).concat(came, old.cells.slice(end));
    return { old, next: { rules, cells }, start, end, cells: new Set(gone.concat(came)) };
  }

  private cellOf(rule: Rule): number {
    return this.peers.retain(rule.peer) * CELL_COLUMNS + columnOf(rule);
  }

  /** Brings one gate up to date: cells that changed are made anew, or all if its groups are others. @returns whether anything was */
  private applyTo(
    gate: number,
    groupIds: readonly GroupId[],
    changes: ReadonlyMap<GroupId, RowChange>,
    ruleNumbers: RuleNumbers,
  ): boolean {
    const before = this.applied.at(gate >> 1) ?? [];
    const isReplaced = before !== groupIds;
    const changed = groupIds.flatMap((groupId) => changes.get(groupId) ?? []);
    if (!isReplaced && changed.length === 0) return false;
    const cells = isReplaced ? undefined : unite(changed.map((change) => change.cells));
    const known = this.rows[gate & 1];
    for (const groupId of before)
      visit(changes.get(groupId)?.old ?? known.get(groupId) ?? EMPTY, cells, (rule, cell) => {
        this.erase(gate, rule, cell);
      });
    for (const groupId of groupIds)
      visit(changes.get(groupId)?.next ?? known.get(groupId) ?? EMPTY, cells, (rule, cell) => {
        this.add(gate, rule, cell, ruleNumbers.numberOf(rule) + 1);
      });
    return true;
  }

  private add(gate: number, rule: Rule, cell: number, number: number): void {
    const { key, table, lists } = this;
    const column = columnOf(rule);
    const peer = peerOf(cell);
    const [from, to] = portRange(rule);
    this.countOpening(gate, rule, from, to, 1);
    if (peer >= PEER_FIRST) {
      if (this.peerRules.add(peer, gate, column, from, to, number)) {
        this.countFlag(gate * PROTOCOL_COLUMNS + column, LEVEL_PEER_RULES, 1);
        return;
      }
      this.peerRules.countMore(peer, 1);
    }
    for (const node of this.countNodes(gate, column, peer, from, to, 1)) {
      key[1] = (column << 20) | node;
      // Two rules may share a node and a peer: both are kept, the one written first in front.
      const value = table.get(key);
      const known = lists.at(value);
      if (!known.includes(number)) table.set(key, lists.add([...known, number]));
    }
  }

  /** For all rules of a cell, or none: which of them stands where does not matter then. */
  private erase(gate: number, rule: Rule, cell: number): void {
    const { key } = this;
    const column = columnOf(rule);
    const peer = peerOf(cell);
    const [from, to] = portRange(rule);
    this.countOpening(gate, rule, from, to, -1);
    if (peer >= PEER_FIRST) {
      if (this.peerRules.erase(peer, gate, column, from, to)) {
        this.countFlag(gate * PROTOCOL_COLUMNS + column, LEVEL_PEER_RULES, -1);
        return;
      }
      this.peerRules.countMore(peer, -1);
    }
    for (const node of this.countNodes(gate, column, peer, from, to, -1)) {
      key[1] = (column << 20) | node;
      this.table.delete(key);
    }
  }

  /** Counts the nodes of a range of ports in or out. @returns them; the key has their gate and peer */
  private countNodes(
    gate: number,
    column: number,
    peer: number,
    from: number,
    to: number,
    step: 1 | -1,
  ): number[] {
    this.key[0] = gate;
    this.key[2] = peer;
    const part = peer === PEER_ANY_4 ? LEVELS_ANY_4 : peer === PEER_ANY_6 ? LEVELS_ANY_6 : 0;
    const cover = coverRange(from, to);
    for (const node of cover)
      this.countFlag(gate * PROTOCOL_COLUMNS + column, part + (node >>> PORT_BITS), step);
    return cover;
  }

  private countOpening(gate: number, rule: Rule, from: number, to: number, step: 1 | -1): void {
    const anywhere = isAnywhere(rule.peer);
    if (anywhere === undefined || from !== 0 || to !== PORT_MAX) return;
    for (const protocol of [PROTOCOL_TCP, PROTOCOL_UDP]) {
      if (rule.protocol === PROTOCOL_ALL || rule.protocol === protocol)
        this.openings[gate * OPEN_COLUMNS + openColumn(anywhere, protocol)] += step;
    }
  }

  private countFlag(row: number, flag: number, step: 1 | -1): void {
    const at = row * LEVEL_FLAGS + flag;
    const count = (this.flags.get(at) ?? 0) + step;
    if (count > 0) {
      this.flags.set(at, count);
      this.levels[row] |= 1 << flag;
    } else {
      this.flags.delete(at);
      this.levels[row] &= ~(1 << flag);
    }
  }

  private widen(profileCount: number): void {
    const levels = new Uint16Array(2 * profileCount * PROTOCOL_COLUMNS);
    levels.set(this.levels);
    this.levels = levels;
    const openings = new Int32Array(2 * profileCount * OPEN_COLUMNS);
    openings.set(this.openings);
    this.openings = openings;
  }
}

function unite(sets: readonly ReadonlySet<number>[]): ReadonlySet<number> {
  return sets.length === 1 ? sets[0] : new Set(sets.flatMap((set) => [...set]));
}

/** Calls `act` with each rule of these cells; of every cell if undefined. Those of one cell come in their order. */
function visit(
  { rules, cells }: Row,
  wanted: ReadonlySet<number> | undefined,
  act: (rule: Rule, cell: number) => void,
): void {
  if (wanted !== undefined && wanted.size <= SEARCHES_MAX) {
    for (const cell of wanted)
      for (let i = cells.indexOf(cell); i >= 0; i = cells.indexOf(cell, i + 1)) act(rules[i], cell);
    return;
  }
  for (let i = 0; i < cells.length; i++)
    if (wanted === undefined || wanted.has(cells[i])) act(rules[i], cells[i]);
}

function peerOf(cell: number): number {
  return Math.floor(cell / CELL_COLUMNS);
}

function columnOf({ protocol }: Rule): number {
  return protocol === PROTOCOL_ALL ? PROTOCOL_COLUMN_ALL : protocol;
}
