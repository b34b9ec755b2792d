/**
 * The fields of flow log records and how a record is written.
 *
 * Fields, names, order and what stands for "does not apply" are AWS's ("Flow log records"); a field that AWS
 * has and that can mean nothing here is written as `-`. Three fields are our own and are written only
 * where a format asks for them: rule-id, group-id and drop-reason.
 */
import { SEEN_SYN_ACK } from '../../conntrack/accounts.ts';
import type { NamedInterface } from './flow-log-names.ts';

export type Action = 'ACCEPT' | 'REJECT';
export type LogStatus = 'OK' | 'NODATA' | 'SKIPDATA';

/** What was seen of one 5-tuple at one interface in one direction in one interval. */
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
  /** Whether the other side is in the VPC as far as we know: an interface of this daemon. */
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
  /** Undefined in a line that tells of an interface without data. */
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

/** A field of the record; `-` in a line without one. */
function ofRecord(write: (record: FlowRecord, about: LogInterface) => string): Writer {
  return ({ record, about }) => (record === undefined ? NONE : write(record, about));
}

/** A field whose value the operator gives. */
function given(name: string): Writer {
  return ({ about }) => about.values.get(name) ?? NONE;
}

const nothing: Writer = () => NONE;

interface Field {
  /** Version of the record format that brought it; 0 for our own. */
  readonly since: number;
  readonly write: Writer;
  /** It has a value only if the operator gives one. */
  readonly isGiven?: true;
}

function seconds(ms: number): string {
  return String(Math.floor(ms / 1000));
}

/** On the interface's side AWS writes its primary private address, whatever address was used. */
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

const FIELDS: ReadonlyMap<string, Field> = new Map<string, Field>([
  ['version', { since: 2, write: ({ version }) => String(version) }],
  ['account-id', { since: 2, write: given('account-id'), isGiven: true }],
  ['interface-id', { since: 2, write: ({ about }) => about.id }],
  ['srcaddr', { since: 2, write: ofRecord((record, about) => shown(record, about, 'source')) }],
  [
    'dstaddr',
    { since: 2, write: ofRecord((record, about) => shown(record, about, 'destination')) },
  ],
  ['srcport', { since: 2, write: ofRecord((r) => String(hasPorts(r) ? r.srcport : 0)) }],
  ['dstport', { since: 2, write: ofRecord((r) => String(hasPorts(r) ? r.dstport : 0)) }],
  ['protocol', { since: 2, write: ofRecord(({ protocol }) => String(protocol)) }],
  ['packets', { since: 2, write: ofRecord(({ packets }) => String(packets)) }],
  ['bytes', { since: 2, write: ofRecord(({ bytes }) => String(bytes)) }],
  ['start', { since: 2, write: ({ record, fromMs }) => seconds(record?.startMs ?? fromMs) }],
  ['end', { since: 2, write: ({ record, toMs }) => seconds(record?.endMs ?? toMs) }],
  ['action', { since: 2, write: ofRecord(({ action }) => action) }],
  ['log-status', { since: 2, write: ({ status }) => status }],
  ...['vpc-id', 'subnet-id', 'instance-id'].map((name): [string, Field] => [
    name,
    { since: 3, write: given(name), isGiven: true },
  ]),
  ['tcp-flags', { since: 3, write: ofRecord(tcpFlagsOf) }],
  ['type', { since: 3, write: ofRecord(({ family }) => (family === 4 ? 'IPv4' : 'IPv6')) }],
  ['pkt-srcaddr', { since: 3, write: ofRecord(({ srcaddr }) => srcaddr) }],
  ['pkt-dstaddr', { since: 3, write: ofRecord(({ dstaddr }) => dstaddr) }],
  ...['region', 'az-id'].map((name): [string, Field] => [
    name,
    { since: 4, write: given(name), isGiven: true },
  ]),
  ['sublocation-type', { since: 4, write: nothing }],
  ['sublocation-id', { since: 4, write: nothing }],
  ['pkt-src-aws-service', { since: 5, write: nothing }],
  ['pkt-dst-aws-service', { since: 5, write: nothing }],
  ['flow-direction', { since: 5, write: ofRecord(({ direction }) => direction) }],
  // 1: to something in the same VPC. Where the uplink leads to, we don't know.
  [
    'traffic-path',
    {
      since: 5,
      write: ofRecord((r) => (r.direction === 'egress' && r.isRemoteLocal ? '1' : NONE)),
    },
  ],
  ...[
    'ecs-cluster-arn',
    'ecs-cluster-name',
    'ecs-container-instance-arn',
    'ecs-container-instance-id',
    'ecs-container-id',
    'ecs-second-container-id',
    'ecs-service-name',
    'ecs-task-definition-arn',
    'ecs-task-arn',
    'ecs-task-id',
  ].map((name): [string, Field] => [name, { since: 7, write: nothing }]),
  // BPA or EC, neither of which there is here: a refusal by groups is `-` in AWS too.
  ['reject-reason', { since: 8, write: nothing }],
  ['resource-id', { since: 9, write: nothing }],
  ['encryption-status', { since: 10, write: nothing }],
  ['rule-id', { since: 0, write: ofRecord(({ ruleId }) => ruleId ?? NONE) }],
  ['group-id', { since: 0, write: ofRecord(({ groupId }) => groupId ?? NONE) }],
  ['drop-reason', { since: 0, write: ofRecord(({ dropReason }) => dropReason ?? NONE) }],
]);

/** AWS's default format, in its order. */
export const DEFAULT_FORMAT =
  '${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}';

/** Every field a format may name. */
export const FIELD_NAMES: readonly string[] = [...FIELDS.keys()];
/** Those whose values an operator may give. */
export const GIVEN_FIELD_NAMES: readonly string[] = [...FIELDS]
  .filter(([, { isGiven }]) => isGiven === true)
  .map(([name]) => name);

export interface LogFormat {
  /** As AWS counts: 2 for the default, else the highest version among the fields. */
  readonly version: number;
  readonly names: readonly string[];
  /** Whether records of different rules, or drop reasons, are records of their own. */
  readonly tellsRules: boolean;
  readonly tellsReasons: boolean;
}

export type ParsedFormat =
  | { readonly ok: true; readonly value: LogFormat }
  | { readonly ok: false; readonly message: string; readonly unknown: string | undefined };

/** Reads a format: `${field}`s separated by blanks. */
export function parseFormat(text: string): ParsedFormat {
  const words = text.trim().split(/ +/);
  const names: string[] = [];
  for (const word of words) {
    const name = /^\$\{([^{}]*)\}$/.exec(word)?.[1];
    if (name === undefined)
      return {
        ok: false,
        message: `'${word}' is no field: a format is \${field}s separated by blanks`,
        unknown: undefined,
      };
    if (!FIELDS.has(name))
      return { ok: false, message: `there is no field '${name}'`, unknown: name };
    names.push(name);
  }
  return {
    ok: true,
    value: {
      version: Math.max(2, ...names.map((name) => FIELDS.get(name)!.since)),
      names,
      tellsRules: names.includes('rule-id') || names.includes('group-id'),
      tellsReasons: names.includes('drop-reason'),
    },
  };
}

/** A line of the log, without its newline. */
export function formatLine(format: LogFormat, line: Omit<Line, 'version'>): string {
  const whole = { ...line, version: format.version };
  return format.names.map((name) => FIELDS.get(name)!.write(whole)).join(' ');
}
