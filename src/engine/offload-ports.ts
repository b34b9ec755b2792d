/** Tells the kernel's programs where the interfaces of ports are, and knows which of them take part. */
import {
  PORT_IFINDEX,
  PORT_IS_PAIR,
  PORT_MAC_HIGH,
  PORT_MAC_LOW,
  PORT_MTU,
  PORT_WORDS,
} from '../offload/layout.ts';

export class OffloadPorts {
  private readonly words: Int32Array;
  /** By port: 0 if its interface takes no part; 1 if packets from it can be forwarded; 2 if also those to it. */
  private readonly takesPart: Uint8Array;

  /** @param words the table that the programs read */
  constructor(words: Int32Array, ports: number) {
    this.words = words;
    this.takesPart = new Uint8Array(ports);
  }

  /** Whether packets between two interfaces can be forwarded, at least one way. */
  canForward(from: number, to: number): boolean {
    const { takesPart } = this;
    return takesPart[from] !== 0 && takesPart[to] !== 0 && takesPart[from] + takesPart[to] > 2;
  }

  /** Whether the interface of a port takes part, as another device than this one. */
  isElsewhere(port: number, ifindex: number): boolean {
    return this.takesPart[port] !== 0 && this.words[port * PORT_WORDS + PORT_IFINDEX] !== ifindex;
  }

  /** Says where the interface of a port is. @param ifindex 0: its packets come to the loop */
  set(port: number, ifindex: number, isPair: boolean, mtu: number): void {
    const { words } = this;
    const at = port * PORT_WORDS;
    this.takesPart[port] = ifindex === 0 ? 0 : isPair ? 2 : 1;
    words[at + PORT_IS_PAIR] = isPair ? 1 : 0;
    words[at + PORT_MTU] = mtu;
    words[at + PORT_IFINDEX] = ifindex;
  }

  /** Notes the MAC address of a port's instance. Frames from another come to the loop. */
  setMac(port: number, high: number, low: number): void {
    if (this.takesPart[port] === 0) return;
    this.words[port * PORT_WORDS + PORT_MAC_HIGH] = high;
    this.words[port * PORT_WORDS + PORT_MAC_LOW] = low;
  }
}
