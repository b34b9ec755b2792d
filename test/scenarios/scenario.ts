/**
 * Scenario files: who sends what, when, and what must become of it. Read line by line into plain data.
 *
 *   instance web 10.0.0.11: in tcp 80 from 0.0.0.0/0; out nothing
 *   host client 198.51.100.7
 *
 *   scenario A SYN that nobody answers is forgotten after 60 s
 *     0       client > web  tcp 40000>80 S    passes (syn-sent)
 *     +60.001 web > client  tcp 80>40000 SA   drops egress-rules (none)
 *
 * Every word is explained in README.md. What the words of a setup and of a packet mean is left to setup.ts
 * and packet-words.ts; here is only the form of a line.
 */

/** A setup line's words, and where they stand. */
export interface SetupLine {
  readonly line: number;
  readonly words: readonly string[];
}

export interface InstanceLine {
  readonly line: number;
  readonly name: string;
  readonly addresses: readonly string[];
  /** `unchecked`, `always-tracked`, `tcp-idle=350`, … */
  readonly options: readonly string[];
  /** `in tcp 80 from 0.0.0.0/0`, `out nothing`, `revocation cut`. */
  readonly rules: readonly string[];
}

export interface Setup {
  readonly instances: ReadonlyMap<string, InstanceLine>;
  /** Addresses of hosts, CIDRs of prefix lists, words behind `set NAME`. */
  readonly hosts: ReadonlyMap<string, SetupLine>;
  readonly prefixLists: ReadonlyMap<string, SetupLine>;
  readonly settings: ReadonlyMap<string, SetupLine>;
}

export interface PacketStep {
  readonly kind: 'packet';
  readonly line: number;
  readonly atMs: number;
  /** The line without time and expectations, for messages. */
  readonly text: string;
  readonly from: string;
  /** Whose address the packet bears as its source. */
  readonly as: string;
  readonly to: string;
  readonly words: readonly string[];
  /** `passes`, or the drop reason. */
  readonly verdict: string;
  readonly expects: readonly Expectation[];
}

/**
 * What must be known after a packet: the state of its flow at a gate, or at every gate it has to do with if none is
 * named (`none`: no flow); or how many flows a gate has.
 */
export type Expectation =
  | { readonly kind: 'state'; readonly gate: string | undefined; readonly state: string }
  | { readonly kind: 'count'; readonly gate: string; readonly flows: number };

/** From here on other rules hold, as after a reload. */
export interface ChangeStep {
  readonly kind: 'change';
  readonly line: number;
  readonly atMs: number;
  readonly instance: string;
  readonly rules: readonly string[];
}

export interface Scenario {
  readonly name: string;
  readonly line: number;
  readonly setup: Setup;
  readonly steps: readonly (PacketStep | ChangeStep)[];
}

/** A mistake in a scenario file, or what does not hold in one: `tcp.scenario:12: …`. */
export class ScenarioError extends Error {
  constructor(file: string, line: number, message: string) {
    super(`${file}:${line}: ${message}`);
  }
}

interface Draft {
  name: string;
  line: number;
  setup: MutableSetup;
  steps: (PacketStep | ChangeStep)[];
}

interface MutableSetup {
  instances: Map<string, InstanceLine>;
  hosts: Map<string, SetupLine>;
  prefixLists: Map<string, SetupLine>;
  settings: Map<string, SetupLine>;
}

type Fail = (message: string) => never;

/** @throws ScenarioError at the first mistake */
export function parseScenarios(file: string, text: string): Scenario[] {
  const shared = newSetup();
  const scenarios: Draft[] = [];
  text.split('\n').forEach((whole, i) => {
    const line = i + 1;
    const fail: Fail = (message) => {
      throw new ScenarioError(file, line, message);
    };
    const content = whole
      .replace(/(^|\s)#.*$/, '')
      .replace(/\s+/g, ' ')
      .trim();
    if (content === '') return;
    const scenario = scenarios.at(-1);
    if (content === 'scenario' || content.startsWith('scenario ')) {
      scenarios.push(beginScenario(content, line, scenarios, shared, fail));
    } else if (SETUP_WORDS.has(content.split(' ')[0])) {
      if (scenario !== undefined && scenario.steps.length > 0)
        fail(`'${content.split(' ')[0]}' comes before the first packet of a scenario`);
      addToSetup(scenario?.setup ?? shared, content, line, fail);
    } else {
      if (scenario === undefined)
        return fail(`'${content}' outside of a scenario is none of ${[...SETUP_WORDS].join(', ')}`);
      scenario.steps.push(parseStep(content, line, scenario.steps.at(-1)?.atMs ?? 0, fail));
    }
  });
  const last = scenarios.at(-1);
  if (last?.steps.length === 0)
    throw new ScenarioError(file, last.line, 'a scenario without packets');
  return scenarios;
}

function beginScenario(
  content: string,
  line: number,
  before: readonly Draft[],
  shared: MutableSetup,
  fail: Fail,
): Draft {
  const name = content.slice('scenario '.length);
  const previous = before.at(-1);
  if (name === '') fail('scenario NAME');
  if (previous?.steps.length === 0)
    fail(`the scenario before this one, in line ${previous.line}, has no packets`);
  if (before.some((other) => other.name === name)) fail('that name is taken');
  return { name, line, setup: copySetup(shared), steps: [] };
}

const SETUP_WORDS: ReadonlySet<string> = new Set(['instance', 'host', 'prefix-list', 'set']);

function addToSetup(setup: MutableSetup, content: string, line: number, fail: Fail): void {
  const [first, name, ...words] = content.split(' ');
  if (first === 'instance') {
    const instance = parseInstance(content, line, fail);
    setup.instances.set(instance.name, instance);
    return;
  }
  const [lines, form] =
    first === 'host'
      ? ([setup.hosts, 'host NAME ADDRESS…'] as const)
      : first === 'prefix-list'
        ? ([setup.prefixLists, 'prefix-list NAME CIDR…'] as const)
        : ([setup.settings, 'set SETTING VALUE…'] as const);
  if (words.length === 0) fail(form);
  lines.set(name, { line, words });
}

function parseInstance(content: string, line: number, fail: Fail): InstanceLine {
  const match = /^instance (.*?):(?: (.*))?$/.exec(content);
  const [name, ...words] = (match?.[1] ?? '').split(' ');
  const isAddress = (word: string): boolean => /^[\da-f]*[.:][\da-f.:]*$/.test(word);
  const addresses = words.filter(isAddress);
  if (match === null || addresses.length === 0)
    return fail('instance NAME ADDRESS… [OPTION…]: RULE; RULE');
  return {
    line,
    name,
    addresses,
    options: words.filter((word) => !isAddress(word)),
    rules: splitRules(match[2] ?? ''),
  };
}

function splitRules(text: string): string[] {
  return text
    .split(';')
    .map((rule) => rule.trim())
    .filter((rule) => rule !== '');
}

function parseStep(
  content: string,
  line: number,
  beforeMs: number,
  fail: Fail,
): PacketStep | ChangeStep {
  const [time, ...rest] = content.split(' ');
  const atMs = parseTime(time, beforeMs);
  if (atMs === undefined) return fail(`'${time}' is no time, and no word of a setup`);
  if (atMs < beforeMs) fail(`time goes back from ${beforeMs} ms to ${atMs} ms`);
  const text = rest.join(' ');
  if (rest[0] === 'change') {
    const match = /^change (\S+): ?(.*)$/.exec(text);
    if (match === null) return fail('TIME change NAME: RULE; RULE');
    return { kind: 'change', line, atMs, instance: match[1], rules: splitRules(match[2]) };
  }
  const match =
    /^(\S+)(?: as (\S+))? > (\S+) (.+?) (?:(passes)|drops (\S+))(?: \(([^()]+)\))?$/.exec(text);
  if (match === null)
    return fail('TIME SENDER [as SOURCE] > RECEIVER PACKET passes|drops REASON [(STATE, …)]');
  const [packet, from, as = from, to, words, , reason, states] = match;
  return {
    kind: 'packet',
    line,
    atMs,
    text: packet.replace(/ (passes|drops \S+)( \([^()]+\))?$/, ''),
    from,
    as,
    to,
    words: words.split(' '),
    verdict: reason ?? 'passes',
    expects: states === undefined ? [] : states.split(',').map((one) => expect(one.trim(), fail)),
  };
}

function expect(text: string, fail: Fail): Expectation {
  const count = /^(\S+) (\d+) flows?$/.exec(text);
  if (count !== null) return { kind: 'count', gate: count[1], flows: Number(count[2]) };
  const state = /^(?:(\S+) )?([a-z]\S*)$/.exec(text);
  if (state === null) return fail(`'${text}' is not STATE, GATE STATE or GATE N flows`);
  return { kind: 'state', gate: state[1], state: state[2] };
}

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

function parseTime(text: string, beforeMs: number): number | undefined {
  const match = /^(\+?)(\d+(?:\.\d{1,3})?)([smhd]?)$/.exec(text);
  if (match === null) return undefined;
  const ms = Math.round(Number(match[2]) * UNIT_MS[match[3] === '' ? 's' : match[3]]);
  return match[1] === '+' ? beforeMs + ms : ms;
}

function newSetup(): MutableSetup {
  return { instances: new Map(), hosts: new Map(), prefixLists: new Map(), settings: new Map() };
}

function copySetup(setup: MutableSetup): MutableSetup {
  return {
    instances: new Map(setup.instances),
    hosts: new Map(setup.hosts),
    prefixLists: new Map(setup.prefixLists),
    settings: new Map(setup.settings),
  };
}
