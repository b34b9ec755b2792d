/** Writes interfaces into an estate, as calls would leave them. */
import assert from 'node:assert/strict';
import { parseAddress } from '../../src/addr/address.ts';
import type { Edit } from '../../src/estate/edit.ts';
import type { EstateInterface } from '../../src/estate/model.ts';
import { ONLY_VPC_ID } from '../../src/policy/vpcs.ts';

interface Written {
  readonly address: string;
  readonly groupIds: readonly string[];
}

interface Placed extends Written {
  readonly device: string;
  readonly host?: string;
  readonly netns?: string;
  readonly configure?: boolean;
}

/** Writes an interface that a call made and attached to a device of a host. */
export function writeAttached(
  edit: Edit,
  id: string,
  { device, host = 'here', netns, configure = false, ...written }: Placed,
): void {
  edit.write('interfaces', id, {
    ...detached(id, written),
    attachment: {
      id: `${id}-attach`,
      host,
      instanceId: 'i-1',
      deviceIndex: 0,
      attachedAt: new Date(0).toISOString(),
      isByTags: true,
      device: { kind: 'tun', name: device, netns, mtu: 1500, configure, persist: false },
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
