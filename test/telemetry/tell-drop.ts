/** Tells of a packet that could not be decoded, as the packet loop would. */
import { EVENT_DROP, EVENT_NO_RULE, type EventRing } from '../../src/engine/events.ts';
import { Packet } from '../../src/wire/packet.ts';

const NO_FLOW = -1;

export function tellDrop(ring: EventRing, port: number): void {
  ring.tellPacket(EVENT_DROP, 1, new Packet(), false, port, 0, EVENT_NO_RULE, NO_FLOW, 1, 60);
}
