/** A world to try the API on real packets in: namespaces, a daemon with a store, and secgroup-api on the same store. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { makeFolder } from '../store/folder.ts';
import { startApiProgram, type ApiProgram } from '../support/api-program.ts';
import type { Netns } from '../support/netns.ts';
import { Daemon, makeNamespaces } from './world.ts';

export interface ApiWorld<Name extends string> extends ApiProgram {
  readonly daemon: Daemon;
  readonly netns: Record<Name | 'out', Netns>;
  /** Gone with the test. */
  readonly folder: string;
}

/** Starts both, the daemon as the host `here`, whose file has an uplink alone, and `more`. Its other side is in `out`. */
export async function startApiWorld<Name extends string>(
  t: TestContext,
  names: readonly Name[],
  folder = makeFolder(t),
  outside: readonly string[] = ['10.9.0.1'],
  more = '',
): Promise<ApiWorld<Name>> {
  const netns = await makeNamespaces(t, [...names, 'out' as const]);
  const file = join(folder, 'c.yaml');
  const addresses = outside.map((one) => (one.includes(':') ? `'${one}/64'` : `${one}/24`));
  const { out } = netns as Record<'out', Netns>;
  writeFileSync(
    file,
    `uplink: { tun: up0, netns: ${out.path}, addresses: [${addresses.join(', ')}] }\n${more}`,
  );
  const { server, url, key, store } = await startApiProgram(folder, { policy: 'write' });
  t.after(() => server.stop());
  const daemon = await Daemon.start(t, file, ['--store', store, '--host', 'here']);
  return { daemon, server, url, key, store, netns, folder };
}
