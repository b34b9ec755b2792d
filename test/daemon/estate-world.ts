/** A real daemon without rights (world.ts), that has an estate of a store in memory in force beside its file. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { EstateInForce } from '../../src/daemon/estate-in-force.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { HostRows } from '../../src/estate/host-rows.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { ALIVE } from '../estate/world.ts';
import { startWorld, type DaemonWorld, type WorldOptions } from './world.ts';

export interface EstateWorld extends DaemonWorld {
  readonly inForce: EstateInForce;
  /** The daemon's own. */
  readonly client: EstateClient;
  readonly memory: Memory;
}

export function openClient(memory: Memory): Promise<EstateClient> {
  return EstateClient.open({
    store: new MemoryStore(memory),
    onTrouble: (message) => assert.fail(message),
  });
}

/** Starts it as the host `here`. */
export async function startEstateWorld(
  t: TestContext,
  text: string,
  options: WorldOptions = {},
): Promise<EstateWorld> {
  const world = await startWorld(t, text, options);
  const memory = new Memory();
  const client = await openClient(memory);
  const rows = new HostRows({
    store: new MemoryStore(memory),
    host: 'here',
    alive: ALIVE,
    intervalMs: 0,
    onTrouble: (message) => assert.fail(message),
  });
  const inForce = new EstateInForce({
    follower: client,
    rows,
    client,
    place: 'memory',
    host: 'here',
    netnsDirectory: '/run/netns',
    flowLogDirectory: '/nowhere',
    log: pino({ enabled: false }),
    declared: world.daemon.config,
  });
  inForce.join();
  await inForce.follow(world.daemon);
  t.after(() => inForce.stop());
  return { ...world, inForce, client, memory };
}
