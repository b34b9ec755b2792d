/**
 * This file defines the fields of flow log records and formats a record as a line.
 *
 * The fields, their names, their order and the mark for "does not apply" are AWS's ("Flow log records"). An AWS field
 * that has no meaning here is written as `-`. Four fields are our own: rule-id, group-id, drop-reason and audited. They
 * are written only if the format names them.
 */
import { SEEN_SYN_ACK } from '../conntrack/accounts.ts';
import { GIVEN_FIELD_NAMES, type LogFormat } from '../config/flow-log-format.ts';
import type { NamedInterface } from './flow-log-names.ts';

export type Action = 'ACCEPT' | 'REJECT';
export type LogStatus = 'OK' | 'NODATA' | 'SKIPDATA';

/** The traffic of one 5-tuple at one interface in one direction in one interval. */
export interface FlowRecord {
  readonly family: 4 | 6;
  readonly direction: 'ingress' | 'egress';
  readonly srcaddr: string;
  readonly dstaddr: string;
  readonly srcport: number;
  readonly dstport: number;
  readonly protocol: number;
  readonly action: Action;
  readonly ruleId: string | undefined;
  readonly groupId: string | undefined;
  readonly dropReason: string | undefined;
  /** It passed by audit alone: enforced, it would be dropped. Undefined: nobody asks. */
  readonly isAudited: boolean | undefined;
  /** Whether the other side is an interface of this daemon. Only then it is known to be in the VPC. */
  readonly isRemoteLocal: boolean;
  packets: number;
  bytes: number;
  /** SEEN_… bits (conntrack/accounts.ts). */
  tcpFlags: number;
  /** Ms since 1970. */
  startMs: number;
  endMs: number;
}

/** The interface a record is about. */
export interface LogInterface extends NamedInterface {
  /** Values of fields that only the operator knows, as `account-id`. */
  readonly values: ReadonlyMap<string, string>;
}

interface Line {
  readonly version: number;
  readonly about: LogInterface;
  /** Undefined in a line for an interface without data. */
  readonly record: FlowRecord | undefined;
  readonly status: LogStatus;
  /** The interval, ms since 1970. */
  readonly fromMs: number;
  readonly toMs: number;
}

const NONE = '-';
const PROTO_TCP = 6;
const PROTO_ICMP = 1;
const PROTO_ICMPV6 = 58;
/** SYN and ACK as AWS writes them: 18. */
const SYN_ACK = 18;

type Writer = (line: Line) => string;

/** Makes the writer of a field of the record. It writes `-` in a line without a record. */
function ofRecord(write: (record: FlowRecord, about: LogInterface) => string): Writer {
  return ({ record, about }) => (record === undefined ? NONE : write(record, about));
}

/** Makes the writer of a field whose value the operator gives. */
function given(name: string): Writer {
  return ({ about }) => about.values.get(name) ?? NONE;
}

function seconds(ms: number): string {
  return String(Math.floor(ms / 1000));
}

/** Formats an address. For the interface's own side AWS writes its primary private address, whichever was used. */
function shown(record: FlowRecord, about: LogInterface, side: 'source' | 'destination'): string {
  const isLocal = (side === 'source') === (record.direction === 'egress');
  const actual = side === 'source' ? record.srcaddr : record.dstaddr;
  if (!isLocal) return actual;
  return (record.family === 4 ? about.primary4 : about.primary6) ?? actual;
}

function hasPorts({ protocol }: FlowRecord): boolean {
  return protocol !== PROTO_ICMP && protocol !== PROTO_ICMPV6;
}

function tcpFlagsOf({ protocol, tcpFlags }: FlowRecord): string {
  if (protocol !== PROTO_TCP) return '0';
  const isSynAck = (tcpFlags & SEEN_SYN_ACK) !== 0;
  return String((tcpFlags & ~SEEN_SYN_ACK) | (isSynAck ? SYN_ACK : 0));
}

/** The fields that have a value here. Any other field is written as `-`. */
const WRITERS: ReadonlyMap<string, Writer> = new Map<string, Writer>([
  ['version', ({ version }) => String(version)],
  ['interface-id', ({ about }) => about.id],
  ['srcaddr', ofRecord((record, about) => shown(record, about, 'source'))],
  ['dstaddr', ofRecord((record, about) => shown(record, about, 'destination'))],
  ['srcport', ofRecord((r) => String(hasPorts(r) ? r.srcport : 0))],
  ['dstport', ofRecord((r) => String(hasPorts(r) ? r.dstport : 0))],
  ['protocol', ofRecord(({ protocol }) => String(protocol))],
  ['packets', ofRecord(({ packets }) => String(packets))],
  ['bytes', ofRecord(({ bytes }) => String(bytes))],
  ['start', ({ record, fromMs }) => seconds(record?.startMs ?? fromMs)],
  ['end', ({ record, toMs }) => seconds(record?.endMs ?? toMs)],
  ['action', ofRecord(({ action }) => action)],
  ['log-status', ({ status }) => status],
  ...GIVEN_FIELD_NAMES.map((name): [string, Writer] => [name, given(name)]),
  ['tcp-flags', ofRecord(tcpFlagsOf)],
  ['type', ofRecord(({ family }) => (family === 4 ? 'IPv4' : 'IPv6'))],
  ['pkt-srcaddr', ofRecord(({ srcaddr }) => srcaddr)],
  ['pkt-dstaddr', ofRecord(({ dstaddr }) => dstaddr)],
  ['flow-direction', ofRecord(({ direction }) => direction)],
  // 1 means: to something in the same VPC. Where the uplink leads is not known.
  ['traffic-path', ofRecord((r) => (r.direction === 'egress' && r.isRemoteLocal ? '1' : NONE))],
  ['rule-id', ofRecord(({ ruleId }) => ruleId ?? NONE)],
  ['group-id', ofRecord(({ groupId }) => groupId ?? NONE)],
  ['drop-reason', ofRecord(({ dropReason }) => dropReason ?? NONE)],
  ['audited', ofRecord(({ isAudited }) => (isAudited === true ? 'yes' : 'no'))],
]);

/** Formats a line of the log, without its newline. */
export function formatLine(format: LogFormat, line: Omit<Line, 'version'>): string {
  const whole = { ...line, version: format.version };
  return format.names.map((name) => WRITERS.get(name)?.(whole) ?? NONE).join(' ');
}
