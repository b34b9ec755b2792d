/**
 * This file finds the blocks of VPCs and subnets. They tell which addresses groups never filter, and which addresses
 * are outside their VPC. An unknown block has no other effect, so it is a notice.
 */
import { parseCidr, type Cidr } from '../addr/address.ts';
import type { Origin } from '../policy/model.ts';
import type { Mapping } from '../source/yaml.ts';
import { idOf } from './attributes.ts';
import { readProperty } from './calls.ts';
import { KIND_SUBNET, KIND_VPC, KIND_VPC_BLOCK } from './kinds.ts';
import { readText } from './properties.ts';
import { fail, report } from './reporting.ts';
import type { Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import { abbreviate } from './values.ts';

export interface Networks {
  /** The first IPv4 block of each VPC. Base + 2 is the address of the VPC's DNS. */
  readonly vpcs: readonly Cidr[];
  /** All blocks of all VPCs, including those. */
  readonly blocks: readonly BlockOfVpc[];
  /** The blocks of subnets. Base + 1 is the router. */
  readonly subnets: readonly BlockOfVpc[];
  /** The VPC of each subnet whose VPC is known, both by id. */
  readonly vpcsOfSubnets: ReadonlyMap<string, string>;
}

export interface BlockOfVpc {
  /** Undefined if it is unknown. */
  readonly vpcId: string | undefined;
  readonly cidr: Cidr;
  readonly origin: Origin;
}

export function readNetworks(scope: Scope, resources: readonly Resource[]): Networks {
  const vpcs: Cidr[] = [];
  const blocks: BlockOfVpc[] = [];
  const subnets: BlockOfVpc[] = [];
  const vpcsOfSubnets = new Map<string, string>();
  for (const resource of resources) {
    if (![KIND_VPC, KIND_VPC_BLOCK, KIND_SUBNET].includes(resource.type)) continue;
    const first = readBlock(scope, resource, 'CidrBlock', 4);
    const second =
      resource.type === KIND_VPC ? undefined : readBlock(scope, resource, 'Ipv6CidrBlock', 6);
    const vpcId =
      resource.type === KIND_VPC ? idOf(scope, resource) : readVpcId(scope, resource.properties);
    const { at, path, logicalId } = resource;
    const origin = { ...at, path, logicalId };
    const found = [first, second].flatMap((cidr) =>
      cidr === undefined ? [] : [{ vpcId, cidr, origin }],
    );
    if (resource.type === KIND_SUBNET) subnets.push(...found);
    else blocks.push(...found);
    if (resource.type === KIND_SUBNET && vpcId !== undefined)
      vpcsOfSubnets.set(idOf(scope, resource), vpcId);
    if (resource.type === KIND_VPC && first !== undefined) vpcs.push(first);
  }
  return { vpcs, blocks, subnets, vpcsOfSubnets };
}

function readVpcId(scope: Scope, properties: Mapping | undefined): string | undefined {
  const value = readProperty(scope, properties, 'VpcId');
  return value?.kind === 'text' ? value.text : undefined;
}

function readBlock(
  scope: Scope,
  resource: Resource,
  name: string,
  family: 4 | 6,
): Cidr | undefined {
  const value = readText(scope, resource.properties, name);
  if (value?.kind === 'unknown' && family === 4) {
    const message = `${name} of '${resource.logicalId}' can't be known here: ${value.reason}`;
    const hint = `${value.hint}; or name the block in the configuration, under vpc`;
    report(scope.problems, 'notice', 'unknown-value', value, message, hint);
  }
  if (value?.kind !== 'text') return undefined;
  const parsed = parseCidr(value.text, 'mask');
  if (parsed.ok && parsed.value.family === family) return parsed.value;
  const hint = parsed.ok ? `an IPv${family} block goes here` : parsed.hint;
  fail(scope, 'bad-cidr', value, `CIDR block ${abbreviate(value.text)} is malformed`, hint);
  return undefined;
}
