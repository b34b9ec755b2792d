/**
 * Checks what a test needs of the machine. Each function returns whether it is there. If not, it has skipped the test
 * with the reason, and the test returns: `if (!requireRoot(t)) return;`.
 */
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';

/** linux/capability.h */
const CAPABILITIES: readonly (readonly [name: string, bit: bigint])[] = [
  ['CAP_NET_ADMIN', 12n],
  ['CAP_NET_RAW', 13n],
  ['CAP_SYS_ADMIN', 21n],
];

/** Root with the capabilities that making network namespaces and devices takes: a container's root may lack them. */
export function requireRoot(t: TestContext): boolean {
  if (process.getuid?.() !== 0) return skip(t, 'needs root');
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  const bits = BigInt(`0x${effective?.[1] ?? '0'}`);
  const missing = CAPABILITIES.filter(([, bit]) => ((bits >> bit) & 1n) === 0n).map(
    ([name]) => name,
  );
  return missing.length === 0 || skip(t, `needs ${missing.join(', ')}`);
}

/** Programs on the PATH, or in the sbin folders that it may not name. */
export function requireTools(t: TestContext, ...tools: readonly string[]): boolean {
  const missing = tools.filter((tool) => findTool(tool) === undefined);
  return missing.length === 0 || skip(t, `needs ${missing.join(', ')} (not found on the PATH)`);
}

/** /dev/net/tun, and the right to open it. */
export function requireTun(t: TestContext): boolean {
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return true;
  } catch (error) {
    return skip(
      t,
      `needs /dev/net/tun (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
    );
  }
}

/** Absolute path of a program, or undefined. */
export function findTool(tool: string): string | undefined {
  return findTools(tool)[0];
}

/** All programs of that name, the first on the PATH first. */
export function findTools(tool: string): readonly string[] {
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
  ];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, tool))
    .filter((path) => isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function skip(t: TestContext, reason: string): false {
  t.skip(reason);
  return false;
}
