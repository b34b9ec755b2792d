/** Reads the network configuration that a runtime writes to the standard input of a CNI plugin. */
import { DEFAULT_SOCKET } from '../../control-socket/control-client.ts';
import type { DeviceQuestion } from '../../queries/owned-interfaces.ts';
import { printable } from '../../source/excerpt.ts';
import { readKind } from '../device-kind.ts';
import {
  isObject,
  optionalList,
  optionalObject,
  optionalText,
  optionalTexts,
  parseJsonObject,
  type JsonObject,
} from '../json-input.ts';
import { DoorError } from '../selection.ts';
import { CniError, CODES } from './failure.ts';
import { VERSIONS, type CniVersion } from './versions.ts';

export interface NetworkConfig {
  readonly cniVersion: CniVersion;
  readonly name: string;
  /** The daemon's control socket. */
  readonly socket: string;
  readonly kind: NonNullable<DeviceQuestion['kind']>;
  /** Bytes. Undefined: the daemon's default. */
  readonly mtu: number | undefined;
  /** `securityGroups` of the network. */
  readonly securityGroups: readonly string[] | undefined;
  /** `securityGroups` of `args.cni`. */
  readonly argsGroups: readonly string[] | undefined;
  /** `eni` of `args.cni`. */
  readonly argsEni: string | undefined;
  /** The program that gives out addresses. */
  readonly ipamType: string | undefined;
  readonly dns: JsonObject | undefined;
  readonly prevResult: JsonObject | undefined;
  /** As it came, for the IPAM plugin. */
  readonly bytes: Buffer;
  readonly object: JsonObject;
}

export interface ValidAttachment {
  readonly containerId: string;
  readonly ifName: string;
}

/** CNI specification, "Network configuration format". `cni.dev/…` are the runtime's. */
const KNOWN_KEYS = new Set([
  ...['cniVersion', 'name', 'type', 'args', 'capabilities', 'runtimeConfig', 'ipam', 'dns'],
  ...['prevResult', 'disableCheck', 'securityGroups', 'socket', 'kind', 'mtu'],
]);
/** For an interface that secgroupd makes. */
const OWN_INTERFACE_KEYS = ['ipam', 'kind', 'mtu', 'dns'];
/** Both are the IPAM plugin's, which reads the same input. */
const KNOWN_CAPABILITIES = new Set(['ips', 'ipRanges']);
const NETWORK_NAME = /^[A-Za-z0-9][\w.-]{0,199}$/;

/** @throws CniError */
export function readNetworkConfig(bytes: Buffer): NetworkConfig {
  let object: JsonObject;
  try {
    object = parseJsonObject(bytes);
  } catch (error) {
    throw new CniError(CODES.notDecoded, (error as Error).message);
  }
  try {
    return readConfig(object, bytes);
  } catch (error) {
    if (error instanceof DoorError) throw badConfig(error.message);
    throw error;
  }
}

function readConfig(object: JsonObject, bytes: Buffer): NetworkConfig {
  const cniVersion = readVersion(object);
  const name = optionalText(object, 'name') ?? '';
  if (!NETWORK_NAME.test(name))
    throw badConfig('name is letters, digits, _ . -, at most 200 of them');
  const socket = optionalText(object, 'socket') ?? DEFAULT_SOCKET;
  if (!socket.startsWith('/')) throw badConfig('socket is an absolute path');
  const kind = readKind(optionalText(object, 'kind'));
  const mtu = object['mtu'] ?? undefined;
  if (mtu !== undefined && !Number.isSafeInteger(mtu)) throw badConfig('mtu is a number of bytes');
  const args = optionalObject(optionalObject(object, 'args') ?? {}, 'cni') ?? {};
  return {
    cniVersion,
    name,
    socket,
    kind,
    mtu: mtu as number | undefined,
    securityGroups: optionalTexts(object, 'securityGroups'),
    argsGroups: optionalTexts(args, 'securityGroups'),
    argsEni: optionalText(args, 'eni'),
    ipamType: optionalText(optionalObject(object, 'ipam') ?? {}, 'type'),
    dns: optionalObject(object, 'dns'),
    prevResult: optionalObject(object, 'prevResult'),
    bytes,
    object,
  };
}

/**
 * What was asked for, and this plugin does not do. Only for ADD: what is there is removed whatever is written.
 * @param hasAddresses whether the interface has its addresses already, and `ipam` is not needed
 */
export function refuseUnsupported(
  { object, prevResult, ipamType }: NetworkConfig,
  hasAddresses: boolean,
): void {
  if (prevResult !== undefined) {
    const key = OWN_INTERFACE_KEYS.find((one) => one in object);
    if (key !== undefined)
      throw badConfig(
        `${key} and prevResult are both given: behind another plugin, the interface and its addresses are those that it made; leave ${key} out, or put secgroupd first`,
      );
  } else if (ipamType === undefined && !hasAddresses)
    throw badConfig(
      'ipam is missing: name the plugin that gives out addresses, such as host-local; or put secgroupd behind bridge or ptp',
    );
  const unknown = Object.keys(object).find(
    (key) => !KNOWN_KEYS.has(key) && !key.startsWith('cni.dev/'),
  );
  if (unknown !== undefined) throw unsupported(`${printable(unknown)} is no key of secgroupd`);
  for (const [name, value] of Object.entries(optionalObject(object, 'runtimeConfig') ?? {})) {
    if (KNOWN_CAPABILITIES.has(name) || isEmpty(value)) continue;
    throw unsupported(
      name === 'portMappings'
        ? 'portMappings is not for secgroupd: give this capability to the portmap plugin, after secgroupd in the list'
        : `secgroupd does not have the capability ${printable(name)}: take it from its capabilities`,
    );
  }
}

/** What the runtime still has, at GC. @throws CniError */
export function readValidAttachments({ object }: NetworkConfig): readonly ValidAttachment[] {
  const key = ['cni.dev/valid-attachments', 'cni.dev/attachments'].find((one) => one in object);
  // Nothing said is not the same as nothing there.
  if (key === undefined) throw badConfig('cni.dev/valid-attachments is missing');
  return (optionalList(object, key) ?? []).map((one) => {
    const { containerID, ifname } = isObject(one) ? one : {};
    if (typeof containerID === 'string' && typeof ifname === 'string')
      return { containerId: containerID, ifName: ifname };
    throw badConfig(`each of ${key} has containerID and ifname`);
  });
}

function readVersion(object: JsonObject): CniVersion {
  const text = optionalText(object, 'cniVersion') ?? '0.1.0';
  const version = VERSIONS.find((one) => one === text);
  if (version !== undefined) return version;
  throw new CniError(
    CODES.incompatibleVersion,
    `cniVersion ${printable(text.slice(0, 64))} is none of ${VERSIONS.join(', ')}`,
  );
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === '') return true;
  return Array.isArray(value)
    ? value.length === 0
    : isObject(value) && Object.keys(value).length === 0;
}

export function badConfig(message: string): CniError {
  return new CniError(CODES.badConfig, message);
}

function unsupported(message: string): CniError {
  return new CniError(CODES.unsupportedField, message);
}
