/**
 * The format of a flow log: which fields its lines have, and how its files are rotated.
 *
 * Fields, names and versions are AWS's ("Flow log records"). Four fields are our own and are written only where a
 * format asks for them: rule-id, group-id, drop-reason and audited. flow-logs/flow-log-fields.ts writes the values.
 */

/** The record version that introduced each field; 0 for our own. */
const SINCE: ReadonlyMap<string, number> = new Map(
  Object.entries({
    ...since(
      2,
      'version',
      'account-id',
      'interface-id',
      'srcaddr',
      'dstaddr',
      'srcport',
      'dstport',
    ),
    ...since(2, 'protocol', 'packets', 'bytes', 'start', 'end', 'action', 'log-status'),
    ...since(3, 'vpc-id', 'subnet-id', 'instance-id'),
    ...since(3, 'tcp-flags', 'type', 'pkt-srcaddr', 'pkt-dstaddr'),
    ...since(4, 'region', 'az-id', 'sublocation-type', 'sublocation-id'),
    ...since(5, 'pkt-src-aws-service', 'pkt-dst-aws-service', 'flow-direction', 'traffic-path'),
    ...since(7, 'ecs-cluster-arn', 'ecs-cluster-name'),
    ...since(7, 'ecs-container-instance-arn', 'ecs-container-instance-id'),
    ...since(7, 'ecs-container-id', 'ecs-second-container-id', 'ecs-service-name'),
    ...since(7, 'ecs-task-definition-arn', 'ecs-task-arn', 'ecs-task-id'),
    // AWS writes BPA or EC here, and `-` if a group rejects. There is neither BPA nor EC here.
    ...since(8, 'reject-reason'),
    ...since(9, 'resource-id'),
    ...since(10, 'encryption-status'),
    ...since(0, 'rule-id', 'group-id', 'drop-reason', 'audited'),
  }),
);

function since(version: number, ...names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, version]));
}

/** AWS's default format, in its order. */
export const DEFAULT_FORMAT =
  '${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}';

/** Every field a format may name. */
export const FIELD_NAMES: readonly string[] = [...SINCE.keys()];

/** The fields whose values an operator may give. */
export const GIVEN_FIELD_NAMES: readonly string[] = [
  'account-id',
  'vpc-id',
  'subnet-id',
  'instance-id',
  'region',
  'az-id',
];

export interface LogFormat {
  /** AWS's version number: 2 for the default format, else the highest version among the fields. */
  readonly version: number;
  readonly names: readonly string[];
  /** Whether packets of different rules, or of different drop reasons, go into different records. */
  readonly tellsRules: boolean;
  readonly tellsReasons: boolean;
  /** Likewise what passed by audit alone, and the rest. */
  readonly tellsAudit: boolean;
}

/** When a file of a flow log is closed and a new one begun. */
export interface Rotation {
  /** The size of a full file, in megabytes. */
  readonly sizeMb: number;
  /** How many old files are kept. */
  readonly keep: number;
  readonly gzip: boolean;
}

export type ParsedFormat =
  | { readonly ok: true; readonly value: LogFormat }
  | { readonly ok: false; readonly message: string; readonly unknown: string | undefined };

/** Reads a format, which is `${field}`s separated by blanks. */
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
    if (!SINCE.has(name))
      return { ok: false, message: `there is no field '${name}'`, unknown: name };
    names.push(name);
  }
  return {
    ok: true,
    value: {
      version: Math.max(2, ...names.map((name) => SINCE.get(name)!)),
      names,
      tellsRules: names.includes('rule-id') || names.includes('group-id'),
      tellsReasons: names.includes('drop-reason'),
      tellsAudit: names.includes('audited'),
    },
  };
}
