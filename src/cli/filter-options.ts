/** Options by which commands are told what traffic they are about: the same words everywhere. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Parsed } from '../addr/address.ts';
import { parseDuration } from '../source/duration.ts';
import { parseBlock, parsePortRange, parseProtocolWord } from '../queries/filter-words.ts';
import type { TrafficFilter } from '../queries/traffic-filter.ts';

export interface FilterOptions {
  readonly interface?: readonly string[];
  readonly proto?: readonly string[];
  readonly port?: readonly string[];
  readonly localPort?: readonly string[];
  readonly remotePort?: readonly string[];
  readonly address?: readonly string[];
  readonly local?: readonly string[];
  readonly remote?: readonly string[];
  readonly rule?: readonly string[];
  readonly group?: readonly string[];
}

export const FILTER_HELP = `
A filter may be given more than once, or as a list with commas: either of the words
will do. Different filters must all hold. An interface is named by its key, its id,
an address of it or the namespace of its device.`;

/** Adds them all. */
export function addFilterOptions(command: Command): Command {
  const add = (flags: string, text: string, check?: (word: string) => void): void => {
    command.addOption(new Option(flags, text).argParser(wordList(check)));
  };
  add('-i, --interface <name>', 'of this interface (or uplink)');
  command.addOption(
    new Option('-p, --proto <protocol>', 'tcp, udp, icmp, icmpv6 or a number')
      // For completion; numbers will do as well.
      .choices(['tcp', 'udp', 'icmp', 'icmpv6'])
      .argParser(wordList(checking(parseProtocolWord))),
  );
  add('--port <port>', 'TCP and UDP: of either side; 443 or 8000-8100', checking(parsePortRange));
  add('--local-port <port>', "of the instance's side", checking(parsePortRange));
  add('--remote-port <port>', "of the other's side", checking(parsePortRange));
  add('-a, --address <cidr>', 'an address or CIDR block of either side', checking(parseBlock));
  add('--local <cidr>', "of the instance's side", checking(parseBlock));
  add('--remote <cidr>', "of the other's side", checking(parseBlock));
  add('--rule <id>', 'admitted by this rule: its id, the start of it, or platform');
  add('--group <name>', 'admitted by a rule of this group: its name or id');
  return command;
}

/** What was given, as the daemon takes it. */
export function readFilter(options: FilterOptions): TrafficFilter {
  const given: [keyof TrafficFilter, readonly string[] | undefined][] = [
    ['interfaces', options.interface],
    ['protocols', options.proto],
    ['ports', options.port],
    ['localPorts', options.localPort],
    ['remotePorts', options.remotePort],
    ['addresses', options.address],
    ['locals', options.local],
    ['remotes', options.remote],
    ['rules', options.rule],
    ['groups', options.group],
  ];
  return Object.fromEntries(given.filter(([, words]) => words !== undefined));
}

/** An option of words out of a few, which may be given more than once or with commas. */
export function choiceList(flags: string, text: string, words: readonly string[]): Option {
  return new Option(flags, text).choices(words).argParser(
    wordList((word) => {
      if (!words.includes(word))
        throw new InvalidArgumentError(`Allowed choices are ${words.join(', ')}.`);
    }),
  );
}

/** Reads a duration as ms. */
export function parseDurationOption(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('Write seconds, or 500ms, 30s, 5m, 2h, 1d.');
  return ms;
}

/** Reads a time to wait, as 10 or 10s, in seconds. */
export function waitWithin(minSec: number, maxSec: number): (text: string) => number {
  return (text) => {
    const sec = (parseDuration(text) ?? -1000) / 1000;
    if (sec >= minSec && sec <= maxSec) return sec;
    throw new InvalidArgumentError(`It is from ${minSec} to ${maxSec} seconds, as 10 or 10s.`);
  };
}

/** Reads a whole number within limits. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (!/^\d+$/.test(text) || number < min || number > max)
      throw new InvalidArgumentError(`It goes from ${min} to ${max}.`);
    return number;
  };
}

function wordList(
  check?: (word: string) => void,
): (text: string, before: readonly string[] | undefined) => readonly string[] {
  return (text, before) => {
    const words = text.split(',').map((word) => word.trim());
    if (words.includes('')) throw new InvalidArgumentError('A word is empty.');
    if (check !== undefined) words.forEach(check);
    return [...(before ?? []), ...words];
  };
}

function checking(parse: (text: string) => Parsed<unknown>): (word: string) => void {
  return (word) => {
    const parsed = parse(word);
    if (!parsed.ok) throw new InvalidArgumentError(`${parsed.message}: ${parsed.hint}`);
  };
}
