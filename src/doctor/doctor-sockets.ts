/** These checks of `secgroupd doctor` concern interfaces that packet sockets are opened on (`attach` and `veth`). */
import { deviceLabel } from '../config/device-specs.ts';
import type { DeviceSpec } from '../ports/device.ts';
import { findOnly } from '../ports/find-link.ts';
import type { Native } from '../ports/native.ts';
import { isMadeHere, portKind } from '../ports/port-kind.ts';
import { count } from '../source/count.ts';
import type { Check, Reader } from './doctor-check.ts';

/** Source: capabilities(7). */
const CAP_NET_RAW = 1n << 13n;

/** Takes out the interfaces that we make, and those that packet sockets are opened on. A stream is neither. */
export function splitSpecs(specs: readonly DeviceSpec[]): {
  readonly own: readonly DeviceSpec[];
  readonly bySocket: readonly DeviceSpec[];
} {
  return {
    own: specs.filter(({ kind }) => isMadeHere(portKind(kind))),
    bySocket: specs.filter(({ kind }) => portKind(kind).isSocket),
  };
}

export function checkBySocket(
  native: Pick<Native, 'lookAtDevice' | 'listLinks'>,
  bySocket: readonly DeviceSpec[],
  reader: Pick<Reader, 'read' | 'service'>,
): Check[] {
  if (bySocket.length === 0) return [];
  const kinds = [...new Set(bySocket.map(({ kind }) => `kind: ${kind}`))].sort().join(' and ');
  const attached = bySocket.filter(({ kind }) => portKind(kind).isAttached);
  const right = checkRight(reader, kinds);
  return attached.length === 0 ? [right] : [right, checkThere(native, attached)];
}

function checkRight({ read, service }: Pick<Reader, 'read' | 'service'>, kinds: string): Check {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(read('/proc/self/status') ?? '')?.[1];
  const has =
    service === undefined
      ? (BigInt(`0x${hex ?? '0'}`) & CAP_NET_RAW) !== 0n
      : (service.capabilities?.has('CAP_NET_RAW') ?? true);
  if (has) return { name: 'capability', status: 'ok', found: `CAP_NET_RAW, for ${kinds}` };
  return {
    name: 'capability',
    status: 'fail',
    found: `CAP_NET_RAW is missing, and the configuration has ${kinds}`,
    means: 'no device of that kind can be opened',
    mend:
      service === undefined
        ? 'run as root, or give it to the service (example: attach.conf)'
        : 'give it to the service (example: attach.conf)',
  };
}

function checkThere(
  native: Pick<Native, 'lookAtDevice' | 'listLinks'>,
  attached: readonly DeviceSpec[],
): Check {
  const wrong = attached.flatMap((spec) => {
    try {
      const { name } =
        spec.match === undefined ? spec : findOnly(native, spec.match, spec.netnsPath);
      const { ifindex, isUp } = native.lookAtDevice(spec.netnsPath, name);
      if (ifindex !== 0 && isUp) return [];
      return [`${deviceLabel(spec)} ${ifindex === 0 ? 'is not there' : 'is down'}`];
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
  });
  if (wrong.length === 0)
    return {
      name: 'attached',
      status: 'ok',
      found: `${count(attached.length, 'interface')} to attach, there and up`,
    };
  return {
    name: 'attached',
    status: 'warn',
    found: wrong.join('; '),
    means: 'it is attached as soon as it is there and up',
    mend: 'see what there is with: ip -brief link show',
  };
}
