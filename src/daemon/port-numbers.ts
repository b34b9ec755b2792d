/** This file assigns interfaces to port numbers of the packet path. Port 0 is the uplink. */
import { PORTS_MAX, UPLINK_PORT } from '../policy/compiled.ts';
import type { InterfaceId } from '../policy/model.ts';
import { isSameDevice, type Device } from '../ports/device.ts';
import type { Config } from '../config/config.ts';
import { interfaceDevice } from '../config/device-specs.ts';

/** An interface with its device, at its port. */
export interface Attached {
  readonly id: InterfaceId;
  readonly name: string;
  readonly device: Device;
}

/** An interface that gets a new port. */
export type AddedInterface = readonly [port: number, entry: Config['interfaces'][number]];

export interface PortNumbers {
  readonly ports: ReadonlyMap<InterfaceId, number>;
  readonly added: readonly AddedInterface[];
}

/**
 * Assigns a port to each interface of `next`: its former port if it keeps its device, else a free one.
 * @throws RangeError if there are too many
 */
export function assignPorts(
  next: Config,
  attached: ReadonlyMap<number, Attached>,
  resting: ReadonlySet<number>,
): PortNumbers {
  const ports = new Map<InterfaceId, number>();
  const entries = new Map(next.interfaces.map((entry) => [entry.id, entry]));
  for (const [port, { id, device }] of attached) {
    const entry = entries.get(id);
    if (entry !== undefined && isSameDevice(device.spec, interfaceDevice(next, entry)))
      ports.set(id, port);
  }
  const added: AddedInterface[] = [];
  let port = UPLINK_PORT;
  for (const entry of next.interfaces) {
    if (ports.has(entry.id)) continue;
    do port++;
    while (attached.has(port) || resting.has(port));
    if (port >= PORTS_MAX)
      throw new RangeError(`more than ${PORTS_MAX - 1} interfaces; run a second daemon`);
    ports.set(entry.id, port);
    added.push([port, entry]);
  }
  return { ports, added };
}
