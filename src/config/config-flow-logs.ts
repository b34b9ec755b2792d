/** This file reads the `flowLogs` section. */
import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { describeKind } from '../source/read-text.ts';
import { closest } from '../source/suggest.ts';
import { get, type Entry, type Node } from '../source/yaml.ts';
import {
  fail,
  readBoolean,
  readEntries,
  readInteger,
  readItems,
  readText,
  readWord,
  type Reader,
} from './config-reader.ts';
import type { FlowLogConfig } from './config.ts';
import type { ConntrackConfig } from './config-conntrack.ts';
import {
  DEFAULT_FORMAT,
  FIELD_NAMES,
  GIVEN_FIELD_NAMES,
  parseFormat,
  type LogFormat,
} from './flow-log-format.ts';
import { ROTATION_LIMITS } from './limits.ts';

const STDOUT = '-';
const SIZE_MB = { ...ROTATION_LIMITS.sizeMb, code: 'bad-rotation', what: 'sizeMb' };
const KEEP = { ...ROTATION_LIMITS.keep, code: 'bad-rotation', what: 'keep' };
const AGGREGATION = { min: 60, max: 600, code: 'bad-aggregation', what: 'aggregation' };

export function readFlowLogs(
  reader: Reader,
  section: Node | undefined,
  { accounting }: ConntrackConfig,
  interfaces: readonly string[],
): readonly FlowLogConfig[] {
  const entries = readEntries(reader, section);
  if (entries.length > 0 && !accounting) {
    fail(
      reader,
      section!,
      'flow-logs-without-accounting',
      'flow logs tell packets and bytes, and conntrack.accounting is off',
      'leave conntrack.accounting out, or the flow logs',
    );
  }
  const files = new Map<string, string>();
  return entries.flatMap((entry) => {
    const config = readFlowLog(reader, entry, interfaces);
    if (config === undefined) return [];
    const other = files.get(config.file);
    if (other !== undefined && config.file !== STDOUT) {
      fail(
        reader,
        get(entry.value, 'file')!,
        'flow-log-file-twice',
        `the flow log '${other}' writes to ${config.file} already`,
        'give each a file of its own',
      );
    }
    files.set(config.file, config.name);
    return [config];
  });
}

function readFlowLog(
  reader: Reader,
  { key: name, value: node }: Entry,
  interfaces: readonly string[],
): FlowLogConfig | undefined {
  const file = readFile(reader, get(node, 'file'));
  const format = readFormat(reader, get(node, 'format'));
  const rotate = get(node, 'rotate');
  const rotation = {
    sizeMb: readInteger(reader, rotate, 'sizeMb', SIZE_MB) ?? SIZE_MB.otherwise,
    keep: readInteger(reader, rotate, 'keep', KEEP) ?? KEEP.otherwise,
    gzip: readBoolean(reader, rotate, 'gzip', false),
  };
  const aggregationSec = readInteger(reader, node, 'aggregation', AGGREGATION) === 60 ? 60 : 600;
  const config = {
    name,
    aggregationSec,
    rotation,
    traffic: readWord(reader, node, 'traffic', ['all', 'accept', 'reject'], 'all'),
    interfaces: readNames(reader, get(node, 'interfaces'), interfaces),
    values: readValues(reader, get(node, 'values')),
    interfaceValues: new Map(
      readEntries(reader, get(node, 'interfaceValues')).map((entry) => {
        refuseUnknown(reader, entry.key, { at: entry.keyAt, path: entry.value.path }, interfaces);
        return [entry.key, readValues(reader, entry.value)];
      }),
    ),
  } as const;
  return file === undefined || format === undefined ? undefined : { ...config, file, format };
}

function readFile(reader: Reader, node: Node | undefined): string | undefined {
  const file = readText(reader, node);
  if (file === undefined || file === STDOUT) return file;
  if (isAbsolute(file)) {
    const why = whyNoFile(file);
    if (why === undefined) return file;
    const hint = 'name a file, or one that is not there yet; - is standard output';
    return fail(reader, node!, 'flow-log-no-file', `${file} can't be written to: ${why}`, hint);
  }
  return fail(
    reader,
    node!,
    'relative-file',
    `'${file}' is not an absolute path`,
    `write where it is to be, as /var/log/secgroupd/${file}; - is standard output`,
  );
}

/** What kind of file it is, in words. Undefined if it is a regular file, or does not exist yet. */
function whyNoFile(file: string): string | undefined {
  try {
    const found = statSync(file);
    return found.isFile() ? undefined : `it is ${describeKind(found)}`;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENAMETOOLONG' ? code : undefined;
  }
}

function readFormat(reader: Reader, node: Node | undefined): LogFormat | undefined {
  const text = node === undefined ? DEFAULT_FORMAT : readText(reader, node);
  if (text === undefined) return undefined;
  const parsed = parseFormat(text);
  if (parsed.ok) return parsed.value;
  const { unknown, message } = parsed;
  const close = unknown === undefined ? undefined : closest(unknown, FIELD_NAMES);
  return fail(
    reader,
    node!,
    'bad-log-format',
    message,
    close === undefined ? 'docs/flow-logs.md lists the fields' : `did you mean '${close}'?`,
  );
}

function readNames(
  reader: Reader,
  node: Node | undefined,
  interfaces: readonly string[],
): readonly string[] | undefined {
  if (node === undefined) return undefined;
  return readItems(reader, node).flatMap((item) => {
    const name = readText(reader, item);
    if (name !== undefined) refuseUnknown(reader, name, item, interfaces);
    return name ?? [];
  });
}

function refuseUnknown(
  reader: Reader,
  name: string,
  place: Pick<Node, 'at' | 'path'>,
  interfaces: readonly string[],
): void {
  if (interfaces.includes(name)) return;
  const close = closest(name, interfaces);
  fail(
    reader,
    place,
    'unknown-interface',
    `there is no interface '${name}'`,
    close === undefined ? undefined : `did you mean '${close}'?`,
  );
}

function readValues(reader: Reader, node: Node | undefined): ReadonlyMap<string, string> {
  return new Map(
    readEntries(reader, node).flatMap(({ key, value }): [string, string][] => {
      const text = readText(reader, value);
      return text === undefined || !GIVEN_FIELD_NAMES.includes(key) ? [] : [[key, text]];
    }),
  );
}
