/**
 * Compiles the part of a policy that depends on rules alone: (gate, node of the port tree, peer) → rule.
 *
 * Theory of operation
 *
 * The tables are kept from one policy to the next. A change costs as much as what changed, not as much as what
 * exists: of each group, the rules between the first and the last that differ are removed and added. A change of
 * members looks at no rule.
 *
 * A *cell* is a protocol column and a peer. Rules of different cells share no key, so a cell is always rebuilt as a
 * whole. Rules in it that share a key are in the order in which they were written.
 *
 * The packet loop reads copies (`share`), which later changes leave alone. test/policy/compile.test.ts compares a
 * policy after many changes with one that was made at once.
 */
import { auditedRules } from './audit.ts';
import { changedGroups, changedRules } from './changed-part.ts';
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
import { PROTOCOL_TCP, PROTOCOL_UDP } from './protocols.ts';
import { PORT_MAX } from './rules.ts';
import { isAnywhere, type NumberLists, type PeerNumbers } from './peer-numbers.ts';
import { PeerRules } from './peer-rules.ts';
import type { RuleNumbers } from './rule-numbers.ts';
import { WordTable } from './word-table.ts';

const ICMP_PROTOCOLS: ReadonlySet<number> = new Set([1, 58]);
const OPEN_COLUMNS = 4;
const GATES = [GATE_INGRESS, GATE_EGRESS] as const;
const NO_RULES: readonly Rule[] = [];
const AUDIT_PREFIX = 'audit ';

/** Stands in a set of groups for the rules that a group names for audit, in place of its own rules. */
export function auditKey(groupId: GroupId): GroupId {
  return AUDIT_PREFIX + groupId;
}

/** The fewest nodes of the port tree that cover from–to exactly, each as level << 16 | prefix. */
export function coverRange(from: number, to: number): number[] {
  const nodes: number[] = [];
  let at = from;
  while (at <= to) {
    // Find the widest node that starts at `at` and ends within the range.
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

/** The range in the port tree of a rule's ports, or of its ICMP type and code. */
function portRange(rule: Rule): readonly [from: number, to: number] {
  if (rule.fromPort === ANY) return [0, PORT_MAX];
  if (!ICMP_PROTOCOLS.has(rule.protocol)) return [rule.fromPort, rule.toPort];
  const type = rule.fromPort << 8;
  return rule.toPort === ANY ? [type, type | 0xff] : [type | rule.toPort, type | rule.toPort];
}

/** Rules of a group in one direction, with the cell of each. */
interface Row {
  readonly rules: readonly Rule[];
  readonly cells: readonly number[];
}

/** A change of a row: the rules from `start` to `end` of the old one are replaced. */
interface RowChange {
  readonly old: Row;
  readonly next: Row;
  readonly start: number;
  readonly end: number;
  readonly cells: ReadonlySet<number>;
}

const EMPTY: Row = { rules: [], cells: [] };

/** Larger than the number of protocol columns. A cell is peer * CELL_COLUMNS + column. */
const CELL_COLUMNS = 512;

/** Bits of an element of `levels`. */
const LEVEL_FLAGS = 16;

/** For up to this many cells, searching for each is faster, even in code that V8 has not compiled yet. */
const SEARCHES_MAX = 16;

type GateArrays = Pick<CompiledPolicy, 'peerRules' | 'rules' | 'levels' | 'open'>;
type Mutable<T> = { -readonly [K in keyof T]?: T[K] | undefined };

/** The tables that depend on rules alone. */
export class GateTables {
  private readonly table = new WordTable(3);
  private readonly peers: PeerNumbers;
  private readonly lists: NumberLists;
  private readonly key = new Int32Array(3);
  /** By gate, then by group. */
  private readonly rows: readonly [Map<GroupId, Row>, Map<GroupId, Row>] = [new Map(), new Map()];
  /** By profile: the groups whose rules its gates have. */
  private readonly applied: (readonly GroupId[])[] = [];
  private readonly peerRules = new PeerRules();
  /** By gate: how many rules name each peer that is a DNS name. */
  private readonly nameRules = new Map<number, Map<number, number>>();
  /** How often each bit of `levels` is used. Few gates have rules in more than a few columns. */
  private readonly flags = new Map<number, number>();
  private levels = new Uint16Array(0);
  /** Number of rules that admit everything, by gate and openColumn. */
  private openings = new Int32Array(0);
  /** What the last update took over: the groups of the model, and those of them that profiles have. */
  private taken: PolicyModel['groups'] | undefined;
  private groupIds: ReadonlySet<GroupId> = new Set();
  /** The last copies, as far as they still hold. */
  private shared: Mutable<GateArrays> = {};

  constructor(peers: PeerNumbers, lists: NumberLists) {
    this.peers = peers;
    this.lists = lists;
  }

  /**
   * Takes over the rules of `model`.
   * @param groupSets groups of each profile; empty for a profile that no interface has. Those of an earlier update
   *   come first, and a set stays the same object while its groups stay the same.
   * @returns whether anything changed
   */
  update(
    model: PolicyModel,
    groupSets: readonly (readonly GroupId[])[],
    ruleNumbers: RuleNumbers,
  ): boolean {
    const isGrown = groupSets.length > this.applied.length;
    if (isGrown) this.widen(groupSets.length);
    const isSameSets =
      groupSets.length === this.applied.length &&
      groupSets.every((set, profile) => set === this.applied[profile]);
    const groupIds = isSameSets ? this.groupIds : new Set(groupSets.flat());
    const concerned = this.concerned(model, groupIds);
    const changes = GATES.map((gate) => this.compare(model, groupIds, concerned, gate));
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
    if (isChanged) this.shared = { levels: this.shared.levels, open: this.shared.open };
    this.taken = model.groups;
    this.groupIds = groupIds;
    return isChanged;
  }

  /** By gate: the peers of its rules that are DNS names. */
  namesByGate(): ReadonlyMap<number, Iterable<number>> {
    return new Map(Array.from(this.nameRules, ([gate, peers]) => [gate, peers.keys()]));
  }

  /** Returns the current content as copies, which later changes leave alone. */
  share(): GateArrays {
    const { peerRules, rules, levels, open } = this.shared;
    const shared = {
      peerRules: peerRules ?? this.peerRules.share(),
      rules: rules ?? this.table.makeCopy(),
      levels: levels ?? shareArray(this.levels),
      open: open ?? shareArray(Uint8Array.from(this.openings, (count) => (count > 0 ? 1 : 0))),
    };
    this.shared = shared;
    return shared;
  }

  /** The groups whose rows may differ from the model's. */
  private concerned(model: PolicyModel, groupIds: ReadonlySet<GroupId>): ReadonlySet<GroupId> {
    if (this.taken === undefined || groupIds !== this.groupIds)
      return new Set([...groupIds, ...this.groupIds]);
    const { gone, come } = changedGroups(this.taken, model.groups);
    const ids = [...gone.map(({ id }) => id), ...come.map(([, { id }]) => id)];
    return new Set(ids.flatMap((id) => [id, auditKey(id)]).filter((id) => groupIds.has(id)));
  }

  /** Finds the rows of a gate that differ from the model's. */
  private compare(
    model: PolicyModel,
    groupIds: ReadonlySet<GroupId>,
    concerned: ReadonlySet<GroupId>,
    gate: number,
  ): Map<GroupId, RowChange> {
    const changes = new Map<GroupId, RowChange>();
    for (const groupId of concerned) {
      const rules = groupIds.has(groupId) ? rulesOf(model, groupId, gate) : NO_RULES;
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

  /**
   * Updates one gate: rebuilds the cells that changed, or all cells if its groups changed.
   * @returns whether it rebuilt any
   */
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
    if (rule.peer.kind === 'dns') this.countName(gate, peer, 1);
    if (peer >= PEER_FIRST) {
      if (this.peerRules.add(peer, gate, column, from, to, number)) {
        this.countFlag(gate * PROTOCOL_COLUMNS + column, LEVEL_PEER_RULES, 1);
        return;
      }
      this.peerRules.countMore(peer, 1);
    }
    for (const node of this.countNodes(gate, column, peer, from, to, 1)) {
      key[1] = (column << 20) | node;
      // Two rules may share a node and a peer. Keep both, the one written first in front.
      const value = table.get(key);
      const known = lists.at(value);
      if (!known.includes(number)) table.set(key, lists.add([...known, number]));
    }
  }

  /** Removes a rule. Call it for all rules of a cell or none: then their order does not matter. */
  private erase(gate: number, rule: Rule, cell: number): void {
    const { key } = this;
    const column = columnOf(rule);
    const peer = peerOf(cell);
    const [from, to] = portRange(rule);
    this.countOpening(gate, rule, from, to, -1);
    if (rule.peer.kind === 'dns') this.countName(gate, peer, -1);
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

  /** Adds or removes the counts of the nodes of a port range. @returns the nodes; `key` has their gate and peer */
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
      if (rule.protocol !== PROTOCOL_ALL && rule.protocol !== protocol) continue;
      this.openings[gate * OPEN_COLUMNS + openColumn(anywhere, protocol)] += step;
      this.shared.open = undefined;
    }
  }

  private countName(gate: number, peer: number, step: 1 | -1): void {
    const peers = this.nameRules.get(gate) ?? new Map<number, number>();
    const count = (peers.get(peer) ?? 0) + step;
    if (count > 0) peers.set(peer, count);
    else peers.delete(peer);
    if (peers.size > 0) this.nameRules.set(gate, peers);
    else this.nameRules.delete(gate);
  }

  private countFlag(row: number, flag: number, step: 1 | -1): void {
    const at = row * LEVEL_FLAGS + flag;
    const before = this.flags.get(at) ?? 0;
    const count = before + step;
    if (count > 0) this.flags.set(at, count);
    else this.flags.delete(at);
    if (before > 0 === count > 0) return;
    this.levels[row] ^= 1 << flag;
    this.shared.levels = undefined;
  }

  private widen(profileCount: number): void {
    const levels = new Uint16Array(2 * profileCount * PROTOCOL_COLUMNS);
    levels.set(this.levels);
    this.levels = levels;
    this.shared = {};
    const openings = new Int32Array(2 * profileCount * OPEN_COLUMNS);
    openings.set(this.openings);
    this.openings = openings;
  }
}

/** Copies an array to shared memory. */
function shareArray<T extends Uint8Array | Uint16Array>(array: T): T {
  const shared = new SharedArrayBuffer(array.byteLength);
  new Uint8Array(shared).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return new (array.constructor as new (memory: SharedArrayBuffer) => T)(shared);
}

function unite(sets: readonly ReadonlySet<number>[]): ReadonlySet<number> {
  return sets.length === 1 ? sets[0] : new Set(sets.flatMap((set) => [...set]));
}

/** Calls `act` with each rule of these cells, or of all cells if undefined. The rules of a cell come in their order. */
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

/** @param key of a set of groups: a group, or what one names for audit (auditKey) */
function rulesOf({ groups }: PolicyModel, key: GroupId, gate: number): readonly Rule[] {
  const isAudit = key.startsWith(AUDIT_PREFIX);
  const group = groups.get(isAudit ? key.slice(AUDIT_PREFIX.length) : key);
  if (group === undefined) return NO_RULES;
  const direction = gate === GATE_INGRESS ? 'ingress' : 'egress';
  return isAudit ? auditedRules(group, direction) : group[direction];
}
