/** Actions on network interfaces: create, delete, describe, and their attributes. */
import { Edit } from '../../estate/edit.ts';
import {
  createInterface,
  deleteInterface,
  findInterface,
  modifyInterface,
  type AddressWish,
  type InterfaceChange,
} from '../../estate/interfaces.ts';
import type { EstateInterface } from '../../estate/model.ts';
import type { ConnectionTracking } from '../../policy/model.ts';
import { ApiError, dryRunSucceeded, type Action, type Answer } from '../action.ts';
import { shown } from '../form.ts';
import { checked, managedAction, type DryRunParams, type Managed } from '../managed.ts';
import { describe, refuseUnserved, required, type DescribeParams } from './describe.ts';
import {
  attachmentOutput,
  groupsOutput,
  interfaceFields,
  interfaceOutput,
} from './interface-output.ts';
import { tagsOf, type TagSpecification } from './rule-params.ts';

interface TrackingParams {
  readonly TcpEstablishedTimeout?: number;
  readonly UdpStreamTimeout?: number;
  readonly UdpTimeout?: number;
}

interface CreateParams extends DryRunParams {
  readonly SubnetId?: string;
  readonly Description?: string;
  readonly Groups?: readonly string[];
  readonly PrivateIpAddress?: string;
  readonly PrivateIpAddresses?: readonly {
    readonly Primary?: boolean;
    readonly PrivateIpAddress?: string;
  }[];
  readonly SecondaryPrivateIpAddressCount?: number;
  readonly Ipv6Addresses?: readonly { readonly Ipv6Address?: string }[];
  readonly Ipv6AddressCount?: number;
  readonly InterfaceType?: string;
  readonly ConnectionTrackingSpecification?: TrackingParams;
  readonly TagSpecifications?: readonly TagSpecification[];
  readonly ClientToken?: string;
}

export interface InterfaceParams extends DryRunParams {
  readonly NetworkInterfaceId?: string;
}

interface ModifyParams extends InterfaceParams {
  readonly Description?: { readonly Value?: string };
  readonly SourceDestCheck?: { readonly Value?: boolean };
  readonly Groups?: readonly string[];
  readonly ConnectionTrackingSpecification?: TrackingParams;
  readonly Attachment?: { readonly AttachmentId?: string; readonly DeleteOnTermination?: boolean };
}

interface DescribeInterfacesParams extends DescribeParams {
  readonly NetworkInterfaceIds?: readonly string[];
}

/** Prefixes delegated to an interface, and what network cards and public addresses have. */
const UNSERVED_ON_CREATE = [
  'Ipv4Prefixes',
  'Ipv4PrefixCount',
  'Ipv6Prefixes',
  'Ipv6PrefixCount',
  'EnablePrimaryIpv6',
  'Operator',
];
const UNSERVED_ON_MODIFY = [
  'EnaSrdSpecification',
  'EnablePrimaryIpv6',
  'AssociatePublicIpAddress',
  'AssociatedSubnetIds',
];

export function interfaceActions(managed: Managed): readonly Action[] {
  return [
    managedAction<CreateParams>(managed, 'CreateNetworkInterface', 'write', create),
    managedAction<InterfaceParams>(
      managed,
      'DeleteNetworkInterface',
      'write',
      async (my, params) => {
        const id = interfaceIdOf(params);
        const { revision } = await my.change(params, (edit) => deleteInterface(edit, id));
        return { output: {}, revision };
      },
    ),
    managedAction<ModifyParams>(managed, 'ModifyNetworkInterfaceAttribute', 'write', modify),
    managedAction<InterfaceParams & { readonly SourceDestCheck?: string }>(
      managed,
      'ResetNetworkInterfaceAttribute',
      'write',
      async (my, params) => {
        const id = interfaceIdOf(params);
        required(params.SourceDestCheck, 'SourceDestCheck');
        const { revision } = await my.change(params, (edit) =>
          modifyInterface(edit, id, { sourceDestCheck: true }, my.context),
        );
        return { output: {}, revision };
      },
    ),
    managedAction<DescribeInterfacesParams>(
      managed,
      'DescribeNetworkInterfaces',
      'read',
      async (my, params) => {
        const { items, NextToken } = describe<EstateInterface>(my, params, {
          ids: ['networkInterfaceIds', params.NetworkInterfaceIds],
          all: () => my.estate.list('interfaces'),
          find: findInterface,
          idOf: ({ id }) => id,
          tagsOf: ({ tags }) => tags,
          fields: interfaceFields(my),
        });
        const NetworkInterfaces = items.map((one) => interfaceOutput(one, my));
        return { output: { NetworkInterfaces, NextToken } };
      },
    ),
    managedAction<InterfaceParams & { readonly Attribute?: string }>(
      managed,
      'DescribeNetworkInterfaceAttribute',
      'read',
      async (my, params) => {
        const id = interfaceIdOf(params);
        const attribute = required(params.Attribute, 'Attribute');
        const one = checked(findInterface(new Edit(my.estate), id));
        if (params.DryRun === true) throw dryRunSucceeded();
        return { output: { NetworkInterfaceId: id, ...attributeOutput(one, attribute, my) } };
      },
    ),
  ];
}

export function interfaceIdOf({ NetworkInterfaceId: id }: InterfaceParams): string {
  return required(id, 'NetworkInterfaceId');
}

async function create(managed: Managed, params: CreateParams): Promise<Answer> {
  refuseUnserved(params, UNSERVED_ON_CREATE);
  const { InterfaceType: type = 'interface' } = params;
  if (type !== 'interface') {
    const message = `Value (${shown(type)}) for parameter interfaceType is not served here: it is 'interface'`;
    throw new ApiError('InvalidParameterValue', message);
  }
  const given = {
    subnetId: required(params.SubnetId, 'SubnetId'),
    ipv4: ipv4Wish(params),
    ipv6: {
      texts: (params.Ipv6Addresses ?? []).map(({ Ipv6Address: text = '' }) => text),
      count: params.Ipv6AddressCount ?? 0,
    },
    groupIds: params.Groups ?? [],
    description: params.Description ?? '',
    sourceDestCheck: true,
    connectionTracking: trackingOf(params.ConnectionTrackingSpecification),
    tags: tagsOf(params.TagSpecifications, 'network-interface'),
  };
  const { value, revision } = await managed.changeOnce(
    'CreateNetworkInterface',
    params,
    (edit) => {
      const made = createInterface(edit, given, managed.context);
      return made.ok ? { ok: true, value: made.value.id } : made;
    },
    (edit, id) => edit.read('interfaces', id),
  );
  const output = {
    NetworkInterface: interfaceOutput(value, managed),
    ClientToken: params.ClientToken,
  };
  return { output, revision };
}

/** The primary address first: the one that is called so, or the first one. */
function ipv4Wish(params: CreateParams): AddressWish {
  const { PrivateIpAddress: single, PrivateIpAddresses: several = [] } = params;
  const primary = several.filter(({ Primary: isPrimary }) => isPrimary === true);
  if (primary.length + (single === undefined ? 0 : 1) > 1) {
    const message = 'Only one primary private IP address can be specified.';
    throw new ApiError('InvalidParameterCombination', message);
  }
  const others = several.filter(({ Primary: isPrimary }) => isPrimary !== true);
  const texts = [
    ...(single === undefined ? [] : [single]),
    ...[...primary, ...others].map(({ PrivateIpAddress: text = '' }) => text),
  ];
  const { SecondaryPrivateIpAddressCount: secondary = 0 } = params;
  return { texts, count: secondary + (texts.length === 0 ? 1 : 0) };
}

async function modify(managed: Managed, params: ModifyParams): Promise<Answer> {
  const id = interfaceIdOf(params);
  refuseUnserved(params, UNSERVED_ON_MODIFY);
  const { Attachment: attachment } = params;
  if (attachment !== undefined) {
    refuseUnserved(attachment, ['DeleteOnTermination', 'DefaultEnaQueueCount', 'EnaQueueCount']);
    checkAttachment(managed, id, attachment.AttachmentId);
  }
  const tracking = trackingOf(params.ConnectionTrackingSpecification);
  const given: InterfaceChange = {
    ...(params.Groups === undefined ? {} : { groupIds: params.Groups }),
    ...(params.Description === undefined ? {} : { description: params.Description.Value ?? '' }),
    ...(params.SourceDestCheck?.Value === undefined
      ? {}
      : { sourceDestCheck: params.SourceDestCheck.Value }),
    ...(tracking === undefined ? {} : { connectionTracking: tracking }),
  };
  const { revision } = await managed.change(params, (edit) =>
    modifyInterface(edit, id, given, managed.context),
  );
  return { output: {}, revision };
}

function checkAttachment({ estate }: Managed, id: string, attachmentId = ''): void {
  if (estate.interface(id)?.attachment?.id === attachmentId) return;
  const message = `The attachment '${shown(attachmentId)}' is not one of the interface '${shown(id)}'`;
  throw new ApiError('InvalidAttachmentID.NotFound', message);
}

function trackingOf(params: TrackingParams | undefined): Partial<ConnectionTracking> | undefined {
  if (params === undefined) return undefined;
  const given = Object.entries({
    tcpEstablishedTimeoutSec: params.TcpEstablishedTimeout,
    udpStreamTimeoutSec: params.UdpStreamTimeout,
    udpTimeoutSec: params.UdpTimeout,
  }).filter(([, seconds]) => seconds !== undefined);
  return Object.fromEntries(given);
}

function attributeOutput(one: EstateInterface, attribute: string, managed: Managed): object {
  switch (attribute) {
    case 'description':
      return { Description: { Value: one.description } };
    case 'groupSet':
      return { Groups: groupsOutput(one, managed) };
    case 'sourceDestCheck':
      return { SourceDestCheck: { Value: one.sourceDestCheck } };
    case 'attachment':
      return { Attachment: attachmentOutput(one, managed) };
    case 'associatePublicIpAddress':
      return { AssociatePublicIpAddress: false };
    default: {
      const message = `Value (${shown(attribute)}) for parameter attribute is invalid. Unknown attribute.`;
      throw new ApiError('InvalidParameterValue', message);
    }
  }
}
