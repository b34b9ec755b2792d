/**
 * A traffic filter selects traffic by interface, protocol, port, address, rule and group.
 *
 * A request carries the filter as words (TrafficFilter). CompiledFilter looks the words up once. It then compares
 * numbers in shared memory, so a million flows or a flood of events can be searched without making an object of what
 * does not match.
 */
import type { Cidr, Parsed } from '../addr/address.ts';
import { RULE_PLATFORM } from '../conntrack/entry.ts';
import { hasPorts } from '../policy/protocols.ts';
import type { Rule, SecurityGroup } from '../policy/model.ts';
import { listWords } from '../source/suggest.ts';
import type { Config } from '../config/config.ts';
import { findEndpoint } from '../explain/question-names.ts';
import { parseBlock, parsePortRange, parseProtocolWord, type PortRange } from './filter-words.ts';
import { ambiguousGroupText, findGroups, groupLabel } from '../policy/vpcs.ts';

/** Several words of one kind mean any of them. Several kinds must all match. An empty filter matches everything. */
export interface TrafficFilter {
  /** Names, ids, addresses or namespaces of interfaces, or `uplink`. */
  readonly interfaces?: readonly string[];
  readonly protocols?: readonly string[];
  /** `443`, `8000-8100`: TCP and UDP ports, on either side. */
  readonly ports?: readonly string[];
  readonly localPorts?: readonly string[];
  readonly remotePorts?: readonly string[];
  /** Addresses or CIDR blocks, on either side. */
  readonly addresses?: readonly string[];
  readonly locals?: readonly string[];
  readonly remotes?: readonly string[];
  /** Ids of rules, or beginnings of ids. `platform` stands for traffic that needs no rule. */
  readonly rules?: readonly string[];
  /** Names or ids of groups whose rules admitted it. */
  readonly groups?: readonly string[];
}

/** A request can't be carried out. The message is for the person who made it. */
export class RequestError extends Error {}

/** Where names are looked up. The observatory (telemetry/observatory.ts) is one. */
export interface FilterNames {
  readonly config: Config;
  portNames(): ReadonlyMap<number, string>;
  /** By number, dense from 0. */
  ruleOf(number: number): Rule | undefined;
}

const WORDS_MAX = 100;
export const WORD_LENGTH_MAX = 255;
const RULE_PREFIX_MIN = 5;
export const UPLINK_NAME = 'uplink';
export const PLATFORM_NAME = 'platform';

interface Block {
  readonly family: number;
  readonly words: readonly number[];
  readonly masks: readonly number[];
}

export class CompiledFilter {
  private readonly ports: ReadonlySet<number> | undefined;
  private readonly protocols: ReadonlySet<number> | undefined;
  private readonly either: readonly PortRange[];
  private readonly localPorts: readonly PortRange[];
  private readonly remotePorts: readonly PortRange[];
  private readonly addresses: readonly Block[];
  private readonly locals: readonly Block[];
  private readonly remotes: readonly Block[];
  private readonly rules: ReadonlySet<number> | undefined;
  /** Everything matches. */
  readonly isEmpty: boolean;

  constructor(filter: TrafficFilter, names: FilterNames) {
    this.ports = readSet(filter.interfaces, 'interfaces', (text) => portOf(text, names));
    this.protocols = readSet(filter.protocols, 'protocols', (text) =>
      take(parseProtocolWord(text)),
    );
    this.either = readRanges(filter.ports, 'ports');
    this.localPorts = readRanges(filter.localPorts, 'localPorts');
    this.remotePorts = readRanges(filter.remotePorts, 'remotePorts');
    this.addresses = readBlocks(filter.addresses, 'addresses');
    this.locals = readBlocks(filter.locals, 'locals');
    this.remotes = readBlocks(filter.remotes, 'remotes');
    this.rules = findRules(filter, names);
    this.isEmpty =
      this.ports === undefined &&
      this.protocols === undefined &&
      this.rules === undefined &&
      [this.either, this.localPorts, this.remotePorts].every(({ length }) => length === 0) &&
      [this.addresses, this.locals, this.remotes].every(({ length }) => length === 0);
  }

  /**
   * @param words int32 words that hold the local address at `local` and the remote one at `remote`
   * @param rule number of the rule that admitted it, -1 for none
   */
  matches(
    port: number,
    protocol: number,
    localPort: number,
    remotePort: number,
    family: number,
    words: Int32Array,
    local: number,
    remote: number,
    rule: number,
  ): boolean {
    if (this.ports !== undefined && !this.ports.has(port)) return false;
    if (this.protocols !== undefined && !this.protocols.has(protocol)) return false;
    if (this.rules !== undefined && !this.rules.has(rule)) return false;
    if (!this.matchesPorts(protocol, localPort, remotePort)) return false;
    if (this.locals.length > 0 && !isInBlock(this.locals, family, words, local)) return false;
    if (this.remotes.length > 0 && !isInBlock(this.remotes, family, words, remote)) return false;
    return (
      this.addresses.length === 0 ||
      isInBlock(this.addresses, family, words, local) ||
      isInBlock(this.addresses, family, words, remote)
    );
  }

  /** The same for a packet that could not be decoded: it has neither protocol nor addresses. */
  matchesUndecoded(port: number): boolean {
    if (this.isEmpty) return true;
    if (this.ports !== undefined && !this.ports.has(port)) return false;
    return (
      this.protocols === undefined &&
      this.rules === undefined &&
      [this.either, this.localPorts, this.remotePorts].every(({ length }) => length === 0) &&
      [this.addresses, this.locals, this.remotes].every(({ length }) => length === 0)
    );
  }

  private matchesPorts(protocol: number, localPort: number, remotePort: number): boolean {
    const { either, localPorts, remotePorts } = this;
    if (either.length + localPorts.length + remotePorts.length === 0) return true;
    if (!hasPorts(protocol)) return false;
    if (localPorts.length > 0 && !isInRange(localPorts, localPort)) return false;
    if (remotePorts.length > 0 && !isInRange(remotePorts, remotePort)) return false;
    return either.length === 0 || isInRange(either, localPort) || isInRange(either, remotePort);
  }
}

/**
 * A filter for a stream. It keeps its meaning when the configuration changes. The things it names must exist when
 * it is made. A thing that is removed later matches nothing from then on.
 */
export class LiveFilter {
  private readonly filter: TrafficFilter;
  private readonly names: FilterNames;
  private config: Config;
  private compiled: CompiledFilter;

  /** @throws RequestError */
  constructor(filter: TrafficFilter, names: FilterNames) {
    this.filter = filter;
    this.names = names;
    this.config = names.config;
    this.compiled = new CompiledFilter(filter, names);
  }

  /** The filter as it is now; undefined if something that it names was removed. */
  get current(): CompiledFilter | undefined {
    if (this.config !== this.names.config) this.compileAgain();
    return this.isBroken ? undefined : this.compiled;
  }

  private isBroken = false;

  private compileAgain(): void {
    this.config = this.names.config;
    try {
      this.compiled = new CompiledFilter(this.filter, this.names);
      this.isBroken = false;
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.isBroken = true;
    }
  }
}

/** Reads a list of words from an untrusted value. @throws RequestError if it is none */
export function readWords(value: unknown, name: string): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > WORDS_MAX || value.some((one) => !isWord(one)))
    throw new RequestError(`${name} is a list of at most ${WORDS_MAX} words`);
  return value as string[];
}

/** Reads one of the allowed words, or undefined. @throws RequestError if it is another word */
export function readChoice<Word extends string>(
  value: unknown,
  name: string,
  words: readonly Word[],
): Word | undefined {
  if (value === undefined) return undefined;
  const found = words.find((word) => word === value);
  if (found === undefined) throw new RequestError(`${name} is one of ${listWords(words)}`);
  return found;
}

/** Reads a whole number within limits. @throws RequestError if it is anything else */
export function readNumber(
  value: unknown,
  name: string,
  limits: { readonly min: number; readonly max: number; readonly fallback: number },
): number {
  if (value === undefined) return limits.fallback;
  if (!Number.isInteger(value) || Number(value) < limits.min || Number(value) > limits.max)
    throw new RequestError(`${name} goes from ${limits.min} to ${limits.max}`);
  return Number(value);
}

/** Finds the port of an interface or of the uplink. @throws RequestError if there is none with that name */
export function portOf(text: string, names: FilterNames): number {
  const { config } = names;
  const ports = [...names.portNames()];
  const named = ports.find(([, name]) => name === text);
  if (named !== undefined) return named[0];
  if (text === UPLINK_NAME) throw new RequestError('there is no uplink');
  const found = findEndpoint(config, text);
  if (!found.ok) throw new RequestError(`${found.message} (${found.hint})`);
  const end = found.value;
  const name =
    end.kind === 'interface' ? config.model.interfaces.get(end.interfaceId)?.name : undefined;
  const port = ports.find((entry) => entry[1] === name);
  if (port === undefined) throw new RequestError(`no interface has the address ${text}`);
  return port[0];
}

function findRules(
  { rules, groups }: TrafficFilter,
  names: FilterNames,
): ReadonlySet<number> | undefined {
  const wantedRules = readWords(rules, 'rules');
  const wantedGroups = readWords(groups, 'groups').map((text) => findGroup(text, names.config));
  if (wantedRules.length + wantedGroups.length === 0) return undefined;
  for (const text of wantedRules) {
    if (text !== PLATFORM_NAME && text.length < RULE_PREFIX_MIN)
      throw new RequestError(
        `'${text}' is no rule (an id, as sgr-0123456789abcdef0, or its start)`,
      );
  }
  const ids = new Set(
    wantedGroups.flatMap(({ ingress, egress, audited = [] }) =>
      [...ingress, ...egress, ...audited].map(({ id }) => id),
    ),
  );
  const numbers = new Set<number>();
  const found = new Set<string>();
  for (let number = 0; ; number++) {
    const rule = names.ruleOf(number);
    if (rule === undefined) break;
    const by = wantedRules.filter((text) => rule.id.startsWith(text));
    by.forEach((text) => found.add(text));
    if (by.length > 0 || ids.has(rule.id)) numbers.add(number);
  }
  if (wantedRules.includes(PLATFORM_NAME)) numbers.add(RULE_PLATFORM);
  const lost = wantedRules.find((text) => text !== PLATFORM_NAME && !found.has(text));
  if (lost !== undefined)
    throw new RequestError(`there is no rule '${lost}' (sgctl rules shows which there are)`);
  return numbers;
}

function findGroup(text: string, { model }: Config): SecurityGroup {
  const all = [...model.groups.values()];
  const found = findGroups(all, text);
  if (found.length === 1) return found[0];
  if (found.length > 1) throw new RequestError(ambiguousGroupText(text, found));
  const names = all.map(groupLabel);
  throw new RequestError(`there is no group '${text}' (groups: ${listWords(names)})`);
}

function readSet(
  value: unknown,
  name: string,
  read: (text: string) => number,
): ReadonlySet<number> | undefined {
  const words = readWords(value, name);
  return words.length === 0 ? undefined : new Set(words.map(read));
}

function readRanges(value: unknown, name: string): readonly PortRange[] {
  return readWords(value, name).map((text) => take(parsePortRange(text)));
}

function readBlocks(value: unknown, name: string): readonly Block[] {
  return readWords(value, name).map((text) => makeBlock(take(parseBlock(text))));
}

function makeBlock({ family, words, length }: Cidr): Block {
  const masks = words.map((_, i) => {
    const bits = Math.max(0, Math.min(32, length - 32 * i));
    return bits === 0 ? 0 : -1 << (32 - bits);
  });
  return { family, words, masks };
}

function take<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  throw new RequestError(`${parsed.message} (${parsed.hint})`);
}

function isWord(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value.length <= WORD_LENGTH_MAX;
}

function isInRange(ranges: readonly PortRange[], port: number): boolean {
  for (const { from, to } of ranges) if (port >= from && port <= to) return true;
  return false;
}

function isInBlock(
  blocks: readonly Block[],
  family: number,
  words: Int32Array,
  at: number,
): boolean {
  for (const block of blocks) {
    if (block.family !== family) continue;
    let i = 0;
    while (i < block.words.length && (words[at + i] & block.masks[i]) === block.words[i]) i++;
    if (i === block.words.length) return true;
  }
  return false;
}
