/** Reads the VPCs, subnets and prefix lists of a plan or state into a draft. */
import { AUDIT_TAG, isAuditTagged } from '../../policy/audit-tags.ts';
import { numberOf, objectsOf, own, textOf, textsOf } from '../../source/json-values.ts';
import type { DraftList } from '../draft-parts.ts';
import type { Reading } from './reading.ts';
import type { Instance } from './resource.ts';
import { idOf, isUnknown } from './links.ts';

export function readVpc(reading: Reading, one: Instance): void {
  const id = idOf(one, 'vpc');
  const { values } = one;
  const blocks = [
    ...[own(values, 'cidr_block'), own(values, 'ipv6_cidr_block')].flatMap(
      (text) => textOf(text) ?? [],
    ),
    ...objectsOf(own(values, 'cidr_block_associations')).flatMap(
      (association) => textOf(own(association, 'cidr_block')) ?? [],
    ),
  ];
  const origin = reading.originOf(one);
  const name = nameTag(one) ?? one.address;
  reading.draft.vpcs.set(id, { id, name, vpcId: id, blocks: [...new Set(blocks)], origin });
}

export function readSubnet(reading: Reading, one: Instance): void {
  const { values } = one;
  const id = idOf(one, 'subnet');
  const vpcId = reading.one(reading.links.of(one, 'vpc_id', 'vpc'));
  const blocks = [own(values, 'cidr_block'), own(values, 'ipv6_cidr_block')].flatMap(
    (text) => textOf(text) ?? [],
  );
  const origin = reading.originOf(one);
  const givesIpv6 = own(values, 'assign_ipv6_address_on_creation') === true;
  reading.draft.subnets.set(id, {
    ...{ id, name: nameTag(one) ?? one.address, vpcId, blocks, origin },
    ...(givesIpv6 ? { givesIpv6 } : {}),
  });
}

/** A list that is managed here, or one that is only looked up. */
export function readList(reading: Reading, one: Instance): void {
  const { values, unknown, isData, type } = one;
  const id = idOf(one, 'list');
  const isWhole =
    type === 'aws_ec2_managed_prefix_list' || textsOf(own(values, 'cidr_blocks')).length > 0;
  const blocks = own(values, isData && own(values, 'entries') !== undefined ? 'entries' : 'entry');
  const list: DraftList = {
    id,
    name: textOf(own(values, 'name')) ?? one.address,
    family: own(values, 'address_family') === 'IPv6' ? 6 : 4,
    maxEntries: numberOf(own(values, 'max_entries')),
    entries: [
      ...objectsOf(blocks).flatMap((entry) => {
        const cidr = textOf(own(entry, 'cidr'));
        return cidr === undefined
          ? []
          : [{ cidr, description: textOf(own(entry, 'description')) ?? '' }];
      }),
      ...textsOf(own(values, 'cidr_blocks')).map((cidr) => ({ cidr, description: '' })),
    ],
    gaps: [],
    origin: reading.originOf(one),
  };
  // Entries that nobody wrote here are resources of their own.
  if (isUnknown(own(unknown, 'entry')) && reading.isWritten(one, 'entry'))
    list.gaps.push('not all of its entries are known before it is made');
  if (!isWhole) list.gaps.push(`only its name is in ${reading.draft.what}`);
  reading.draft.lists.set(id, list);
}

export function readListEntry(reading: Reading, one: Instance): void {
  const link = reading.links.of(one, 'prefix_list_id', 'list');
  const cidr = textOf(own(one.values, 'cidr'));
  const origin = reading.originOf(one);
  for (const id of link.ids) {
    const list = reading.draft.list(id, origin);
    if (cidr === undefined) list.gaps.push(`the block of ${one.address} is not known`);
    else if (!list.entries.some((entry) => entry.cidr === cidr))
      list.entries.push({ cidr, description: textOf(own(one.values, 'description')) ?? '' });
  }
  const why = `${one.address} may be an entry of it: ${link.why}`;
  for (const id of link.candidates) reading.draft.list(id, origin).gaps.push(why);
  if (link.opaque.length > 0) for (const list of reading.draft.lists.values()) list.gaps.push(why);
}

export function nameTag({ values }: Instance): string | undefined {
  return textOf(own(own(values, 'tags'), 'Name'));
}

/** Whether its tags, or those that the provider gives to all, put it in audit mode. Tags that are not known don't. */
export function auditOf({ values }: Instance): { readonly audit?: true } {
  const [mine, all] = ['tags', 'tags_all'].map((key) => textOf(own(own(values, key), AUDIT_TAG)));
  const value = mine ?? all ?? '';
  return isAuditTagged([{ key: AUDIT_TAG, value }]) ? { audit: true } : {};
}
