/** This file has the parts of the configuration's schema for VPCs. */
import { list, mapping } from './schema-parts.ts';

const NETWORKS = {
  cidrBlocks: list(
    { type: 'string' },
    { title: 'Blocks of the VPC', examples: [['10.0.0.0/16', 'fd00:10::/56']] },
  ),
  subnets: list(
    { type: 'string' },
    { title: 'Blocks of its subnets', examples: [['10.0.0.0/24']] },
  ),
};

export const VPC = mapping(NETWORKS, {
  title: 'VPC',
  description:
    "The VPC whose addresses the interfaces have. No interface may have its DNS address (base + 2) or its subnets' router addresses (base + 1), as in AWS.",
});

export const VPCS = {
  type: 'object',
  additionalProperties: mapping(
    {
      ...NETWORKS,
      id: {
        type: 'string',
        title: 'Id',
        description:
          'The id it has in AWS, and in the VpcId of templates: vpc- and 17 hexadecimal digits. Made from the name if absent.',
      },
    },
    {},
  ),
  title: 'VPCs',
  description:
    'More than one VPC, by name; in place of vpc. Groups and interfaces belong to one each, and say which with vpc. Names of groups are unique in a VPC, rules name groups of their own VPC only, and each VPC has its default group. Blocks of two VPCs that have interfaces here must not overlap.',
  examples: [{ prod: { cidrBlocks: ['10.1.0.0/16'] }, staging: { cidrBlocks: ['10.2.0.0/16'] } }],
};

export const GROUP_VPC = {
  type: 'string',
  title: 'VPC',
  description:
    'The VPC it belongs to, where there are several: its name in vpcs, STACK/LOGICAL-ID of one of a template, or its id.',
  examples: ['prod'],
};

export const INTERFACE_VPC = {
  type: 'string',
  title: 'VPC',
  description:
    'The VPC it is in, where there are several. That of its groups, or of the subnet that the template names, if absent.',
  examples: ['prod'],
};

export const TEMPLATE_VPC = {
  type: 'string',
  title: 'VPC',
  description:
    'The VPC of its groups that have no VpcId, or one that is not known here, where there are several.',
  examples: ['prod'],
};
