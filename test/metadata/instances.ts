/** Instances that tests ask about. */
import type { InstanceView } from '../../src/queries/instance-view.ts';

export const WEB: InstanceView = {
  id: 'eni-0123456789abcdef0',
  name: 'web',
  macAddress: '02:78:9a:bc:de:f0',
  addresses: ['10.0.0.11', '10.0.0.12', 'fd00:10::11'],
  groups: [
    { id: 'sg-1', name: 'web' },
    { id: 'sg-2', name: 'base' },
  ],
  subnets: ['10.0.0.0/24'],
  vpc: { id: 'vpc-1', cidrBlocks: ['10.0.0.0/16'] },
  tags: {},
};

export const DB: InstanceView = { ...WEB, id: 'eni-00000000000000001', name: 'db' };
