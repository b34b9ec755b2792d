/**
 * Plays a scenario on an engine: sends its packets at their times, and holds verdicts and states against it.
 *
 * A state that a line does not mention must be what it was: so every line says what the packet changed, and
 * a packet that was to change nothing can't do so unseen.
 */
import { REASONS } from '../../src/engine/reasons.ts';
import { Rig } from '../engine/rig.ts';
import type { ModelText } from '../support/policy.ts';
import { countFlows, isStateName, keyOf, NO_STATE, stateAt, sweepAll } from './gate-view.ts';
import { buildPacket, Sequences, type BuiltPacket, type FlowName } from './packet-words.ts';
import {
  ScenarioError,
  type ChangeStep,
  type Expectation,
  type PacketStep,
  type Scenario,
  type Setup,
} from './scenario.ts';
import { readGroup, readModel, readOption, readOptions, type FailAt } from './setup.ts';

/** Of hosts that are inside. */
const OPEN_GROUP = 'open-hosts';

/**
 * @param isOffloaded whether the twin of the kernel's programs (test/offload/) forwards what it can
 * @returns how many packets it has forwarded
 * @throws ScenarioError for a scenario that makes no sense, or that does not hold
 */
export function playScenario(file: string, scenario: Scenario, isOffloaded = false): number {
  const player = new Player(file, scenario, { isOffloaded, hostsAreInside: false });
  player.play();
  return player.forwarded;
}

/**
 * Plays the packets of a scenario with its hosts behind open interfaces, for only flows between interfaces are
 * forwarded in the kernel. What the scenario expects is not for that.
 * @returns what became of each packet and, behind each line, the states of all flows
 */
export function recordScenario(
  file: string,
  scenario: Scenario,
  isOffloaded: boolean,
): { readonly lines: readonly string[]; readonly forwarded: number } {
  const player = new Player(file, scenario, { isOffloaded, hostsAreInside: true });
  return { lines: player.record(), forwarded: player.forwarded };
}

/**
 * The packets of a scenario that holds.
 * @throws ScenarioError as playScenario does
 */
export function packetsOf(file: string, scenario: Scenario): readonly SentPacket[] {
  const player = new Player(file, scenario, { isOffloaded: false, hostsAreInside: false });
  player.play();
  return player.sent;
}

export interface SentPacket {
  readonly step: PacketStep;
  readonly bytes: Uint8Array;
}

interface Way {
  readonly isOffloaded: boolean;
  readonly hostsAreInside: boolean;
}

/** A gate that has to do with a packet. */
interface Gate {
  readonly name: string;
  readonly port: number;
  /** Whether the packet's source is the local side there. */
  readonly isSource: boolean;
}

class Player {
  readonly sent: SentPacket[] = [];
  private readonly scenario: Scenario;
  private readonly rig: Rig;
  private model: ModelText;
  private readonly names: readonly string[];
  /** The interfaces: the instances, and hosts that are inside. */
  private readonly inside: readonly string[];
  private readonly clockMs: number;
  private readonly sequences = new Sequences();
  private readonly last = new Map<string, BuiltPacket>();
  /** What was last known, by the key of a flow. */
  private readonly known = new Map<string, string>();
  private readonly failAt: FailAt;

  constructor(file: string, scenario: Scenario, { isOffloaded, hostsAreInside }: Way) {
    this.scenario = scenario;
    this.failAt = (line, message) => {
      throw new ScenarioError(file, line, message);
    };
    const { setup } = scenario;
    this.names = [...setup.instances.keys()];
    const model = readModel(setup, this.failAt);
    this.model = hostsAreInside ? withHosts(model, setup) : model;
    this.inside = Object.keys(this.model.interfaces);
    this.rig = new Rig(this.model, { ...readOptions(setup, this.failAt), isOffloaded });
    for (const instance of setup.instances.values())
      this.rig.maxFlowsByPort[this.portOf(instance.name)] = readOption(instance, 'flows') ?? 0;
    this.clockMs = Number(setup.settings.get('clock-ms')?.words[0] ?? 0);
  }

  get forwarded(): number {
    return this.rig.kernel?.forwarded ?? 0;
  }

  /** As recordScenario. */
  record(): string[] {
    return this.scenario.steps.flatMap((step) => {
      if (step.kind === 'change') {
        this.playChange(step);
        return [];
      }
      const lines = this.expand(step).map((one) => {
        const { bytes } = this.build(one);
        return `${one.text}: ${this.send(one, bytes)}`;
      });
      return [...lines, `states: ${this.rig.states.join(', ')}`];
    });
  }

  play(): void {
    for (const step of this.scenario.steps) {
      if (step.kind === 'packet') this.playPackets(step);
      else this.playChange(step);
    }
  }

  private playChange(step: ChangeStep): void {
    if (!this.names.includes(step.instance))
      this.failAt(step.line, `there is no instance ${step.instance}`);
    const group = readGroup(step.rules, this.scenario.setup, step.line, this.failAt);
    this.model = { ...this.model, groups: { ...this.model.groups, [step.instance]: group } };
    this.rig.change(this.model);
  }

  /** A line with a range stands for one packet for each of its numbers; states are those after the last. */
  private playPackets(step: PacketStep): void {
    const steps = this.expand(step);
    for (const [i, one] of steps.entries()) {
      const flow = this.playPacket(one);
      if (i === steps.length - 1) this.checkStates(one, flow);
    }
  }

  private expand(step: PacketStep): PacketStep[] {
    const line = `${step.as} ${step.words.join(' ')}`;
    const match = /(\d+)\.\.(\d+)(?::(\d+))?/.exec(line);
    if (match === null) return [step];
    const [range, from, to, by = '1'] = match;
    if (Number(to) < Number(from) || Number(by) < 1)
      this.failAt(step.line, `'${range}' is no range`);
    if (line.includes('..', match.index + range.length))
      this.failAt(step.line, 'one range a line is enough');
    const steps: PacketStep[] = [];
    for (let n = Number(from); n <= Number(to); n += Number(by)) {
      const put = (word: string): string => word.replace(range, String(n));
      steps.push({
        ...step,
        as: put(step.as),
        words: step.words.map(put),
        text: `${step.text} (with ${n})`,
      });
    }
    return steps;
  }

  private playPacket(step: PacketStep): FlowName | undefined {
    const { bytes, flow } = this.build(step);
    // A host's own name has to be known, even where it bears another's address.
    if (!this.names.includes(step.from)) this.resolve(step.from, undefined, step.line);
    if (step.verdict !== 'passes' && !REASONS.some(([name]) => name === step.verdict))
      this.failAt(step.line, `'${step.verdict}' is no drop reason`);
    this.sent.push({ step, bytes });
    const came = this.send(step, bytes);
    const receiver = this.names.includes(step.to) ? step.to : 'uplink';
    const expected = step.verdict === 'passes' ? `passes to ${receiver}` : `drops ${step.verdict}`;
    if (came !== expected) this.failAt(step.line, `${step.text}: ${came}, expected: ${expected}`);
    return flow;
  }

  /** @returns `passes to PORT`, or `drops REASON` */
  private send(step: PacketStep, bytes: Uint8Array): string {
    const from = this.inside.includes(step.from) ? step.from : 'uplink';
    const nowMs = (this.clockMs + step.atMs) | 0;
    const got = this.rig.send(from, Uint8Array.from(bytes), nowMs);
    sweepAll(this.rig, nowMs);
    const isPort = got === 'uplink' || this.inside.includes(got);
    if (isPort) this.sequences.commit();
    else this.sequences.forget();
    return isPort ? `passes to ${got}` : `drops ${got}`;
  }

  private checkStates(step: PacketStep, flow: FlowName | undefined): void {
    const gates = flow === undefined ? [] : this.gatesOf(step, flow);
    for (const expectation of step.expects) this.checkExpectation(step, gates, expectation);
    if (flow === undefined) return;
    for (const gate of gates) {
      const key = keyOf(gate.port, flow, gate.isSource).join(' ');
      const before = this.known.get(key) ?? NO_STATE;
      const state = stateAt(this.rig, gate.port, flow, gate.isSource);
      this.known.set(key, state);
      const isMentioned = step.expects.some(
        (one) => one.kind === 'state' && (one.gate === undefined || one.gate === gate.name),
      );
      if (state !== before && !isMentioned)
        this.failAt(
          step.line,
          `${step.text}: at ${gate.name} the flow went from ${before} to ${state}, expected: no change`,
        );
    }
  }

  private checkExpectation(step: PacketStep, gates: readonly Gate[], expected: Expectation): void {
    if (expected.gate !== undefined && this.portOf(expected.gate) < 1)
      this.failAt(step.line, `there is no gate at ${expected.gate}`);
    if (expected.kind === 'count') {
      const flows = countFlows(this.rig, this.portOf(expected.gate));
      if (flows !== expected.flows)
        this.failAt(
          step.line,
          `${step.text}: ${expected.gate} has ${flows} flows, expected: ${expected.flows}`,
        );
      return;
    }
    if (!isStateName(expected.state)) this.failAt(step.line, `'${expected.state}' is no state`);
    const asked = gates.filter(({ name }) => [undefined, name].includes(expected.gate));
    if (asked.length === 0) this.failAt(step.line, 'such a packet has no flow there');
    const { flow } = this.last.get(step.from)!;
    for (const { name, port, isSource } of asked) {
      const state = stateAt(this.rig, port, flow!, isSource);
      if (state !== expected.state)
        this.failAt(
          step.line,
          `${step.text}: at ${name} the flow is ${state}, expected: ${expected.state}`,
        );
    }
  }

  /** The sender's, the receiver's, and that of whoever owns the source address. */
  private gatesOf(step: PacketStep, flow: FlowName): Gate[] {
    const { instances } = this.scenario.setup;
    return this.names.flatMap((name, i) => {
      const owns = (address: string): boolean => instances.get(name)!.addresses.includes(address);
      const isSource = name === step.from || owns(flow.src);
      return isSource || owns(flow.dst) ? [{ name, port: i + 1, isSource }] : [];
    });
  }

  private build(step: PacketStep): BuiltPacket {
    if (step.words.join(' ') === 'again') {
      const last = this.last.get(step.from);
      return last ?? this.failAt(step.line, `${step.from} has sent nothing yet`);
    }
    try {
      const packet = buildPacket(
        step.words,
        step.as,
        step.to,
        (name, family) => this.resolve(name, family, step.line),
        this.sequences,
      );
      this.last.set(step.from, packet);
      return packet;
    } catch (error) {
      if (error instanceof ScenarioError) throw error;
      return this.failAt(step.line, (error as Error).message);
    }
  }

  /** The address of an instance or a host, or the address that is written there. */
  private resolve(name: string, family: 4 | 6 | undefined, line: number): string {
    const { instances, hosts } = this.scenario.setup;
    const addresses =
      instances.get(name)?.addresses ?? hosts.get(name)?.words ?? (/[.:]/.test(name) ? [name] : []);
    const found = addresses.find(
      (one) => family === undefined || one.includes(':') === (family === 6),
    );
    if (found !== undefined) return found;
    const what = family === undefined ? 'address' : `IPv${family} address`;
    return this.failAt(line, `${name} has no ${what}`);
  }

  private portOf(name: string): number {
    return this.names.indexOf(name) + 1;
  }
}

/** The model with an interface for each host, which tracks all and refuses nothing. */
function withHosts(model: ModelText, { hosts }: Setup): ModelText {
  const open = { ingress: ['all from 0.0.0.0/0', 'all from ::/0'] };
  const interfaces = Object.fromEntries(
    [...hosts].map(([name, { words }]): [string, ModelText['interfaces'][string]] => [
      name,
      { addresses: words, groups: [OPEN_GROUP], sourceDestCheck: false, alwaysTracked: true },
    ]),
  );
  return {
    ...model,
    groups: { ...model.groups, [OPEN_GROUP]: open },
    interfaces: { ...model.interfaces, ...interfaces },
  };
}
