/** An engine with a model in it, fed packets by hand: who sends what at what time, and what becomes of it. */
import { accountBytes, FlowAccounts } from '../../src/conntrack/accounts.ts';
import { FragmentTable } from '../../src/conntrack/fragments.ts';
import {
  type IdleTimeouts,
  setTimeouts,
  STATE_COUNT,
  TOLD_STATES,
  toldState,
} from '../../src/conntrack/states.ts';
import { type FlowFamily, NO_FLOW, stateWordOf } from '../../src/conntrack/entry.ts';
import { FlowTable, flowTableBytes } from '../../src/conntrack/table.ts';
import {
  counterBytes,
  counterRow,
  DROPPED_BY_REASON,
  DROPPED_PACKETS,
  GAUGE_COUNT,
  GAUGE_NAME_OUTCOMES,
  PASSED_PACKETS,
} from '../../src/engine/counters.ts';
import { CaptureReader, CaptureRing, captureRingBytes } from '../../src/engine/capture-ring.ts';
import { EventReader, EventRing, eventRingBytes } from '../../src/engine/events.ts';
import type { ExceptionPasses } from '../../src/engine/exception-passes.ts';
import { createOpenFence, type Fence } from '../../src/engine/fence.ts';
import { Engine } from '../../src/engine/evaluate.ts';
import { REASON_COUNT, REASONS } from '../../src/engine/reasons.ts';
import type { FlowTables } from '../../src/engine/flow-limits.ts';
import { learntBytes } from '../../src/engine/names/learnt-addresses.ts';
import { Names, type NameSettings } from '../../src/engine/names/names.ts';
import { NAME_OUTCOMES } from '../../src/engine/names/outcomes.ts';
import { ruleHitBytes, RuleHits } from '../../src/engine/rule-hits.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { PORTS_MAX, type CompiledPolicy } from '../../src/policy/compiled.ts';
import type { PolicyModel } from '../../src/policy/model.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import type { SpecialAddresses } from '../../src/policy/special-addresses.ts';
import { UntrackedPast } from '../../src/policy/untracked-past.ts';
import { PlainKernel } from '../offload/plain-kernel.ts';
import { model, specialAddresses, type ModelText } from '../support/policy.ts';

export const NAME_SETTINGS: NameSettings = {
  minLifetimeMs: 60_000,
  maxLifetimeMs: 86_400_000,
  maxAddresses: 1024,
  acceptsPrivate: false,
};

/** More than any policy here has. */
const RULES = 1 << 16;

export const RIG_KEY = { k0: 0x5ec2e7, k1: 0x1dea };

export interface RigOptions {
  readonly maxFlows?: number;
  readonly acceptsMidstream?: boolean;
  readonly checksWindow?: boolean;
  readonly maxHalfOpen?: number;
  readonly passes?: Partial<ExceptionPasses>;
  readonly hasUplink?: boolean;
  /** As specialAddresses takes them. */
  readonly platform?: readonly string[];
  readonly uplinkAddresses?: readonly string[];
  readonly allowsClassE?: boolean;
  /** By interface name; 432,000, 30 and 180 s otherwise. */
  readonly timeouts?: Readonly<Record<string, Partial<IdleTimeouts>>>;
  /** What other loops track: read at each packet, so it may be filled in later. */
  readonly others?: readonly FlowTables[];
  /** Default: there is none. */
  readonly fence?: Fence;
  /** The twin of the kernel's programs forwards what it can. */
  readonly isOffloaded?: boolean;
  /** How names are learnt; 60 s to a day, 1,024 addresses, none of private networks otherwise. */
  readonly names?: Partial<NameSettings>;
  /** What other loops have learnt. */
  readonly learntElsewhere?: readonly SharedArrayBuffer[];
}

/** What a loop has (dataplane/messages.ts), without what no test looks at, and not for a million rules. */
function makeMemory(maxFlows: number) {
  return {
    flowsByPort: new SharedArrayBuffer(4 * PORTS_MAX),
    events: new SharedArrayBuffer(eventRingBytes()),
    capture: new SharedArrayBuffer(captureRingBytes()),
    ruleHits: new SharedArrayBuffer(ruleHitBytes(RULES)),
    accounts4: new SharedArrayBuffer(accountBytes(maxFlows)),
    accounts6: new SharedArrayBuffer(accountBytes(maxFlows)),
    names: new SharedArrayBuffer(learntBytes()),
  };
}

export class Rig {
  readonly engine: Engine;
  readonly kernel: PlainKernel | undefined;
  /** What the control plane would see. */
  readonly events: EventReader;
  readonly ring: EventRing;
  readonly capture: CaptureReader;
  readonly ruleHits: RuleHits;
  readonly accounts4: FlowAccounts;
  readonly accounts6: FlowAccounts;
  readonly names: Names;
  /** What this loop has learnt. */
  readonly learntMemory: SharedArrayBuffer;
  private readonly gauges = new Float64Array(GAUGE_COUNT);
  /** Of the packet last sent. */
  nowMs = 0;
  policy: CompiledPolicy;
  special: SpecialAddresses;
  readonly ruleNumbers = new RuleNumbers();
  /** By port; tests write it. */
  readonly maxFlowsByPort = new Int32Array(64);
  readonly flows4: FlowTable;
  readonly flows6: FlowTable;
  readonly flowsByPort: Int32Array;
  readonly timeoutsMs: Int32Array;
  private readonly portNames: string[];
  readonly model: PolicyModel;
  private current: PolicyModel;
  private readonly untrackedPast = new UntrackedPast(() => this.nowMs / 1000);

  constructor(text: ModelText, options: RigOptions = {}) {
    const {
      maxFlows = 1000,
      acceptsMidstream = true,
      checksWindow = true,
      maxHalfOpen = maxFlows,
      passes = {},
      hasUplink = true,
      platform = [],
      uplinkAddresses = [],
      allowsClassE = false,
      timeouts = {},
      others = [],
      fence = createOpenFence(),
      isOffloaded = false,
      names = {},
      learntElsewhere = [],
    } = options;
    const built = model(text);
    this.model = built;
    this.current = built;
    const ports = new Map([...built.interfaces.keys()].map((id, i) => [id, i + 1]));
    const table = (family: FlowFamily): FlowTable => {
      const layout = { capacity: maxFlows, family };
      return new FlowTable(layout, RIG_KEY, new SharedArrayBuffer(flowTableBytes(layout)));
    };
    this.flows4 = table(4);
    this.flows6 = table(6);
    this.portNames = ['uplink', ...Object.keys(text.interfaces)];
    const timeoutsMs = new Int32Array(this.portNames.length * STATE_COUNT);
    this.timeoutsMs = timeoutsMs;
    for (const [id, port] of ports) {
      const idle = { tcpEstablishedSec: 432000, udpSec: 30, udpStreamSec: 180 };
      setTimeouts(timeoutsMs, port, { ...idle, ...timeouts[built.interfaces.get(id)!.name] });
    }
    this.special = specialAddresses(platform, { uplink: uplinkAddresses, allowsClassE });
    this.policy = compilePolicy({
      model: built,
      ports,
      ruleNumbers: this.ruleNumbers,
      special: this.special,
      generation: 1,
    });
    const memory = makeMemory(maxFlows);
    this.flowsByPort = new Int32Array(memory.flowsByPort);
    this.events = new EventReader(memory.events);
    this.ring = new EventRing(memory.events);
    this.capture = new CaptureReader(memory.capture);
    this.ruleHits = new RuleHits(memory.ruleHits);
    this.accounts4 = new FlowAccounts(memory.accounts4);
    this.accounts6 = new FlowAccounts(memory.accounts6);
    this.engine = new Engine({
      policy: this.policy,
      conntrack: {
        flows4: this.flows4,
        flows6: this.flows6,
        flowsByPort: this.flowsByPort,
        others,
        fragments: new FragmentTable(RIG_KEY),
        timeoutsMs,
        settings: {
          maxFlows,
          maxHalfOpen,
          passes: {
            tableFull: false,
            invalid: false,
            fragment: false,
            eventsFull: true,
            ...passes,
          },
          acceptsMidstream,
          checksWindow,
        },
        events: this.ring,
        fence,
        ruleHits: this.ruleHits,
        accounts4: memory.accounts4,
        accounts6: memory.accounts6,
        maxFlowsByPort: this.maxFlowsByPort,
      },
      capture: new CaptureRing(memory.capture),
      counters: new Float64Array(counterBytes(this.portNames.length) / 8),
      hasUplink,
    });
    this.kernel = isOffloaded
      ? new PlainKernel(this.engine, { events: this.ring, timeoutsMs, generation: 1 })
      : undefined;
    this.learntMemory = memory.names;
    this.names = new Names({
      settings: { ...NAME_SETTINGS, ...names },
      key: RIG_KEY,
      memory: memory.names,
      others: learntElsewhere,
      ports: this.portNames.length,
      gauges: this.gauges,
    });
    this.setNames();
  }

  private setNames(): void {
    this.names.setPolicy(this.policy);
    this.engine.gates.rules.names = this.names.isWanted ? this.names : null;
  }

  /** `learnt 2, unasked 1`: what became of answers. */
  get outcomes(): string {
    const told = NAME_OUTCOMES.map(([name], i) => [name, this.gauges[GAUGE_NAME_OUTCOMES + i]]);
    return told.flatMap(([name, count]) => (count === 0 ? [] : [`${name} ${count}`])).join(', ');
  }

  /** Puts another policy in force, as a reload does; interfaces keep the ports they have by name. */
  change(text: ModelText, platform?: readonly string[]): void {
    const built = model(text);
    const ports = new Map(
      Object.keys(text.interfaces).map((name) => [`eni-${name}`, this.portNames.indexOf(name)]),
    );
    if (platform !== undefined) this.special = specialAddresses(platform);
    const { ruleNumbers, untrackedPast } = this;
    untrackedPast.note(this.current);
    this.current = built;
    const generation = this.policy.generation + 1;
    this.policy = compilePolicy({
      model: built,
      ports,
      ruleNumbers,
      special: this.special,
      generation,
      past: untrackedPast,
    });
    this.engine.setPolicy(this.policy);
    this.setNames();
  }

  portOf(name: string): number {
    return this.portNames.indexOf(name);
  }

  /** Number of a rule of the first policy: the one so many-th of its group and direction. */
  ruleNumber(group: string, direction: 'ingress' | 'egress', index: number): number {
    const found = [...this.model.groups.values()].find(({ name }) => name === group)!;
    return this.ruleNumbers.numberOf(found[direction][index]);
  }

  /** Sends a packet in by the port of that name; returns the port it leaves by, or the drop reason. */
  send(from: string, packet: Uint8Array, atMs = 0, packets = 1): string {
    const port = this.portNames.indexOf(from);
    if (port < 0) throw new Error(`no port ${from}`);
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    const nowMs = Math.floor(atMs);
    this.nowMs = nowMs;
    const sec = Math.floor(atMs / 1000);
    this.engine.beginRound(nowMs, sec, Math.round(1000 * (atMs - 1000 * sec)));
    const judge = this.kernel ?? this.engine;
    const to = judge.evaluate(view, 0, packet.byteLength, port, packets, nowMs);
    // As engine/batch.ts does.
    if (to >= 0)
      this.engine.gates.rules.names?.see(view, this.engine.packet, port, to, packets, nowMs);
    return to >= 0 ? this.portNames[to] : REASONS[-to][0];
  }

  /** States of the flows tracked, sorted: each gate has its own. */
  get states(): string[] {
    return [this.flows4, this.flows6]
      .flatMap((table) => {
        const found: string[] = [];
        for (let i = 0; i < table.highWater; i++) {
          const entry = table.nextToSweep();
          if (entry !== NO_FLOW) found.push(TOLD_STATES[toldState(stateWordOf(table, entry))]);
        }
        return found;
      })
      .sort();
  }

  /** `web egress: 3 passed, 1 dropped (source-check 1)` for the rows that counted anything. */
  get counts(): string[] {
    const { counters } = this.engine;
    return this.portNames.flatMap((name, port) =>
      ['ingress', 'egress'].flatMap((direction, d) => {
        const row = counterRow(port, d);
        const passed = counters[row + PASSED_PACKETS];
        const dropped = counters[row + DROPPED_PACKETS];
        const reasons: string[] = [];
        for (let reason = 0; reason < REASON_COUNT; reason++) {
          const n = counters[row + DROPPED_BY_REASON + reason];
          if (n > 0) reasons.push(`${REASONS[reason][0]} ${n}`);
        }
        if (passed === 0 && dropped === 0 && reasons.length === 0) return [];
        const why = reasons.length === 0 ? '' : ` (${reasons.join(', ')})`;
        return [`${name} ${direction}: ${passed} passed, ${dropped} dropped${why}`];
      }),
    );
  }
}
