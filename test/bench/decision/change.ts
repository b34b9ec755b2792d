/**
 * What a change of policy costs: one rule of 10,000, and one member of a group of 10,000.
 *
 * The control plane compares, compiles and hands over, as Daemon.reload does between two good configurations;
 * reading and checking the file is told apart, since it holds nothing up. The packet loop takes the message,
 * swaps, and then holds flows against the new policy, a bounded number a round: the longest of these pauses is
 * what packets wait.
 */
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { compareConfigs } from '../../../src/daemon/changes.ts';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load-config.ts';
import { PolicyCompiler } from '../../../src/policy/compile.ts';
import { restorePolicy, type CompiledPolicy } from '../../../src/policy/compiled.ts';
import { RuleNumbers } from '../../../src/policy/rule-numbers.ts';
import { formatProblem } from '../../../src/source/problem.ts';
import { udp4 } from '../../packets/build.ts';
import { Bed, makeFlows, shuffled, word } from './bed.ts';
import type { Case } from './case.ts';

const COUNT = 10_000;
const ADDRESSES_PER_INTERFACE = 10;
/** As many entries as the loop holds against a new policy in a round (dataplane/loop.ts). */
const RECHECK_ENTRIES = 512;
const FLOWS = 20_000;

/** 10,000 rules on an interface; the changed one has another port in each version. */
function rulesText(version: number): string {
  const rules = Array.from({ length: COUNT }, (_, i) => {
    const port = i === COUNT >> 1 ? 61_000 + version : 1000 + (i % 50_000);
    return `      - { protocol: udp, ports: ${port}, from: 172.16.${i >>> 8}.${i & 255}/32 }`;
  });
  return `
securityGroups:
  app:
    ingress:
${rules.join('\n')}
interfaces:
  app: { device: { name: app }, addresses: [10.0.0.12], securityGroups: [app] }
`;
}

/** 10,000 members; one of them is one, or not. */
function membersText(version: number): string {
  const interfaces = Array.from({ length: COUNT / ADDRESSES_PER_INTERFACE }, (_, i) => {
    const addresses = Array.from({ length: ADDRESSES_PER_INTERFACE }, (_, j) => {
      const n = i * ADDRESSES_PER_INTERFACE + j;
      return `10.1.${n >>> 8}.${n & 255}`;
    });
    // Always one of the addresses of the changed interface is somebody else's.
    if (i === 500) addresses.splice(version % ADDRESSES_PER_INTERFACE, 1);
    return `  web${i}: { device: { name: web${i} }, addresses: [${addresses.join(', ')}], securityGroups: [web] }`;
  });
  return `
securityGroups:
  web: {}
  app: { ingress: [{ protocol: udp, ports: 53, from: "sg:web" }] }
interfaces:
  app: { device: { name: app }, addresses: [10.0.0.12], securityGroups: [app] }
${interfaces.join('\n')}
`;
}

function load(file: string, text: string): Config {
  writeFileSync(file, text);
  const { config, problems } = loadConfig(file, { netnsDirectory: '/run/netns' });
  if (config === undefined)
    throw new Error(
      problems
        .slice(0, 3)
        .map((problem) => formatProblem(problem))
        .join('\n'),
    );
  return config;
}

/** The two sides of a change, with what each keeps from one to the next. */
class Change {
  private readonly ruleNumbers = new RuleNumbers();
  private readonly compiler = new PolicyCompiler();
  private readonly channel = new MessageChannel();
  private readonly bed: Bed;
  private current: Config;
  private generation = 1;

  constructor(config: Config) {
    this.current = config;
    this.compile(config);
    this.bed = new Bed(
      {
        groups: { app: {} },
        interfaces: { app: { addresses: ['10.0.0.12'], groups: ['app'], alwaysTracked: true } },
      },
      2 * FLOWS,
    );
    this.bed.setPacket(udp4('10.0.0.12', '198.51.100.7', { srcPort: 1, dstPort: 53 }));
    const flows = makeFlows(FLOWS, (i) => [
      word(10, 0, 0, 12),
      word(198, 51, 100, 7),
      (i << 16) | 53,
    ]);
    this.bed.send(flows, shuffled(FLOWS), 0, FLOWS, 1);
  }

  /** @returns ms of work before packets notice */
  control(next: Config): number {
    const begin = performance.now();
    compareConfigs(this.current, next);
    this.channel.port1.postMessage({ policy: this.compile(next) });
    const ms = performance.now() - begin;
    this.current = next;
    return ms;
  }

  /** @returns ms of the longest pause */
  stall(): number {
    const { bed } = this;
    let begin = performance.now();
    const received = receiveMessageOnPort(this.channel.port2) as {
      message: { policy: CompiledPolicy };
    };
    const policy = restorePolicy(received.message.policy);
    bed.engine.setPolicy(policy);
    bed.link.setPolicy(policy);
    let longest = performance.now() - begin;
    for (let more = true; more;) {
      begin = performance.now();
      more = bed.engine.gates.recheckFlows(RECHECK_ENTRIES, bed.nowMs);
      longest = Math.max(longest, performance.now() - begin);
    }
    return longest;
  }

  close(): void {
    this.channel.port1.close();
  }

  private compile(config: Config): CompiledPolicy {
    return this.compiler.compile({
      model: config.model,
      ports: new Map(config.interfaces.map(({ id }, i) => [id, i + 1])),
      ruleNumbers: this.ruleNumbers,
      special: config.special,
      generation: this.generation++,
    });
  }
}

const KINDS = [
  { subject: 'one rule', text: rulesText },
  { subject: 'one member', text: membersText },
] as const;

export const changeCase: Case = {
  name: 'change',
  run({ isQuick, rounds, add }) {
    const directory = mkdtempSync(join(tmpdir(), 'sgt-bench-'));
    try {
      for (const { subject, text } of KINDS) {
        const file = join(directory, 'config.yaml');
        const change = new Change(load(file, text(0)));
        // The first changes find nothing compiled.
        const warmUps = isQuick ? 1 : 3;
        for (let round = 1; round <= rounds + warmUps; round++) {
          const begin = performance.now();
          const next = load(file, text(round));
          const reading = performance.now() - begin;
          const control = change.control(next);
          const stall = change.stall();
          if (round <= warmUps) continue;
          add('reading and checking the file', subject, 'ms', reading);
          add('control plane', subject, 'ms', control);
          add('stall', subject, 'ms', stall);
        }
        change.close();
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};
