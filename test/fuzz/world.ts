/** What the fuzzer sends packets through: three interfaces and an uplink, with real rules, and the twin of it. */
import { FragmentTable } from '../../src/conntrack/fragments.ts';
import { setTimeouts, STATE_COUNT } from '../../src/conntrack/states.ts';
import { type FlowFamily, NO_FLOW } from '../../src/conntrack/entry.ts';
import { FlowTable, flowTableBytes } from '../../src/conntrack/table.ts';
import { counterBytes } from '../../src/engine/counters.ts';
import { createOpenFence } from '../../src/engine/fence.ts';
import { Engine } from '../../src/engine/evaluate.ts';
import { CaptureReader, CaptureRing } from '../../src/engine/capture-ring.ts';
import {
  eventRingBytes,
  EventReader,
  EventRing,
  EVENTS_MAX,
  WANT_CAPTURE,
  WANT_DROPS,
  WANT_FLOWS,
  WANT_PASSES,
  WANT_UNTRACKED,
} from '../../src/engine/events.ts';
import type { ExceptionPasses } from '../../src/engine/exception-passes.ts';
import { RuleHits } from '../../src/engine/rule-hits.ts';
import { makeLoopMemory } from '../../src/dataplane/messages.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import type { CompiledPolicy } from '../../src/policy/compiled.ts';
import type { PolicyModel } from '../../src/policy/model.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { noPast } from '../../src/policy/untracked-past.ts';
import { Packet } from '../../src/wire/packet.ts';
import { PlainKernel } from '../offload/plain-kernel.ts';
import { model, mustAddress, specialAddresses } from '../support/policy.ts';
import { PLATFORM, PLATFORM6, POLICIES, ROUTER } from './policies.ts';
import { plainAddress } from './twin-rules.ts';
import { Twin } from './twin.ts';

export const PORT_NAMES = ['uplink', 'web', 'app', 'db'] as const;
export type PortName = (typeof PORT_NAMES)[number];

export interface WorldOptions {
  /** Index into POLICIES. */
  readonly world: number;
  readonly maxFlows: number;
  readonly maxHalfOpen: number;
  /** How many flows each interface may have; 0: as many as there are. */
  readonly maxFlowsOfPort: number;
  /** Datagrams in fragments that may be under way. */
  readonly datagrams: number;
  readonly acceptsMidstream: boolean;
  readonly checksWindow: boolean;
  readonly hasUplink: boolean;
  /** conntrack.exceptions. */
  readonly passes: ExceptionPasses;
  /** Whether anybody wants to be told of packets and flows, and whether there is room to tell. */
  readonly events: 'unwanted' | 'wanted' | 'full';
  /** Secret of the hash: other values, other collisions. */
  readonly secret: number;
  /** What the clock shows when the first packet comes. */
  readonly startMs: number;
  /** Whether the twin of the kernel's programs forwards what it can. The engine's twin knows nothing of it. */
  readonly isOffloaded: boolean;
}

/** Where nothing runs out, with the defaults of the documentation. */
export const ROOMY: WorldOptions = {
  world: 0,
  maxFlows: 1024,
  maxHalfOpen: 1024,
  maxFlowsOfPort: 0,
  datagrams: 256,
  acceptsMidstream: true,
  checksWindow: true,
  hasUplink: true,
  passes: { tableFull: false, invalid: false, fragment: false, eventsFull: false },
  events: 'unwanted',
  secret: 1,
  startMs: 0,
  isOffloaded: false,
};

interface World {
  readonly models: readonly PolicyModel[];
  readonly policies: readonly CompiledPolicy[];
}

/** Services at addresses of the platform; class E addresses are taken in every other world. */
const SERVICES = [`${PLATFORM}/tcp/80`, `${PLATFORM}/udp/53`, `${PLATFORM6}/tcp/80`];
const UPLINK_ADDRESSES = [ROUTER];
const SPECIAL = POLICIES.map((_, world) =>
  specialAddresses(SERVICES, { uplink: UPLINK_ADDRESSES, allowsClassE: world % 2 === 1 }),
);
const WORLDS: readonly World[] = POLICIES.map((texts, world) => {
  const models = texts.map(model);
  const ports = new Map([...models[0].interfaces.keys()].map((id, i) => [id, i + 1]));
  const ruleNumbers = new RuleNumbers();
  const compileAll = (): CompiledPolicy[] =>
    models.map((one) =>
      compilePolicy({
        model: one,
        ports,
        ruleNumbers,
        special: SPECIAL[world],
        generation: 1,
      }),
    );
  // Twice: a reload compiles anew, so that each policy knows the rules of those before it.
  compileAll();
  return { models, policies: compileAll() };
});

const timeoutsMs = new Int32Array(PORT_NAMES.length * STATE_COUNT);
for (let port = 1; port < PORT_NAMES.length; port++)
  setTimeouts(timeoutsMs, port, { tcpEstablishedSec: 432_000, udpSec: 30, udpStreamSec: 180 });

/** Policies of a world, the one it begins with included. */
export function countPolicies(world: number): number {
  return WORLDS[world].policies.length;
}

/** A policy of a world, as the reload number `generation` brings it, behind others that left `past` untracked. */
export function policyOf(
  world: number,
  policy: number,
  generation: number,
  past = noPast(PORT_NAMES.length),
): CompiledPolicy {
  return { ...WORLDS[world].policies[policy], ...past, generation };
}

/** The ports of a world's interfaces, by their ids. */
export function portsOf(world: number): ReadonlyMap<string, number> {
  return new Map([...WORLDS[world].models[0].interfaces.keys()].map((id, i) => [id, i + 1]));
}

export function modelOf(world: number, policy: number): PolicyModel {
  return WORLDS[world].models[policy];
}

/** Rings that engines write to, one after the other, and one ring that stays full. */
const memory = makeLoopMemory({ maxFlows: 1, accounting: false });
const fullEvents = new SharedArrayBuffer(eventRingBytes());
const filler = new EventRing(fullEvents);
for (let i = 0; i < EVENTS_MAX; i++)
  filler.tellPacket(0, 0, new Packet(), false, 0, 0, 0, NO_FLOW, 0, 0);
const EVERYTHING = WANT_DROPS | WANT_FLOWS | WANT_UNTRACKED | WANT_PASSES | WANT_CAPTURE;

/** Empties the rings, and wants what the world wants. */
function startRings(events: WorldOptions['events']): EventRing {
  if (events === 'full') return new EventRing(fullEvents);
  const reader = new EventReader(memory.events);
  reader.drain(() => undefined, EVENTS_MAX);
  reader.want(events === 'wanted' ? EVERYTHING : 0);
  new CaptureReader(memory.capture).drain(() => undefined, Infinity);
  return new EventRing(memory.events);
}

/** An engine with nothing in its tables. */
export function makeEngine(options: WorldOptions): Engine {
  const key = { k0: options.secret | 0, k1: ~options.secret };
  const table = (family: FlowFamily): FlowTable => {
    const layout = { capacity: options.maxFlows, family };
    return new FlowTable(layout, key, new SharedArrayBuffer(flowTableBytes(layout)));
  };
  return new Engine({
    policy: policyOf(options.world, 0, 1),
    conntrack: {
      flows4: table(4),
      flows6: table(6),
      flowsByPort: new Int32Array(PORT_NAMES.length),
      others: [],
      fragments: new FragmentTable(key, PORT_NAMES.length, options.datagrams),
      timeoutsMs,
      settings: options,
      maxFlowsByPort: new Int32Array(PORT_NAMES.length).fill(options.maxFlowsOfPort),
      events: startRings(options.events),
      fence: createOpenFence(),
      ruleHits: new RuleHits(memory.ruleHits),
      accounts4: null,
      accounts6: null,
    },
    capture: new CaptureRing(memory.capture),
    counters: new Float64Array(counterBytes(PORT_NAMES.length) / 8),
    hasUplink: options.hasUplink,
  });
}

/** The fast path of an engine that was just made. */
export function makeKernel(engine: Engine, takesPart = (_port: number) => true): PlainKernel {
  const events = Reflect.get(engine, 'events') as EventRing;
  return new PlainKernel(engine, { events, timeoutsMs, generation: 1, takesPart });
}

export function makeTwin(options: WorldOptions): Twin {
  return new Twin(modelOf(options.world, 0), {
    ...options,
    isEventRingFull: options.events === 'full',
    reserved: [PLATFORM, PLATFORM6, ...UPLINK_ADDRESSES].map(mustAddress).map(plainAddress),
    uplink: UPLINK_ADDRESSES.map(mustAddress).map(plainAddress),
    exempt: SPECIAL[options.world].exempt.map(
      ({ address, protocol, port }) => `${plainAddress(address)} ${protocol} ${port}`,
    ),
    allowsClassE: SPECIAL[options.world].allowsClassE,
  });
}

/** How long a flow of an engine's table may be idle, by port and state. */
export function idleMs(port: number, state: number): number {
  return timeoutsMs[port * STATE_COUNT + state];
}
