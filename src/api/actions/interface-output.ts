/**
 * This file shows network interfaces as the EC2 API does, and what DescribeNetworkInterfaces filters by.
 *
 * One that its tags attach has the status `available` and no attachment: that is what clients wait for after they made
 * one, and what they need to delete it. One that a call attached, or a file declares, is `in-use`.
 */
import { formatAddress } from '../../addr/address.ts';
import type { Attachment, EstateInterface } from '../../estate/model.ts';
import type { FilterFields } from '../filters.ts';
import type { Managed } from '../managed.ts';
import { tagOutput } from './group-output.ts';
import { zoneIdOf } from './subnets.ts';

export function interfaceOutput(one: EstateInterface, managed: Managed): object {
  const { id, connectionTracking } = one;
  const ipv4 = addressesOf(one, 4);
  const ipv6 = addressesOf(one, 6);
  const zone = zoneOf(one, managed);
  return {
    NetworkInterfaceId: id,
    OwnerId: managed.accountId,
    VpcId: one.vpcId,
    SubnetId: one.subnetId,
    AvailabilityZone: zone,
    AvailabilityZoneId: zone === undefined ? undefined : zoneIdOf(managed.region, zone),
    Description: one.description,
    InterfaceType: 'interface',
    Status: statusOf(one),
    Attachment: attachmentOutput(one, managed),
    Groups: groupsOutput(one, managed),
    MacAddress: one.macAddress,
    PrivateIpAddress: ipv4[0],
    PrivateIpAddresses: ipv4.map((text, i) => ({ PrivateIpAddress: text, Primary: i === 0 })),
    Ipv6Address: ipv6[0],
    Ipv6Addresses: ipv6.map((text) => ({ Ipv6Address: text, IsPrimaryIpv6: false })),
    Ipv4Prefixes: [],
    Ipv6Prefixes: [],
    SourceDestCheck: one.sourceDestCheck,
    RequesterManaged: false,
    Operator: { Managed: false },
    ConnectionTrackingConfiguration:
      connectionTracking === undefined
        ? undefined
        : {
            TcpEstablishedTimeout: connectionTracking.tcpEstablishedTimeoutSec,
            UdpStreamTimeout: connectionTracking.udpStreamTimeoutSec,
            UdpTimeout: connectionTracking.udpTimeoutSec,
          },
    TagSet: tagOutput(one.tags),
  };
}

export function groupsOutput(
  { groupIds }: EstateInterface,
  { estate }: Managed,
): readonly object[] {
  return groupIds.map((id) => ({ GroupId: id, GroupName: estate.group(id)?.group.name }));
}

export function attachmentOutput(one: EstateInterface, { accountId }: Managed): object | undefined {
  const attachment = shownAttachment(one);
  if (attachment === undefined) return undefined;
  return {
    AttachmentId: attachment.id,
    AttachTime: new Date(attachment.attachedAt),
    InstanceId: attachment.instanceId,
    InstanceOwnerId: accountId,
    DeviceIndex: attachment.deviceIndex,
    NetworkCardIndex: 0,
    DeleteOnTermination: false,
    Status: 'attached',
  };
}

/** Source: EC2 API Reference, DescribeNetworkInterfaces, Filter.N. */
export function interfaceFields(managed: Managed): FilterFields<EstateInterface> {
  const none = (): readonly string[] => [];
  const attached =
    (text: (attachment: Attachment) => string) =>
    (one: EstateInterface): readonly string[] => {
      const attachment = shownAttachment(one);
      return attachment === undefined ? [] : [text(attachment)];
    };
  return {
    'network-interface-id': ({ id }) => [id],
    'owner-id': () => [managed.accountId],
    'vpc-id': ({ vpcId }) => [vpcId],
    'subnet-id': ({ subnetId }) => (subnetId === undefined ? [] : [subnetId]),
    'availability-zone': (one) => {
      const zone = zoneOf(one, managed);
      return zone === undefined ? [] : [zone];
    },
    description: ({ description }) => [description],
    'group-id': ({ groupIds }) => groupIds,
    'group-name': ({ groupIds }) =>
      groupIds.flatMap((id) => managed.estate.group(id)?.group.name ?? []),
    'interface-type': () => ['interface'],
    'mac-address': ({ macAddress }) => [macAddress],
    'private-ip-address': (one) => addressesOf(one, 4).slice(0, 1),
    'addresses.private-ip-address': (one) => addressesOf(one, 4),
    'addresses.primary': (one) => addressesOf(one, 4).map((_, i) => String(i === 0)),
    'ipv6-addresses.ipv6-address': (one) => addressesOf(one, 6),
    'requester-managed': () => ['false'],
    'operator.managed': () => ['false'],
    'source-dest-check': ({ sourceDestCheck }) => [String(sourceDestCheck)],
    status: (one) => [statusOf(one)],
    'attachment.attachment-id': attached(({ id }) => id),
    'attachment.attach-time': attached(({ attachedAt }) => attachedAt),
    'attachment.delete-on-termination': attached(() => 'false'),
    'attachment.device-index': attached(({ deviceIndex }) => String(deviceIndex)),
    'attachment.instance-id': attached(({ instanceId }) => instanceId),
    'attachment.instance-owner-id': attached(() => managed.accountId),
    'attachment.status': attached(() => 'attached'),
    // No interface has a public address, a name or a requester, so none matches.
    ...Object.fromEntries(NEVER.map((name) => [name, none])),
  };
}

const NEVER = [
  'addresses.association.owner-id',
  'addresses.association.public-ip',
  'association.allocation-id',
  'association.association-id',
  'association.ip-owner-id',
  'association.public-dns-name',
  'association.public-ip',
  'attachment.nat-gateway-id',
  'operator.principal',
  'private-dns-name',
  'requester-id',
];

function addressesOf({ addresses }: EstateInterface, family: 4 | 6): readonly string[] {
  return addresses.filter((one) => one.family === family).map(formatAddress);
}

function shownAttachment({ attachment }: EstateInterface): Attachment | undefined {
  return attachment?.isByTags === true ? undefined : attachment;
}

function statusOf(one: EstateInterface): string {
  return shownAttachment(one) === undefined ? 'available' : 'in-use';
}

function zoneOf({ subnetId }: EstateInterface, { estate }: Managed): string | undefined {
  return subnetId === undefined ? undefined : estate.subnet(subnetId)?.zone;
}
