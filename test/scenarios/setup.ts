/** The setup lines of a scenario, turned into a policy and the options of an engine. Every word is checked. */
import { parseAddress, parseCidr } from '../../src/addr/address.ts';
import type { IdleTimeouts } from '../../src/conntrack/states.ts';
import type { RigOptions } from '../engine/rig.ts';
import type { ModelText } from '../support/policy.ts';
import type { InstanceLine, Setup } from './scenario.ts';

/** Says that a line is wrong; does not return. */
export type FailAt = (line: number, message: string) => never;

export function readModel(setup: Setup, failAt: FailAt): ModelText {
  const instances = [...setup.instances.values()];
  for (const [, { line, words }] of setup.prefixLists)
    for (const cidr of words) checkCidr(cidr, line, failAt);
  for (const { line, words } of setup.hosts.values())
    for (const address of words) checkAddress(address, line, failAt);
  return {
    groups: Object.fromEntries(
      instances.map(({ name, line, rules }) => [name, readGroup(rules, setup, line, failAt)]),
    ),
    prefixLists: Object.fromEntries(
      [...setup.prefixLists].map(([name, { words }]) => [name, words]),
    ),
    interfaces: Object.fromEntries(
      instances.map(({ name, line, addresses, options }) => {
        for (const address of addresses) checkAddress(address, line, failAt);
        return [
          name,
          {
            addresses,
            groups: [name],
            sourceDestCheck: !options.includes('unchecked'),
            alwaysTracked: options.includes('always-tracked'),
          },
        ];
      }),
    ),
  };
}

/** A group by its rules: `in …`, `out …`, `revocation …`. Without an `out` it has AWS's default, everything out. */
export function readGroup(
  rules: readonly string[],
  setup: Setup,
  line: number,
  failAt: FailAt,
): ModelText['groups'][string] {
  const ingress: string[] = [];
  const egress: string[] = [];
  let hasEgress = false;
  let revocation: 'aws' | 'recheck' | 'cut' | undefined;
  for (const rule of rules) {
    const [word, ...rest] = rule.split(' ');
    const text = rest.join(' ');
    if (word === 'in') ingress.push(...readRule(text, 'from', setup, line, failAt));
    else if (word === 'out') {
      hasEgress = true;
      egress.push(...readRule(text, 'to', setup, line, failAt));
    } else if (word !== 'revocation')
      return failAt(line, `'${rule}' is no rule: in …, out … or revocation …`);
    else if (text === 'aws' || text === 'recheck' || text === 'cut') revocation = text;
    else return failAt(line, `revocation is aws, recheck or cut, not '${text}'`);
  }
  return {
    ingress,
    ...(hasEgress ? { egress } : {}),
    ...(revocation === undefined ? {} : { revocation }),
  };
}

const RULE =
  /^(all|tcp \d+(?:-\d+)?|udp \d+(?:-\d+)?|icmp -?\d+\/-?\d+|icmpv6 -?\d+\/-?\d+|\d+) (from|to) (\S+)$/;

function readRule(
  text: string,
  preposition: 'from' | 'to',
  setup: Setup,
  line: number,
  failAt: FailAt,
): string[] {
  if (text === 'nothing') return [];
  if (text === 'all') return [`all ${preposition} 0.0.0.0/0`, `all ${preposition} ::/0`];
  const match = RULE.exec(text);
  if (match === null || match[2] !== preposition)
    return failAt(
      line,
      `'${text}' is no rule: 'tcp 80-90 ${preposition} CIDR', 'all', 'nothing', …`,
    );
  const peer = match[3];
  if (peer.startsWith('sg:')) {
    if (!setup.instances.has(peer.slice(3))) failAt(line, `there is no instance for ${peer}`);
  } else if (peer.startsWith('pl:')) {
    if (!setup.prefixLists.has(peer.slice(3))) failAt(line, `there is no prefix list for ${peer}`);
  } else checkCidr(peer, line, failAt);
  return [text];
}

function checkCidr(text: string, line: number, failAt: FailAt): void {
  const parsed = parseCidr(text, 'refuse');
  if (!parsed.ok) failAt(line, parsed.message);
}

function checkAddress(text: string, line: number, failAt: FailAt): void {
  const parsed = parseAddress(text);
  if (!parsed.ok) failAt(line, parsed.message);
}

/** What may stand behind `set NAME`. */
const SETTINGS: Readonly<Record<string, RegExp>> = {
  midstream: /^(accept|drop)$/,
  windows: /^(check|ignore)$/,
  flows: /^\d+$/,
  'half-open': /^\d+$/,
  uplink: /^none$/,
  platform: /^[\da-f.:]+(\/(tcp|udp)\/\d+)?( [\da-f.:]+(\/(tcp|udp)\/\d+)?)*$/,
  'uplink-address': /^[\da-f.:]+( [\da-f.:]+)*$/,
  'class-e': /^(accept|drop)$/,
  excuse: /^(table-full|invalid|fragment)( (table-full|invalid|fragment))*$/,
  'clock-ms': /^\d+$/,
};

export function readOptions({ settings, instances }: Setup, failAt: FailAt): RigOptions {
  for (const [name, { line, words }] of settings) {
    if (!(name in SETTINGS))
      failAt(line, `'set ${name}' is none of ${Object.keys(SETTINGS).join(', ')}`);
    if (!SETTINGS[name].test(words.join(' ')))
      failAt(line, `'set ${name}' can't be '${words.join(' ')}'`);
  }
  const first = (name: string): string | undefined => settings.get(name)?.words[0];
  const maxFlows = first('flows');
  const maxHalfOpen = first('half-open');
  const excuses = settings.get('excuse')?.words ?? [];
  return {
    acceptsMidstream: first('midstream') !== 'drop',
    checksWindow: first('windows') !== 'ignore',
    hasUplink: first('uplink') !== 'none',
    platform: settings.get('platform')?.words ?? [],
    uplinkAddresses: settings.get('uplink-address')?.words ?? [],
    allowsClassE: first('class-e') === 'accept',
    passes: {
      tableFull: excuses.includes('table-full'),
      invalid: excuses.includes('invalid'),
      fragment: excuses.includes('fragment'),
    },
    timeouts: Object.fromEntries(
      [...instances.values()].map((one) => [one.name, readTimeouts(one, failAt)]),
    ),
    ...(maxFlows === undefined ? {} : { maxFlows: Number(maxFlows) }),
    ...(maxHalfOpen === undefined ? {} : { maxHalfOpen: Number(maxHalfOpen) }),
  };
}

/** Options of an instance; in parentheses the range that AWS has for a time-out. */
const OPTIONS: Readonly<Record<string, readonly [number, number] | undefined>> = {
  unchecked: undefined,
  'always-tracked': undefined,
  'tcp-idle': [60, 432_000],
  'udp-idle': [30, 60],
  'udp-stream-idle': [60, 180],
  flows: [1, 1_000_000],
};

function readTimeouts(instance: InstanceLine, failAt: FailAt): Partial<IdleTimeouts> {
  for (const option of instance.options) checkOption(option, instance.line, failAt);
  const tcpEstablishedSec = readOption(instance, 'tcp-idle');
  const udpSec = readOption(instance, 'udp-idle');
  const udpStreamSec = readOption(instance, 'udp-stream-idle');
  return {
    ...(tcpEstablishedSec === undefined ? {} : { tcpEstablishedSec }),
    ...(udpSec === undefined ? {} : { udpSec }),
    ...(udpStreamSec === undefined ? {} : { udpStreamSec }),
  };
}

function checkOption(option: string, line: number, failAt: FailAt): void {
  const [name, value] = option.split('=') as [string, string | undefined];
  if (!(name in OPTIONS)) failAt(line, `'${option}' is none of ${Object.keys(OPTIONS).join(', ')}`);
  const range = OPTIONS[name];
  if (range === undefined) {
    if (value !== undefined) failAt(line, `'${name}' takes no value`);
    return;
  }
  const number = /^\d+$/.test(value ?? '') ? Number(value) : NaN;
  if (!(number >= range[0] && number <= range[1]))
    failAt(line, `'${name}' takes a number from ${range[0]} to ${range[1]}, not '${value ?? ''}'`);
}

/** The number behind `NAME=`. */
export function readOption(instance: InstanceLine, name: string): number | undefined {
  const found = instance.options.find((option) => option.startsWith(`${name}=`));
  return found === undefined ? undefined : Number(found.slice(name.length + 1));
}
