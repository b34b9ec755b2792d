/** A small subnet, for tests in which addresses are used again soon. */
import type { Edit } from '../../src/estate/edit.ts';
import type { NewInterface } from '../../src/estate/interfaces.ts';
import type { EstateSubnet } from '../../src/estate/model.ts';
import { createSubnet } from '../../src/estate/subnets.ts';
import { createVpc } from '../../src/estate/vpcs.ts';
import { context, take } from './world.ts';

/** Eleven addresses. */
const CIDR = '10.20.1.0/28';

export function makeSubnet(edit: Edit): EstateSubnet {
  const vpc = take(createVpc(edit, { cidr: '10.20.0.0/16', ipv6: 'none', tags: [] }, context));
  const wish = { vpcId: vpc.id, cidr: CIDR, ipv6Cidr: undefined, zone: undefined, tags: [] };
  return take(createSubnet(edit, wish, ['us-east-1a'], context));
}

/** @param texts addresses; none: whichever is free */
export function wishFor(subnet: EstateSubnet, texts: readonly string[] = []): NewInterface {
  return {
    ...{ subnetId: subnet.id, ipv4: { texts, count: 0 }, ipv6: { texts: [], count: 0 } },
    ...{ groupIds: [], description: '', sourceDestCheck: true, connectionTracking: undefined },
    tags: [],
  };
}
