/** Holds what all packet loops know about the hosts beyond their TAPs, in memory that they share. */
import { ASK_MS, createNeighbours, REACHABLE_MS } from './neighbours.ts';

/** Marks an instance's MAC address as unknown: the broadcast address, which no host has. */
export const MAC_UNKNOWN_HIGH = 0xffff;
export const MAC_UNKNOWN_LOW = -1;

/** The memory that all packet loops share. */
export interface LinkMemory {
  /**
   * Four words by port: MAC address of the instance (16 high bits, 32 low bits), when it last spoke, when it was last
   * asked.
   */
  readonly macs: SharedArrayBuffer;
  /** The neighbour table of the uplink (neighbours.ts). */
  readonly neighbours: SharedArrayBuffer;
}

/** Reads and writes the MAC addresses of instances from outside a packet loop. */
export class Macs {
  private readonly words: Int32Array;
  private readonly ports: number;

  constructor({ macs }: LinkMemory) {
    this.words = new Int32Array(macs);
    this.ports = this.words.length / 4;
  }

  /** @returns 12 hexadecimal digits; undefined if the address is not known */
  read(port: number): string | undefined {
    const high = this.words[port];
    const low = this.words[this.ports + port];
    if (high === MAC_UNKNOWN_HIGH && low === MAC_UNKNOWN_LOW) return undefined;
    return high.toString(16).padStart(4, '0') + (low >>> 0).toString(16).padStart(8, '0');
  }

  /** @param mac as `read` returns it; anything else is ignored */
  write(port: number, mac: unknown): void {
    if (typeof mac !== 'string' || !/^[0-9a-f]{12}$/.test(mac)) return;
    this.words[port] = Number.parseInt(mac.slice(0, 4), 16);
    this.words[this.ports + port] = Number.parseInt(mac.slice(4), 16) | 0;
  }
}

/** Creates the memory for `ports` ports, without any addresses. */
export function createLinkMemory(ports: number): LinkMemory {
  const macs = new SharedArrayBuffer(16 * ports);
  const words = new Int32Array(macs);
  words.fill(MAC_UNKNOWN_HIGH, 0, ports);
  words.fill(MAC_UNKNOWN_LOW, ports, 2 * ports);
  words.fill(-REACHABLE_MS, 2 * ports, 3 * ports);
  words.fill(-ASK_MS, 3 * ports);
  return { macs, neighbours: createNeighbours() };
}
