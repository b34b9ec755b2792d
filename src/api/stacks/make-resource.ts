/** This file makes and changes one resource of a stack, by the calls of the estate. */
import { formatCidr } from '../../addr/address.ts';
import type { CallContext } from '../../estate/calls.ts';
import type { Edit } from '../../estate/edit.ts';
import { createEstateGroup } from '../../estate/groups.ts';
import { createInterface, modifyInterface } from '../../estate/interfaces.ts';
import { createEstatePrefixList, modifyEstatePrefixList } from '../../estate/prefix-lists.ts';
import { createSubnet, modifySubnetAttributes } from '../../estate/subnets.ts';
import { associateBlock, createVpc, modifyVpcAttributes } from '../../estate/vpcs.ts';
import type { PrefixList } from '../../policy/model.ts';
import { makeRefusal, type Checked } from '../../policy/refusals.ts';
import type { Tag } from '../../policy/tags.ts';
import type { DesiredResource, Spec } from './resource-specs.ts';
import { dropOwnEgress, emptyGroup } from './rule-steps.ts';

export interface MakeContext {
  readonly context: CallContext;
  readonly zones: readonly string[];
  readonly stackName: string;
  readonly stackId: string;
}

const DONE = { ok: true, value: undefined } as const;

export function createResource(
  edit: Edit,
  one: DesiredResource,
  make: MakeContext,
): Checked<unknown> {
  const { spec, physicalId: id, rules } = one;
  const tags = uniqueTags(one.tags);
  switch (spec.kind) {
    case 'group': {
      const { vpcId, name, description } = spec;
      const given = { vpcId, name, description, tags };
      const made = createEstateGroup(edit, given, withIds(make.context, { sg: id }));
      if (!made.ok) return made;
      edit.write('groups', id, { ...made.value, tags: withOwnTags(tags, one, make) });
      const own = rules.filter(({ groupId }) => groupId === id);
      return dropOwnEgress(
        edit,
        id,
        own.map(({ rule }) => rule),
      );
    }
    case 'prefixList': {
      const { name, family, maxEntries, entries } = spec.list;
      const made = createEstatePrefixList(
        edit,
        { name, addressFamily: `IPv${family}`, maxEntries, entries: entries.map(entryText), tags },
        withIds(make.context, { pl: id }),
      );
      if (made.ok)
        edit.write('prefix-lists', id, { ...made.value, tags: withOwnTags(tags, one, make) });
      return made;
    }
    case 'interface':
      return createStackInterface(edit, one, spec, make);
    default:
      return createNetwork(edit, one, spec, make);
  }
}

function createNetwork(
  edit: Edit,
  one: DesiredResource,
  spec: Exclude<Spec, { readonly kind: 'group' | 'prefixList' | 'interface' }>,
  make: MakeContext,
): Checked<unknown> {
  const { physicalId: id } = one;
  const tags = uniqueTags(one.tags);
  switch (spec.kind) {
    case 'vpc': {
      const ids = withIds(make.context, { vpc: id, sg: spec.defaultGroupId });
      const made = createVpc(edit, { cidr: spec.cidr, ipv6: 'none', tags }, ids);
      if (!made.ok) return made;
      edit.write('vpcs', id, { ...made.value, tags: withOwnTags(tags, one, make) });
      return modifyVpcAttributes(edit, id, dnsOf(spec));
    }
    case 'vpcBlock': {
      const block = spec.cidr === undefined ? 'ipv6' : { cidr: spec.cidr };
      const ids = withIds(make.context, { 'vpc-cidr-assoc': id });
      return associateBlock(edit, spec.vpcId, block, ids);
    }
    case 'subnet': {
      const { vpcId, cidr, ipv6Cidr, zone, mapsPublicIp } = spec;
      const ids = withIds(make.context, { subnet: id });
      const made = createSubnet(edit, { vpcId, cidr, ipv6Cidr, zone, tags }, make.zones, ids);
      if (!made.ok) return made;
      edit.write('subnets', id, { ...made.value, tags: withOwnTags(tags, one, make) });
      return modifySubnetAttributes(edit, id, { mapPublicIpOnLaunch: mapsPublicIp });
    }
    case 'emptied':
      return spec.groupIds.reduce<Checked<unknown>>(
        (done, groupId) => (done.ok ? emptyGroup(edit, groupId) : done),
        DONE,
      );
    case 'unreadable': {
      const message = spec.reason;
      return { ok: false, refusals: [makeRefusal('InvalidParameterValue', message)] };
    }
    case 'rule':
    case 'none':
      return DONE;
    default:
      return spec satisfies never;
  }
}

/** Changes what can be changed; what can't made the resource a new one. Rules and tags have steps of their own. */
export function updateResource(
  edit: Edit,
  one: DesiredResource,
  make: MakeContext,
): Checked<unknown> {
  const { spec, physicalId: id } = one;
  switch (spec.kind) {
    case 'prefixList':
      return updatePrefixList(edit, id, spec.list, make.context);
    case 'vpc':
      return modifyVpcAttributes(edit, id, dnsOf(spec));
    case 'subnet':
      return modifySubnetAttributes(edit, id, { mapPublicIpOnLaunch: spec.mapsPublicIp });
    case 'interface': {
      const { description, sourceDestCheck, groupIds } = spec;
      const groups = groupIds.length === 0 ? {} : { groupIds };
      const change = { description, sourceDestCheck, ...groups };
      return modifyInterface(edit, id, change, make.context);
    }
    case 'emptied':
    case 'unreadable':
      return createResource(edit, one, make);
    default:
      return DONE;
  }
}

function createStackInterface(
  edit: Edit,
  one: DesiredResource,
  spec: Extract<Spec, { readonly kind: 'interface' }>,
  make: MakeContext,
): Checked<unknown> {
  const { subnetId, addresses, ipv6Addresses, groupIds, description, sourceDestCheck } = spec;
  const tags = uniqueTags(one.tags);
  const made = createInterface(
    edit,
    {
      subnetId,
      ipv4: { texts: addresses, count: addresses.length === 0 ? 1 : 0 },
      ipv6: { texts: ipv6Addresses, count: 0 },
      groupIds,
      description,
      sourceDestCheck,
      connectionTracking: undefined,
      tags,
    },
    withIds(make.context, { eni: one.physicalId }),
  );
  if (!made.ok) return made;
  const value = { ...made.value, tags: withOwnTags(tags, one, make) };
  edit.write('interfaces', one.physicalId, value);
  return made;
}

function updatePrefixList(
  edit: Edit,
  id: string,
  { name, maxEntries, entries }: PrefixList,
  context: CallContext,
): Checked<unknown> {
  const known = edit.peek('prefix-lists', id)?.list;
  const before = new Map((known?.entries ?? []).map((one) => [formatCidr(one.cidr), one]));
  const after = new Map(entries.map((one) => [formatCidr(one.cidr), one]));
  const add = [...after]
    .filter(([cidr, { description }]) => before.get(cidr)?.description !== description)
    .map(([, entry]) => entryText(entry));
  const remove = [...before.keys()].filter((cidr) => !after.has(cidr));
  // The size of a list changes in a call of its own: it grows before its entries come, and shrinks when they have gone.
  const resize = known === undefined || known.maxEntries === maxEntries ? [] : [{ maxEntries }];
  const content = { name, add, remove };
  const isGrowing = known !== undefined && known.maxEntries < maxEntries;
  for (const change of isGrowing ? [...resize, content] : [content, ...resize]) {
    const done = modifyEstatePrefixList(edit, id, change, context);
    if (!done.ok) return done;
  }
  return DONE;
}

function entryText({ cidr, description }: PrefixList['entries'][number]): {
  readonly cidr: string;
  readonly description: string;
} {
  return { cidr: formatCidr(cidr), description };
}

function dnsOf(spec: Extract<Spec, { readonly kind: 'vpc' }>): {
  readonly enableDnsHostnames: boolean;
  readonly enableDnsSupport: boolean;
} {
  return { enableDnsHostnames: spec.hasDnsHostnames, enableDnsSupport: spec.hasDnsSupport };
}

/** Of several tags with one key the last one counts: a resource's own goes before that of its stack. */
export function uniqueTags(tags: readonly Tag[]): readonly Tag[] {
  return [...new Map(tags.map((tag) => [tag.key, tag])).values()];
}

/** With the tags that say which stack made it, which only CloudFormation can give. */
function withOwnTags(
  tags: readonly Tag[],
  { logicalId }: DesiredResource,
  { stackName, stackId }: MakeContext,
): readonly Tag[] {
  return [
    ...tags,
    { key: 'aws:cloudformation:stack-name', value: stackName },
    { key: 'aws:cloudformation:logical-id', value: logicalId },
    { key: 'aws:cloudformation:stack-id', value: stackId },
  ];
}

/** A context that gives these ids, each once, to what has the prefix. */
function withIds(context: CallContext, ids: Readonly<Record<string, string>>): CallContext {
  const left = new Map(Object.entries(ids));
  const newId = (prefix: string): string => {
    const id = left.get(prefix);
    left.delete(prefix);
    return id ?? context.newId(prefix);
  };
  return { ...context, newId };
}
