/** Actions on where network interfaces are: their addresses, and what they are attached to. */
import { formatAddress } from '../../addr/address.ts';
import { attachToInstance, detachInterface } from '../../estate/attach.ts';
import {
  assignAddresses,
  takeFromOthers,
  unassignAddresses,
  type AddressWish,
} from '../../estate/interfaces.ts';
import { ApiError, type Action } from '../action.ts';
import { managedAction, type DryRunParams, type Managed } from '../managed.ts';
import { refuseUnserved, required } from './describe.ts';
import { interfaceIdOf, type InterfaceParams } from './interfaces.ts';

interface Ipv4Params extends InterfaceParams {
  readonly PrivateIpAddresses?: readonly string[];
  readonly SecondaryPrivateIpAddressCount?: number;
  readonly AllowReassignment?: boolean;
}

interface Ipv6Params extends InterfaceParams {
  readonly Ipv6Addresses?: readonly string[];
  readonly Ipv6AddressCount?: number;
}

interface AttachParams extends InterfaceParams {
  readonly InstanceId?: string;
  readonly DeviceIndex?: number;
}

const PREFIXES = ['Ipv4Prefixes', 'Ipv4PrefixCount', 'Ipv6Prefixes', 'Ipv6PrefixCount'];

export function interfacePlaceActions(managed: Managed): readonly Action[] {
  return [...addressActions(managed), ...attachmentActions(managed)];
}

function addressActions(managed: Managed): readonly Action[] {
  return [
    managedAction<Ipv4Params>(managed, 'AssignPrivateIpAddresses', 'write', async (my, params) => {
      const id = interfaceIdOf(params);
      refuseUnserved(params, PREFIXES);
      const wish = wishOf(
        'PrivateIpAddress',
        params.PrivateIpAddresses,
        params.SecondaryPrivateIpAddressCount,
      );
      const { value, revision } = await my.change(params, (edit) => {
        const texts = params.AllowReassignment === true ? wish.texts : [];
        const taken = takeFromOthers(edit, id, texts);
        return taken.ok ? assignAddresses(edit, id, 4, wish) : taken;
      });
      const AssignedPrivateIpAddresses = value.added.map((one) => ({
        PrivateIpAddress: formatAddress(one),
      }));
      return { output: { NetworkInterfaceId: id, AssignedPrivateIpAddresses }, revision };
    }),
    managedAction<Ipv4Params>(
      managed,
      'UnassignPrivateIpAddresses',
      'write',
      async (my, params) => {
        const id = interfaceIdOf(params);
        refuseUnserved(params, PREFIXES);
        const { texts } = wishOf('PrivateIpAddress', params.PrivateIpAddresses, undefined);
        const { revision } = await my.change(params, (edit) =>
          unassignAddresses(edit, id, 4, texts),
        );
        return { output: {}, revision };
      },
    ),
    managedAction<Ipv6Params>(managed, 'AssignIpv6Addresses', 'write', async (my, params) => {
      const id = interfaceIdOf(params);
      refuseUnserved(params, PREFIXES);
      const wish = wishOf('Ipv6Addresses', params.Ipv6Addresses, params.Ipv6AddressCount);
      const { value, revision } = await my.change(params, (edit) =>
        assignAddresses(edit, id, 6, wish),
      );
      const AssignedIpv6Addresses = value.added.map(formatAddress);
      return { output: { NetworkInterfaceId: id, AssignedIpv6Addresses }, revision };
    }),
    managedAction<Ipv6Params>(managed, 'UnassignIpv6Addresses', 'write', async (my, params) => {
      const id = interfaceIdOf(params);
      refuseUnserved(params, PREFIXES);
      const { texts } = wishOf('Ipv6Addresses', params.Ipv6Addresses, undefined);
      const { revision } = await my.change(params, (edit) => unassignAddresses(edit, id, 6, texts));
      return { output: { NetworkInterfaceId: id, UnassignedIpv6Addresses: texts }, revision };
    }),
  ];
}

function attachmentActions(managed: Managed): readonly Action[] {
  return [
    managedAction<AttachParams>(managed, 'AttachNetworkInterface', 'write', async (my, params) => {
      const id = interfaceIdOf(params);
      refuseUnserved(params, ['EnaSrdSpecification', 'EnaQueueCount']);
      const instanceId = required(params.InstanceId, 'InstanceId');
      const index = required(params.DeviceIndex, 'DeviceIndex');
      const { value, revision } = await my.change(params, (edit) =>
        attachToInstance(edit, id, instanceId, index, my.context),
      );
      const output = { AttachmentId: value.attachment?.id, NetworkCardIndex: 0 };
      return { output, revision };
    }),
    managedAction<DryRunParams & { readonly AttachmentId?: string; readonly Force?: boolean }>(
      managed,
      'DetachNetworkInterface',
      'write',
      async (my, params) => {
        const id = required(params.AttachmentId, 'AttachmentId');
        const { revision } = await my.change(params, (edit) =>
          detachInterface(edit, id, params.Force === true),
        );
        return { output: {}, revision };
      },
    ),
  ];
}

/** @throws ApiError if neither addresses are named nor a number of them */
function wishOf(
  name: string,
  texts: readonly string[] = [],
  count: number | undefined,
): AddressWish {
  if (texts.length === 0 && count === undefined) {
    const message = `The request must contain the parameter ${name}`;
    throw new ApiError('MissingParameter', message);
  }
  return { texts, count: count ?? 0 };
}
