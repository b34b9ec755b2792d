/**
 * This file opens the devices of new interfaces, and of an uplink that has changed.
 *
 * An interface that is renamed, or whose id changes, gives up its port and gets another, but its device stays open:
 * the device moves from one to the other as it is.
 */
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { interfaceDevice, uplinkDevice } from '../config/device-specs.ts';
import {
  isSameDevice,
  tryDevices,
  type Device,
  type DeviceSpec,
  type Opening,
} from '../ports/device.ts';
import type { Native, NativeError } from '../ports/native.ts';
import type { AddedInterface } from './port-numbers.ts';
import { logDevice } from './port-specs.ts';

/** The devices of new interfaces. */
export interface AddedDevices {
  /** One for each added interface, in their order. */
  readonly openings: readonly Opening[];
  /** Undefined if the uplink stays as it is. */
  readonly uplink: Opening | 'none' | undefined;
  /** The devices among them that were not open before. */
  readonly opened: readonly Device[];
}

/** What is there before the change. */
export interface DevicesBefore {
  /** Open devices of interfaces that give up their ports. */
  readonly givenUp: readonly Device[];
  readonly uplink: DeviceSpec | undefined;
}

/** The device is in use or not allowed, or /dev/net/tun is another device. Waiting does not change that. */
const REFUSALS: readonly string[] = ['EBUSY', 'EPERM', 'EACCES', 'ENOTTY'];

/**
 * Refuses the start if every device is refused. Then another daemon runs with this configuration, or the service lacks
 * a right.
 * @throws the Error of the first device
 */
export function refuseStart(openings: readonly Opening[]): void {
  const refused = openings.flatMap((one) =>
    'error' in one && REFUSALS.includes((one.error as NativeError).code) ? [one.error] : [],
  );
  if (openings.length > 0 && refused.length === openings.length) throw refused[0];
}

/**
 * Opens the devices of new interfaces in their order, and that of the uplink if it has changed. A device that another
 * interface gives up is taken over as it is.
 * @throws Error if descriptors or memory are short; nothing of what was opened is left then
 */
export function openAdded(
  { native, log }: { readonly native: Native; readonly log: Logger },
  next: Config,
  added: readonly AddedInterface[],
  before: DevicesBefore,
): AddedDevices {
  const specs = added.map(([, entry]) => interfaceDevice(next, entry));
  const takenOver = specs.map((spec) =>
    before.givenUp.find((device) => isSameDevice(device.spec, spec)),
  );
  const uplink = uplinkDevice(next);
  const isOther = !isSameUplink(before.uplink, uplink);
  const wanted = specs.filter((_, i) => takenOver[i] === undefined);
  const tried = tryDevices(
    native,
    isOther && uplink !== undefined ? [...wanted, needingAll(uplink)] : wanted,
  );
  const rest = tried.map((one, i) => (i === wanted.length ? withSpec(one, uplink!) : one));
  const opened = rest.flatMap((one) => ('device' in one ? [one.device] : []));
  for (const device of opened) logDevice(log, device);
  const openings = takenOver.map((device, i): Opening =>
    device === undefined ? rest.shift()! : { spec: specs[i], device },
  );
  return { openings, opened, uplink: isOther ? (rest.shift() ?? 'none') : undefined };
}

/**
 * The uplink before has the routes to the interfaces until the loops use this one. It must not come without them: it
 * waits, and is opened as soon as they are free.
 */
function needingAll(uplink: DeviceSpec): DeviceSpec {
  return { ...uplink, routes: uplink.routes.map((route) => ({ ...route, isOptional: false })) };
}

function withSpec(opening: Opening, spec: DeviceSpec): Opening {
  return 'device' in opening ? { spec, device: { ...opening.device, spec } } : { ...opening, spec };
}

function isSameUplink(a: DeviceSpec | undefined, b: DeviceSpec | undefined): boolean {
  return a === undefined || b === undefined ? a === b : isSameDevice(a, b);
}
