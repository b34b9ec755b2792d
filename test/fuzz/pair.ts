/**
 * An engine and its twin side by side: what goes to the one goes to the other, and what must hold of both.
 *
 * Held of each packet: evaluate() does not throw, returns a port or a reason, writes nothing to the packet,
 * decodes it as the twin does and gives the twin's verdict. Held at the end: the same flows live in the same states,
 * the same packets were excused, counters add up, tables agree with what they count. All of that holds whether or not
 * the kernel forwards packets that the engine never sees.
 */
import { isHalfOpen } from '../../src/conntrack/half-open.ts';
import { REPLIED, STATE_MASK, STATE_NAMES } from '../../src/conntrack/states.ts';
import {
  type FlowIndex,
  idleMsOf,
  isUsed,
  portOf,
  stateOf,
  stateWordOf,
} from '../../src/conntrack/entry.ts';
import type { FlowTable } from '../../src/conntrack/table.ts';
import {
  AUDITED_BYTES,
  AUDITED_PACKETS,
  counterRow,
  DROPPED_BY_REASON,
  DROPPED_PACKETS,
  EGRESS,
  GAUGE_COUNT,
  GAUGE_PASSED_FRAGMENT,
  GAUGE_PASSED_INVALID,
  GAUGE_PASSED_TABLE_FULL,
  INGRESS,
  PASSED_PACKETS,
} from '../../src/engine/counters.ts';
import type { Engine } from '../../src/engine/evaluate.ts';
import type { FlowLimits } from '../../src/engine/flow-limits.ts';
import { LINK_SCOPE, REASON_COUNT, REASONS } from '../../src/engine/reasons.ts';
import { UntrackedPast } from '../../src/policy/untracked-past.ts';
import type { PlainKernel } from '../offload/plain-kernel.ts';
import { guard, measure } from './guard.ts';
import { compareDecoded } from './compare-decoded.ts';
import type { Twin } from './twin.ts';
import {
  idleMs,
  makeEngine,
  makeKernel,
  makeTwin,
  modelOf,
  policyOf,
  PORT_NAMES,
  portsOf,
  type WorldOptions,
} from './world.ts';

const ENTRIES_A_ROUND = 16;

export class Pair {
  readonly options: WorldOptions;
  readonly engine: Engine;
  readonly twin: Twin | undefined;
  readonly kernel: PlainKernel | undefined;
  /** What the engine said last: a port, or minus a reason. */
  verdict = 0;
  private generation = 1;
  private rules = 0;
  private readonly past = new UntrackedPast(() => 0);
  private sent = 0;
  private readonly sentBy = new Array<number>(PORT_NAMES.length).fill(0);

  private readonly size: ReturnType<typeof measure> | undefined;

  /**
   * @param twinOptions undefined for no twin
   * @param watched whether every access to the engine's arrays is checked (slow), or at the end whether it has grown
   */
  constructor(
    options: WorldOptions,
    twinOptions: WorldOptions | undefined,
    watched: 'not' | 'grown' | 'guarded' = 'not',
  ) {
    this.options = options;
    this.engine = makeEngine(options);
    this.twin = twinOptions === undefined ? undefined : makeTwin(twinOptions);
    // The rings are read by Atomics, which take no proxy; they are tested by themselves.
    const { engine } = this;
    if (watched === 'guarded')
      guard(
        engine,
        ['events', 'capture'].map((name) => Reflect.get(engine, name) as object),
      );
    this.kernel = options.isOffloaded ? makeKernel(engine) : undefined;
    if (watched === 'grown') this.size = measure(engine);
  }

  changeRules(number: number): void {
    const { world } = this.options;
    this.past.note(modelOf(world, this.rules));
    this.rules = number;
    const past = this.past.share(portsOf(world), PORT_NAMES.length);
    this.engine.setPolicy(policyOf(world, number, ++this.generation, past));
    this.twin?.changeRules(modelOf(world, number));
  }

  /** Holds all flows against the rules in force. */
  holdFlows(nowMs: number): void {
    while (this.engine.gates.recheckFlows(ENTRIES_A_ROUND, nowMs | 0));
    this.twin?.holdAll(nowMs);
  }

  /**
   * Sends the packet that is at `offset` of the view and at the beginning of `bytes`.
   * @returns what is wrong, or undefined
   */
  send(
    view: DataView,
    offset: number,
    bytes: Uint8Array,
    length: number,
    port: number,
    nowMs: number,
  ): string | undefined {
    const { engine, twin, kernel } = this;
    this.sent++;
    this.sentBy[port]++;
    let verdict: number;
    try {
      engine.beginRound(nowMs | 0, 0, 0);
      verdict = (kernel ?? engine).evaluate(view, offset, length, port, 1, nowMs | 0);
    } catch (error) {
      return `evaluate threw ${String(error)}`;
    }
    this.verdict = verdict;
    if (!(Number.isInteger(verdict) && verdict > -REASON_COUNT && verdict < PORT_NAMES.length))
      return `evaluate returned ${verdict}, which is neither a port nor a reason`;
    if (twin === undefined) return this.checkLimits();
    const expected = twin.judge(bytes, length, port, nowMs);
    const isSame =
      typeof expected === 'number' ? expected === verdict : expected === REASONS[-verdict]?.[0];
    if (!isSame)
      return `the engine says ${nameVerdict(verdict)}, the twin ${typeof expected === 'number' ? nameVerdict(expected) : expected}`;
    const excused = Reflect.get(engine.gates, 'excused') as Float64Array;
    if (excused[GAUGE_PASSED_INVALID] !== twin.excused.invalid)
      return `the engine has excused ${excused[GAUGE_PASSED_INVALID]} invalid packets, the twin ${twin.excused.invalid}`;
    if (twin.isUnsure) return 'this world is not one that the twin can judge';
    return typeof twin.decoded === 'string' || kernel?.hasForwarded === true
      ? undefined
      : compareDecoded(engine.packet, twin.decoded, offset);
  }

  /** What must hold after the last packet. @returns what is wrong, or undefined */
  finish(nowMs: number): string | undefined {
    this.kernel?.offload.pullAll();
    return (
      this.checkCounters() ??
      this.checkAudited() ??
      this.checkTables() ??
      this.checkSize() ??
      this.compareFlows(nowMs)
    );
  }

  private checkSize(): string | undefined {
    if (this.size === undefined || this.generation > 1) return undefined;
    const { objects, bytes } = measure(this.engine);
    if (objects === this.size.objects && bytes === this.size.bytes) return undefined;
    return `the engine has grown from ${JSON.stringify(this.size)} to ${objects} objects, ${bytes} bytes`;
  }

  private checkLimits(): string | undefined {
    const { flows4, flows6 } = this.engine.gates.tracker;
    const flows = flows4.count + flows6.count;
    const { maxFlows } = this.options;
    return flows > maxFlows ? `${flows} flows, more than ${maxFlows}` : undefined;
  }

  /** Every packet is counted once where it came in, and once where it went or why it did not. */
  private checkCounters(): string | undefined {
    const { counters } = this.engine;
    let left = 0;
    let dropped = 0;
    for (const [port, name] of PORT_NAMES.entries()) {
      const [entry, exit] = port === 0 ? [INGRESS, EGRESS] : [EGRESS, INGRESS];
      const came = counterRow(port, entry);
      const went = counterRow(port, exit);
      const toLink = counters[came + DROPPED_BY_REASON + LINK_SCOPE];
      const seen = counters[came + PASSED_PACKETS] + counters[came + DROPPED_PACKETS] + toLink;
      if (seen !== this.sentBy[port])
        return `${name} sent ${this.sentBy[port]} packets and counts ${seen}`;
      left += counters[went + PASSED_PACKETS];
      for (const row of [came, went]) {
        dropped += counters[row + DROPPED_PACKETS] + counters[row + DROPPED_BY_REASON + LINK_SCOPE];
        // What ends at the link has its own counter alone.
        let reasons = 0;
        for (let i = 0; i < REASON_COUNT; i++)
          if (i !== LINK_SCOPE) reasons += counters[row + DROPPED_BY_REASON + i];
        if (reasons !== counters[row + DROPPED_PACKETS])
          return `${name}: ${counters[row + DROPPED_PACKETS]} drops, ${reasons} reasons`;
      }
    }
    return left + dropped === this.sent
      ? undefined
      : `${this.sent} sent, ${left} delivered and ${dropped} dropped`;
  }

  /** What passed by audit alone is what the twin has passed so. */
  private checkAudited(): string | undefined {
    const { engine, twin } = this;
    if (twin === undefined) return undefined;
    for (const [port, name] of PORT_NAMES.entries())
      for (const [gate, direction] of [
        ['ingress', INGRESS],
        ['egress', EGRESS],
      ] as const) {
        const row = counterRow(port, direction);
        const [packets, bytes] = [AUDITED_PACKETS, AUDITED_BYTES].map((cell) => engine.counters[row + cell]); // prettier-ignore
        const [wanted, wantedBytes] = twin.audited.get(`${port} ${gate}`) ?? [0, 0];
        if (packets !== wanted || bytes !== wantedBytes)
          return `${name} ${gate}: the engine has audited ${packets} packets, ${bytes} bytes, the twin ${wanted}, ${wantedBytes}`;
      }
    return undefined;
  }

  /** What the tracker and the tables count is what is there, and everything there is found. */
  private checkTables(): string | undefined {
    const { tracker } = this.engine.gates;
    const byPort = new Array<number>(PORT_NAMES.length).fill(0);
    let halfOpen = 0;
    for (const table of [tracker.flows4, tracker.flows6]) {
      const flows = flowsOf(table);
      if (flows.length !== table.count) return `${flows.length} flows, ${table.count} counted`;
      for (const flow of flows) {
        const at = flow * table.stride;
        byPort[portOf(table, flow)]++;
        if (isHalfOpen(stateWordOf(table, flow))) halfOpen++;
        const found = table.find(Int32Array.from(table.words.slice(at, at + table.keyWords)));
        if (found !== flow) return `flow ${flow} is looked for and ${found} found`;
      }
    }
    if (halfOpen !== tracker.halfOpenFlows)
      return `${tracker.halfOpenFlows} half-open flows are counted, ${halfOpen} are there`;
    const limits = Reflect.get(tracker, 'limits') as FlowLimits;
    const counted = Reflect.get(limits, 'flowsByPort') as Int32Array;
    for (const [port, name] of PORT_NAMES.entries())
      if (counted[port] !== byPort[port])
        return `${name}: ${counted[port]} flows are counted, ${byPort[port]} are there`;
    return undefined;
  }

  /** The same flows live, in the same states; the same packets were excused. */
  private compareFlows(nowMs: number): string | undefined {
    const { engine, twin } = this;
    if (twin === undefined) return undefined;
    const { tracker } = engine.gates;
    const counts: Record<string, number> = {};
    for (const table of [tracker.flows4, tracker.flows6])
      for (const flow of flowsOf(table)) {
        if (isExpired(table, flow, nowMs | 0)) continue;
        const name = STATE_NAMES[stateOf(table, flow)];
        counts[name] = (counts[name] ?? 0) + 1;
      }
    const expected = twin.census(nowMs);
    for (const name of STATE_NAMES)
      if (counts[name] !== expected[name])
        return `the engine has ${counts[name] ?? 0} flows in state ${name}, the twin ${expected[name] ?? 0}`;
    const gauges = new Float64Array(GAUGE_COUNT);
    engine.gates.writeGauges(gauges);
    const { excused } = twin;
    const isSame =
      gauges[GAUGE_PASSED_TABLE_FULL] === excused.tableFull &&
      gauges[GAUGE_PASSED_INVALID] === excused.invalid &&
      gauges[GAUGE_PASSED_FRAGMENT] === excused.fragment;
    return isSame
      ? undefined
      : `the engine has excused ${[...gauges.subarray(GAUGE_PASSED_TABLE_FULL)].join(', ')}, the twin ${Object.values(excused).join(', ')}`;
  }
}

export function nameVerdict(verdict: number): string {
  return verdict >= 0
    ? `to ${PORT_NAMES[verdict]}`
    : (REASONS[-verdict]?.[0] ?? 'that it is held or taken');
}

function flowsOf(table: FlowTable): FlowIndex[] {
  const flows: FlowIndex[] = [];
  for (let flow = 0; flow < table.highWater; flow++) if (isUsed(table, flow)) flows.push(flow);
  return flows;
}

/** docs/conntrack.md, "What is tracked": a connection picked up in mid-stream is opening until it is answered. */
function isExpired(table: FlowTable, flow: FlowIndex, nowMs: number): boolean {
  const word = stateWordOf(table, flow);
  const name = STATE_NAMES[word & STATE_MASK];
  const state = name === 'established' && (word & REPLIED) === 0 ? 'syn-sent' : name;
  const limit = idleMs(portOf(table, flow), STATE_NAMES.indexOf(state));
  return idleMsOf(table, flow, nowMs) > limit;
}
