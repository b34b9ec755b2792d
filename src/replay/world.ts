/**
 * An engine that has no devices: the gates of a configuration, asked about packets of the past on their own clock.
 *
 * Theory of operation. The engine is the daemon's (engine/evaluate.ts), with the settings of the configuration and one
 * loop. Each interface has a port as it would have there. By which port a packet came in, no recording says, so it is
 * that of the interface whose address is the packet's source, and the uplink if there is none. Therefore the checks of
 * the source address never refuse here. There always is an uplink: what was recorded has come and gone somehow.
 *
 * The clock is the recording's. It never goes back; flows time out by it and are swept as the loop does it. The
 * engine's clock is int32 and compares by wrapped differences, so a gap of more than some days would make old flows
 * young again: it is passed in steps, and after two of them no flow is left.
 */
import { FragmentTable } from '../conntrack/fragments.ts';
import { setTimeouts, STATE_COUNT } from '../conntrack/states.ts';
import { FlowTable, flowTableBytes } from '../conntrack/table.ts';
import type { FlowFamily } from '../conntrack/entry.ts';
import type { Config } from '../config/config.ts';
import { gateSettings, idleTimeouts } from '../config/gate-settings.ts';
import { CaptureRing, captureRingBytes } from '../engine/capture-ring.ts';
import { counterBytes, counterRow, DROPPED_PACKETS, EGRESS, INGRESS } from '../engine/counters.ts';
import { Engine } from '../engine/evaluate.ts';
import { eventRingBytes, EventRing } from '../engine/events.ts';
import { createOpenFence } from '../engine/fence.ts';
import { PASS } from '../engine/reasons.ts';
import { ruleHitBytes, RuleHits } from '../engine/rule-hits.ts';
import { portOfDestination, portOfSource } from '../engine/scope.ts';
import type { Network } from '../explain/explanation.ts';
import { networkOf } from '../explain/question.ts';
import { enforced } from '../policy/audit.ts';
import { compilePolicy } from '../policy/compile.ts';
import { PORTS_MAX, UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import { NO_RULE } from '../policy/match.ts';
import type { NetworkInterface } from '../policy/model.ts';
import { RuleNumbers } from '../policy/rule-numbers.ts';
import { isInPlatformBlock } from '../policy/special-addresses.ts';
import { ICMP_REPLY, type Packet } from '../wire/packet.ts';
import { SubnetJudge } from './judge-subnets.ts';

/** No stranger can aim at a table that one run uses. */
const HASH_KEY = { k0: 0x5ec2e7, k1: 0x1dea };
const SWEEP_INTERVAL_MS = 50;
const SWEEP_ENTRIES = 512;
/** The longest idle time-out is five days; revoked flows there are none. */
const STEP_MS = 432_000_000 + 60_000;
const MS_PER_SECOND = 1000;

export class World {
  readonly config: Config;
  /** For explaining. */
  readonly network: Network;
  /** By port; the first, of the uplink, is undefined. */
  readonly interfaces: readonly (NetworkInterface | undefined)[];
  /** Network ACLs and routes; undefined: the input has none. */
  readonly subnets: SubnetJudge | undefined;
  /**
   * Where the packet judged last was dropped, and why: the port of the gate, INGRESS or EGRESS, a drop reason or one of
   * judge-subnets.ts.
   */
  gatePort = UPLINK_PORT;
  direction = INGRESS;
  reason = PASS;
  private readonly engine: Engine;
  private readonly policy: CompiledPolicy;
  /** Ms since 1970 at which the engine's clock was 0; undefined: it has not begun. */
  private originMs: number | undefined;
  /** The engine's clock, not wrapped. */
  private nowMs = 0;
  private sweptMs = 0;

  /**
   * @param remembers whether flows are tracked; without, each packet is judged by the rules alone
   * @throws RangeError for more interfaces than an engine has ports
   */
  constructor(config: Config, remembers: boolean) {
    this.config = config;
    this.network = { ...networkOf(config), hasUplink: true };
    const all = [...config.model.interfaces.values()];
    if (all.length >= PORTS_MAX)
      throw new RangeError(`${all.length} interfaces, and at most ${PORTS_MAX - 1} can be judged`);
    this.interfaces = [undefined, ...all];
    const hasSubnets = all.some(({ subnet }) => subnet !== undefined);
    this.subnets = hasSubnets ? new SubnetJudge(this.interfaces, !remembers) : undefined;
    const ports = new Map(all.map(({ id }, i) => [id, i + 1]));
    this.policy = compilePolicy({
      // Somebody who only audits rules wants to know what they will drop.
      model: enforced(config.model),
      ports,
      ruleNumbers: new RuleNumbers(),
      special: config.special,
      generation: 1,
    });
    this.engine = this.makeEngine(remembers);
  }

  private makeEngine(remembers: boolean): Engine {
    const { config, interfaces, policy } = this;
    const own = gateSettings(config.conntrack, 1);
    const settings = remembers
      ? own
      : { ...own, maxFlows: 0, passes: { ...own.passes, tableFull: true } };
    const count = interfaces.length;
    const timeoutsMs = new Int32Array(count * STATE_COUNT);
    const maxFlowsByPort = new Int32Array(count);
    const limits = new Map(config.interfaces.map(({ id, maxFlows }) => [id, maxFlows ?? 0]));
    for (let port = 1; port < count; port++) {
      const { id, connectionTracking } = interfaces[port]!;
      setTimeouts(timeoutsMs, port, idleTimeouts(connectionTracking));
      maxFlowsByPort[port] = remembers ? (limits.get(id) ?? 0) : 0;
    }
    return new Engine({
      policy,
      conntrack: {
        flows4: makeTable(4, settings.maxFlows),
        flows6: makeTable(6, settings.maxFlows),
        flowsByPort: new Int32Array(count),
        others: [],
        fragments: new FragmentTable(HASH_KEY, count),
        timeoutsMs,
        maxFlowsByPort,
        settings,
        events: new EventRing(new SharedArrayBuffer(eventRingBytes())),
        fence: createOpenFence(),
        ruleHits: new RuleHits(new SharedArrayBuffer(ruleHitBytes())),
        accounts4: null,
        accounts6: null,
      },
      capture: new CaptureRing(new SharedArrayBuffer(captureRingBytes())),
      counters: new Float64Array(counterBytes(count) / Float64Array.BYTES_PER_ELEMENT),
      hasUplink: true,
    });
  }

  /** The port that the packet came in by, and the one that it goes to: those of its addresses, else the uplink. */
  portFrom(packet: Packet): number {
    return portOfSource(this.policy, packet);
  }

  portTo(packet: Packet): number {
    return portOfDestination(this.policy, packet);
  }

  /**
   * Judges the IP packet at `offset`, of `length` bytes.
   * @param from portFrom. @param to portTo
   * @returns whether it passes; if not, gatePort, direction and reason say where and why
   */
  judge(
    view: DataView,
    offset: number,
    length: number,
    from: number,
    to: number,
    timeMs: number,
  ): boolean {
    const { engine } = this;
    this.advance(timeMs);
    const towards = counterRow(to, INGRESS) + DROPPED_PACKETS;
    const before = engine.counters[towards];
    const verdict = engine.evaluate(view, offset, length, from, 1, this.nowMs | 0);
    if (verdict >= 0) return true;
    this.reason = -verdict;
    const isAtReceiver =
      from === UPLINK_PORT || (to !== from && engine.counters[towards] !== before);
    this.gatePort = isAtReceiver ? to : from;
    this.direction = isAtReceiver ? INGRESS : EGRESS;
    return false;
  }

  /**
   * Whether network ACLs and routes let a packet pass that the gates have let pass; if not, gatePort, direction and
   * reason say where and why. The parameters are those of SubnetJudge.passes.
   */
  passesSubnets(packet: Packet, from: number, to: number, opens: boolean): boolean {
    const { subnets } = this;
    if (subnets === undefined || subnets.passes(packet, from, to, opens)) return true;
    this.gatePort = subnets.port;
    this.direction = subnets.direction;
    this.reason = subnets.reason;
    return false;
  }

  /** Whether the rules would have let the other end open the flow that this packet would then be an answer of. */
  admitsReverse(packet: Packet, from: number, to: number): boolean {
    const { src0, src1, src2, src3, dst0, dst1, dst2, dst3 } = packet;
    // What it comes from is what was asked.
    return (
      this.admits(to, EGRESS, packet, src0, src1, src2, src3) &&
      this.admits(from, INGRESS, packet, dst0, dst1, dst2, dst3)
    );
  }

  /** Whether a gate lets the opening pass that the packet would answer. @param a0 first word of the remote address */
  private admits(
    port: number,
    direction: number,
    packet: Packet,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): boolean {
    const { profiles, platformPort } = this.policy;
    if (port === UPLINK_PORT || port === platformPort) return true;
    const { family, protocol, icmpKind, srcPort } = packet;
    // The port of who answers is in a reply of ICMP the type of the query (wire/packet.ts).
    const service = icmpKind === ICMP_REPLY ? srcPort << 8 : srcPort;
    const gate = 2 * profiles[port] + direction;
    const { matcher } = this.engine.gates;
    return matcher.match(gate, family, protocol, service, a0, a1, a2, a3) !== NO_RULE;
  }

  private advance(timeMs: number): void {
    this.originMs ??= timeMs;
    const then = Math.max(this.nowMs, timeMs - this.originMs);
    const { tracker } = this.engine.gates;
    for (let steps = 0; steps < 2 && then - this.nowMs > STEP_MS; steps++) {
      this.nowMs += STEP_MS;
      tracker.sweep(Infinity, this.nowMs | 0);
    }
    this.nowMs = then;
    if (then - this.sweptMs >= SWEEP_INTERVAL_MS) {
      tracker.sweep(SWEEP_ENTRIES, then | 0);
      this.sweptMs = then;
    }
    const seconds = Math.floor(then / MS_PER_SECOND);
    this.engine.beginRound(then | 0, seconds, 0);
  }
}

/** Whether one end is an address of the platform (169.254.0.0/16, fd00:ec2::/32), whose services no group filters. */
export function isUnjudged({ family, src0, dst0 }: Packet): boolean {
  return isInPlatformBlock(family, src0) || isInPlatformBlock(family, dst0);
}

function makeTable(family: FlowFamily, maxFlows: number): FlowTable {
  const layout = { capacity: Math.max(1, maxFlows), family };
  return new FlowTable(layout, HASH_KEY, new SharedArrayBuffer(flowTableBytes(layout)));
}
