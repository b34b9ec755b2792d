/** A real daemon without rights (world.ts), that has an estate of a store in memory in force beside its file. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { parseAddress } from '../../src/addr/address.ts';
import { EstateInForce } from '../../src/daemon/estate-in-force.ts';
import type { Edit } from '../../src/estate/edit.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import type { EstateInterface } from '../../src/estate/model.ts';
import { ONLY_VPC_ID } from '../../src/policy/vpcs.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
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
  const inForce = new EstateInForce({
    client,
    file: 'memory',
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

interface Written {
  readonly address: string;
  readonly groupIds: readonly string[];
}

/** Writes an interface that a call made and attached to a device of the host. */
export function writeAttached(
  edit: Edit,
  id: string,
  { device, ...written }: Written & { readonly device: string },
): void {
  edit.write('interfaces', id, {
    ...detached(id, written),
    attachment: {
      id: `${id}-attach`,
      host: 'here',
      instanceId: 'i-1',
      deviceIndex: 0,
      attachedAt: new Date(0).toISOString(),
      isByTags: true,
      device: {
        ...{ kind: 'tun', name: device, netns: undefined },
        ...{ mtu: 1500, configure: false, persist: false },
      },
    },
  });
}

/** Writes an interface that a call made. */
export function writeDetached(edit: Edit, id: string, written: Written): void {
  edit.write('interfaces', id, detached(id, written));
}

function detached(id: string, { address, groupIds }: Written): EstateInterface {
  const parsed = parseAddress(address);
  assert.ok(parsed.ok);
  return {
    id,
    vpcId: ONLY_VPC_ID,
    subnetId: undefined,
    addresses: [parsed.value],
    groupIds,
    description: '',
    sourceDestCheck: true,
    connectionTracking: undefined,
    macAddress: '02:00:00:00:00:01',
    attachment: undefined,
    tags: [],
  };
}
