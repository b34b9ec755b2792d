/** Reads what netavark hands to a plugin: a network, or a container that joins or leaves one. */
import { DEFAULT_SOCKET } from '../../control-socket/control-client.ts';
import type { PortKindName } from '../../ports/port-kind.ts';
import { readKind } from '../device-kind.ts';
import {
  optionalList,
  optionalObject,
  optionalText,
  optionalTextMap,
  optionalTexts,
  type JsonObject,
} from '../json-input.ts';
import { DoorError, readSelection, type Selection } from '../selection.ts';

/** What `podman network create -o` may give, beside the groups. */
export interface NetworkOptions {
  readonly id: string;
  readonly name: string;
  readonly socket: string;
  /** Bytes. Undefined: the daemon's default. */
  readonly mtu: number | undefined;
  readonly kind: PortKindName;
  /** `sg` or `eni` of the network, if it has one of them. */
  readonly options: ReadonlyMap<string, string>;
}

export interface Joining {
  readonly network: NetworkOptions;
  readonly containerId: string;
  readonly containerName: string;
  readonly interfaceName: string;
  /** What Podman gives; undefined: all that an interface has which a call of the EC2 API made. */
  readonly addresses: readonly string[] | undefined;
  readonly selection: Selection;
}

const OWN_OPTIONS = ['socket', 'mtu', 'kind'];
const NETWORK_NAME = /^[A-Za-z0-9][\w.-]{0,199}$/;

/** @throws DoorError if something is missing, wrong or unknown */
export function readNetwork(object: JsonObject): NetworkOptions {
  const all = optionalTextMap(object, 'options');
  const socket = all.get('socket') ?? DEFAULT_SOCKET;
  if (!socket.startsWith('/')) throw new DoorError('the option socket is an absolute path');
  const mtu = all.get('mtu');
  if (mtu !== undefined && !/^\d{2,5}$/.test(mtu))
    throw new DoorError('the option mtu is a number of bytes');
  const name = required(object, 'name');
  if (!NETWORK_NAME.test(name))
    throw new DoorError('the name of the network is letters, digits, _ . -, at most 200 of them');
  const options = new Map([...all].filter(([key]) => !OWN_OPTIONS.includes(key)));
  if (options.size > 0) readSelection(options);
  return {
    id: required(object, 'id'),
    name,
    socket,
    mtu: mtu === undefined ? undefined : Number(mtu),
    kind: readKind(all.get('kind')),
    options,
  };
}

/** Which interface of the daemon it is about. That is all that leaving takes. */
export function readMember(object: JsonObject): Omit<Joining, 'addresses' | 'selection'> {
  const own = optionalObject(object, 'network_options') ?? {};
  return {
    network: readNetwork(optionalObject(object, 'network') ?? {}),
    containerId: required(object, 'container_id'),
    containerName: optionalText(object, 'container_name') ?? '',
    interfaceName: required(own, 'interface_name'),
  };
}

/** @throws DoorError also if something is asked for that is not done */
export function readJoining(object: JsonObject): Joining {
  const member = readMember(object);
  const own = optionalObject(object, 'network_options') ?? {};
  if ((optionalList(object, 'port_mappings') ?? []).length > 0)
    throw new DoorError(
      'ports are not published by secgroupd: leave --publish out, and reach the container by its address',
    );
  if ((optionalText(own, 'static_mac') ?? '') !== '')
    throw new DoorError(
      'a MAC address can not be given: a TUN has none, and any other device the one that follows from its interface',
    );
  const options = optionalTextMap(own, 'options');
  const selection = readSelection(options.size > 0 ? options : member.network.options);
  const addresses = optionalTexts(own, 'static_ips') ?? [];
  if (addresses.length === 0 && selection.kind === 'groups')
    throw new DoorError('Podman gives no address: create the network with --subnet');
  return { ...member, addresses: addresses.length === 0 ? undefined : addresses, selection };
}

function required(object: JsonObject, key: string): string {
  const text = optionalText(object, key) ?? '';
  if (text !== '') return text;
  throw new DoorError(`${key} is missing`);
}
