/** What all packet loops know of who is beyond their TAPs, in memory they share. */
import { ASK_MS, createNeighbours, REACHABLE_MS } from './neighbours.ts';

/** An instance's MAC address that is not known: broadcast, which is nobody's. */
export const MAC_UNKNOWN_HIGH = 0xffff;
export const MAC_UNKNOWN_LOW = -1;

/** What all loops know of who is beyond their TAPs. */
export interface LinkMemory {
  /** By port, four times: MAC address of the instance, as 16 high and 32 low bits; when it last spoke; when it was last asked. */
  readonly macs: SharedArrayBuffer;
  /** Of the uplink (neighbours.ts). */
  readonly neighbours: SharedArrayBuffer;
}

/** The MAC addresses of instances, for what is no packet loop. */
export class Macs {
  private readonly words: Int32Array;
  private readonly ports: number;

  constructor({ macs }: LinkMemory) {
    this.words = new Int32Array(macs);
    this.ports = this.words.length / 4;
  }

  /** @returns 12 hexadecimal digits; undefined if it is not known */
  read(port: number): string | undefined {
    const high = this.words[port];
    const low = this.words[this.ports + port];
    if (high === MAC_UNKNOWN_HIGH && low === MAC_UNKNOWN_LOW) return undefined;
    return high.toString(16).padStart(4, '0') + (low >>> 0).toString(16).padStart(8, '0');
  }

  /** @param mac of `read`; anything else is passed over */
  write(port: number, mac: unknown): void {
    if (typeof mac !== 'string' || !/^[0-9a-f]{12}$/.test(mac)) return;
    this.words[port] = Number.parseInt(mac.slice(0, 4), 16);
    this.words[this.ports + port] = Number.parseInt(mac.slice(4), 16) | 0;
  }
}

/** Memory for so many ports; nothing is known yet. */
export function createLinkMemory(ports: number): LinkMemory {
  const macs = new SharedArrayBuffer(16 * ports);
  const words = new Int32Array(macs);
  words.fill(MAC_UNKNOWN_HIGH, 0, ports);
  words.fill(MAC_UNKNOWN_LOW, ports, 2 * ports);
  words.fill(-REACHABLE_MS, 2 * ports, 3 * ports);
  words.fill(-ASK_MS, 3 * ports);
  return { macs, neighbours: createNeighbours() };
}
