/**
 * Shared by tests of real programs: two instances and the world beyond the uplink, the paths between them, and a wait
 * for a server.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Netns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import type { Daemon } from './world.ts';

export const ADDRESSES = {
  world: ['198.51.100.7', '2001:db8:51::7'],
  web: ['10.0.0.11', 'fd00:10::11'],
  app: ['10.0.0.12', 'fd00:10::12'],
} as const;
export type Name = keyof typeof ADDRESSES;

/** Every address of the above; not everywhere, so that what the rules admit is tracked. */
export const EVERYBODY = "[10.0.0.0/24, 198.51.100.0/24, 'fd00:10::/64', '2001:db8:51::/64']";

const PATHS: readonly (readonly [from: Name, to: Name])[] = [
  ['app', 'web'],
  ['world', 'web'],
  ['app', 'world'],
];

/** Each path, in each family; nothing may drop meanwhile. */
export async function onEveryPath(
  t: TestContext,
  daemon: Daemon,
  names: Record<Name, Netns>,
  run: (from: Netns, to: Netns, address: string, own: string) => Promise<void>,
): Promise<void> {
  for (const [from, to] of PATHS)
    for (const [family, address] of ADDRESSES[to].entries())
      await t.test(`${from} to ${address}`, async () => {
        const own = ADDRESSES[from][family];
        const drops = await daemon.dropsDuring(() => run(names[from], names[to], address, own));
        assert.deepEqual(drops, {});
      });
}

/** Until something listens at a port of a namespace; of raw sockets, to a protocol. */
export async function listening(
  netns: Netns,
  kind: 'tcp' | 'udp' | 'raw',
  port: number,
): Promise<void> {
  await until(`something listens at ${kind} ${port}`, async () => {
    const sockets = await netns.mustRun('ss', ['-Hln', `--${kind}`]);
    return new RegExp(`:${port}\\s`).test(sockets);
  });
}

export function inBrackets(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
