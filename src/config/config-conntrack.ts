/** This file defines what the section `conntrack` may contain, and reads it. Its schema is in schema-conntrack.ts. */
import { get, type Node } from '../source/yaml.ts';
import { readInteger, readWord, type Reader } from './config-reader.ts';
import { CONNTRACK_LIMITS } from './limits.ts';

/** The default limit of half-open flows is a quarter of the table. */
const HALF_OPEN_SHARE = 4;
const MAX_FLOWS = { ...CONNTRACK_LIMITS.maxFlows, code: 'bad-max-flows', what: 'maxFlows' };
const MAX_OFFLOADED = {
  ...CONNTRACK_LIMITS.maxOffloaded,
  code: 'bad-max-flows',
  what: 'maxOffloaded',
};
const MAX_HALF_OPEN = { ...CONNTRACK_LIMITS.maxHalfOpen, code: 'bad-max-flows', what: 'maxFlows' };

/** A TCP packet without SYN that belongs to no tracked connection: treated as a new flow, or dropped. */
export type Midstream = 'accept' | 'drop';

export type ExceptionPolicy = 'drop' | 'pass';

export interface ExceptionPolicies {
  /** A flow that the rules admit when the table is full. `pass`: it is not tracked, so its answers need a rule. */
  readonly tableFull: ExceptionPolicy;
  /** A TCP packet whose flags or window do not fit the state of its connection. */
  readonly invalid: ExceptionPolicy;
  /** A later fragment whose first fragment was not seen, or was evicted. */
  readonly fragment: ExceptionPolicy;
  /** A new flow while the event ring is full. `pass`: it is not recorded. */
  readonly eventsFull: ExceptionPolicy;
}

export interface ConntrackConfig {
  /** The most flows that the daemon tracks at once, of both families together. */
  readonly maxFlows: number;
  readonly midstream: Midstream;
  /** The most flows whose packets the kernel forwards at once, with `offload`. */
  readonly maxOffloaded: number;
  /** The most of these that may be half-open, which means not answered yet. */
  readonly maxHalfOpen: number;
  /** What to do with packets when tracking fails: drop them, or pass those that the rules admit. */
  readonly exceptions: ExceptionPolicies;
  /** Counts packets and bytes of each flow. Flow logs and `sgctl flows` need the counts. */
  readonly accounting: boolean;
  /** TCP packets outside the window of their connection: dropped or accepted. */
  readonly tcpWindow: 'check' | 'ignore';
}

export function readConntrack(reader: Reader, section: Node | undefined): ConntrackConfig {
  if (section !== undefined && section.kind !== 'mapping')
    reader.misses.push({ node: section, expected: 'a mapping' });
  const maxFlows = readInteger(reader, section, 'maxFlows', MAX_FLOWS) ?? MAX_FLOWS.otherwise;
  const exceptions = get(section, 'exceptions');
  const policy = (key: string, usual: ExceptionPolicy): ExceptionPolicy =>
    readWord(reader, exceptions, key, ['drop', 'pass'], usual);
  return {
    maxFlows,
    maxHalfOpen:
      readInteger(reader, section, 'maxHalfOpen', MAX_HALF_OPEN) ??
      Math.max(MAX_HALF_OPEN.min, Math.floor(maxFlows / HALF_OPEN_SHARE)),
    maxOffloaded:
      readInteger(reader, section, 'maxOffloaded', MAX_OFFLOADED) ?? MAX_OFFLOADED.otherwise,
    midstream: readWord(reader, section, 'midstream', ['accept', 'drop'], 'accept'),
    accounting: readWord(reader, section, 'accounting', ['on', 'off'], 'on') === 'on',
    tcpWindow: readWord(reader, section, 'tcpWindow', ['check', 'ignore'], 'check'),
    exceptions: {
      tableFull: policy('tableFull', 'drop'),
      invalid: policy('invalid', 'drop'),
      fragment: policy('fragment', 'drop'),
      eventsFull: policy('eventsFull', 'pass'),
    },
  };
}
