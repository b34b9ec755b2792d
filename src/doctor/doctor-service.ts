/**
 * This file finds the user, capabilities and limits with which the service would run. Most people run the doctor as
 * root, who may do everything. The service may not.
 *
 * `systemctl show` gives the values, drop-ins included. If systemd does not run (a container, a chroot), the unit
 * file and its drop-ins are read in the order that systemd reads them.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Reader, ServiceView } from './doctor-check.ts';

const UNIT = 'secgroupd.service';
const PROPERTIES = ['User', 'AmbientCapabilities', 'CapabilityBoundingSet', 'LimitNOFILE'] as const;
type Property = (typeof PROPERTIES)[number];
const SYSTEMCTL_TIMEOUT_MS = 5000;
/** The first directory that has the unit wins. Drop-ins of all directories count, each name once. */
const UNIT_DIRECTORIES = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
] as const;

/** Finds the installed service; undefined if there is none. */
export function findService(reader: Pick<Reader, 'read'>): ServiceView | undefined {
  return askSystemd() ?? serviceOfUnit(unitTexts(reader));
}

function askSystemd(): ServiceView | undefined {
  const wanted = ['LoadState', ...PROPERTIES].map((name) => `--property=${name}`);
  const { status, stdout } = spawnSync('systemctl', ['show', UNIT, ...wanted], {
    encoding: 'utf8',
    timeout: SYSTEMCTL_TIMEOUT_MS,
    env: { ...process.env, LC_ALL: 'C' },
  });
  return status === 0 ? serviceOfShow(stdout) : undefined;
}

/** Reads the service from systemd. @param output of `systemctl show`: lines `Name=value` */
export function serviceOfShow(output: string): ServiceView | undefined {
  const values = new Map(
    output.split('\n').map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)] as const;
    }),
  );
  if (values.get('LoadState') !== 'loaded') return undefined;
  return viewOf(
    values.get('User') ?? '',
    words(values.get('AmbientCapabilities') ?? ''),
    words(values.get('CapabilityBoundingSet') ?? ''),
    values.get('LimitNOFILE'),
  );
}

/** Reads the service from files. @param texts the unit and its drop-ins in their order; empty if there is no service */
export function serviceOfUnit(texts: readonly string[]): ServiceView | undefined {
  if (texts.length === 0) return undefined;
  const values: Record<Property, string | undefined> = {
    User: undefined,
    AmbientCapabilities: undefined,
    CapabilityBoundingSet: undefined,
    LimitNOFILE: undefined,
  };
  for (const [name, value] of texts.flatMap(assignments)) {
    const isList = name === 'AmbientCapabilities' || name === 'CapabilityBoundingSet';
    // A list grows with each line; an empty line empties it.
    values[name] = isList && value !== '' ? `${values[name] ?? ''} ${value}` : value;
  }
  const { User, AmbientCapabilities = '', CapabilityBoundingSet, LimitNOFILE } = values;
  const bounding = CapabilityBoundingSet === undefined ? undefined : words(CapabilityBoundingSet);
  return viewOf(User ?? '', words(AmbientCapabilities), bounding, LimitNOFILE);
}

function assignments(text: string): [name: Property, value: string][] {
  return text.split('\n').flatMap((line) => {
    const [, name, value] = /^\s*(\w+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    const known = PROPERTIES.find((one) => one === name);
    return known === undefined ? [] : [[known, value] as [Property, string]];
  });
}

/** Root gets the bounding set. Other users get the ambient capabilities within it. */
function viewOf(
  user: string,
  ambient: ReadonlySet<string>,
  bounding: ReadonlySet<string> | undefined,
  openFiles: string | undefined,
): ServiceView {
  const isRoot = user === '' || user === 'root' || user === '0';
  return {
    user: isRoot ? 'root' : user,
    capabilities: isRoot
      ? bounding
      : new Set([...ambient].filter((name) => bounding?.has(name) ?? true)),
    openFiles: openFiles?.split(':')[0],
  };
}

function words(text: string): ReadonlySet<string> {
  return new Set(
    text
      .split(/\s+/)
      .filter((word) => word !== '')
      .map((word) => word.toUpperCase()),
  );
}

function unitTexts({ read }: Pick<Reader, 'read'>): string[] {
  const unit = UNIT_DIRECTORIES.map((directory) => read(join(directory, UNIT))).find(
    (text) => text !== undefined,
  );
  if (unit === undefined) return [];
  const dropIns = new Map<string, string>();
  for (const directory of UNIT_DIRECTORIES) {
    const folder = join(directory, `${UNIT}.d`);
    for (const name of namesIn(folder))
      if (name.endsWith('.conf') && !dropIns.has(name))
        dropIns.set(name, read(join(folder, name)) ?? '');
  }
  const sorted = [...dropIns].sort(([a], [b]) => (a < b ? -1 : 1));
  return [unit, ...sorted.map(([, text]) => text)];
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
