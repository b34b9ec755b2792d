/** This file says what calls of the EC2 API have told of an interface, for its instance to be told in turn. */
import type { InterfaceId } from '../policy/model.ts';
import type { ToldOfInterface } from '../queries/instance-view.ts';
import type { EstateInForce } from './estate-in-force.ts';

/** @param inForce undefined: there is no store, and no call */
export function toldOfInterface(
  inForce: Pick<EstateInForce, 'tagsOf' | 'estate'> | undefined,
  id: InterfaceId,
): ToldOfInterface {
  const estate = inForce?.estate;
  const { attachment, subnetId } = estate?.interface(id) ?? {};
  const subnet = subnetId === undefined ? undefined : estate?.find('subnets', subnetId);
  return {
    tags: inForce?.tagsOf(id) ?? {},
    ...(attachment === undefined
      ? {}
      : { instanceId: attachment.instanceId, deviceIndex: attachment.deviceIndex }),
    ...(subnet === undefined ? {} : { subnetId: subnet.id, zone: subnet.zone }),
  };
}
