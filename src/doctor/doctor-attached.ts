/** These checks of `secgroupd doctor` concern interfaces that are there already (`kind: attach`). */
import { deviceLabel } from '../config/device-specs.ts';
import type { DeviceSpec } from '../ports/device.ts';
import { findOnly } from '../ports/find-link.ts';
import type { Native } from '../ports/native.ts';
import { isTunKind, portKind } from '../ports/port-kind.ts';
import { count } from '../source/count.ts';
import type { Check, Reader } from './doctor-check.ts';

/** Source: capabilities(7). */
const CAP_NET_RAW = 1n << 13n;

/** Takes out the interfaces that we make, and those that somebody else makes. A stream is neither. */
export function splitSpecs(specs: readonly DeviceSpec[]): {
  readonly own: readonly DeviceSpec[];
  readonly attached: readonly DeviceSpec[];
} {
  const isAttached = ({ kind }: DeviceSpec): boolean => portKind(kind).isAttached;
  return {
    own: specs.filter(({ kind }) => isTunKind(portKind(kind))),
    attached: specs.filter(isAttached),
  };
}

export function checkAttached(
  native: Pick<Native, 'lookAtDevice' | 'listLinks'>,
  attached: readonly DeviceSpec[],
  reader: Pick<Reader, 'read' | 'service'>,
): Check[] {
  if (attached.length === 0) return [];
  return [checkRight(reader), checkThere(native, attached)];
}

function checkRight({ read, service }: Pick<Reader, 'read' | 'service'>): Check {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(read('/proc/self/status') ?? '')?.[1];
  const has =
    service === undefined
      ? (BigInt(`0x${hex ?? '0'}`) & CAP_NET_RAW) !== 0n
      : (service.capabilities?.has('CAP_NET_RAW') ?? true);
  if (has) return { name: 'capability', status: 'ok', found: 'CAP_NET_RAW, for kind: attach' };
  return {
    name: 'capability',
    status: 'fail',
    found: 'CAP_NET_RAW is missing, and the configuration has kind: attach',
    means: 'no interface can be attached',
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
