/** What a packet of a tracked flow costs: decode, both gates, verdict; for one flow, 65,536 and a million. */
import { decode } from '../../../src/wire/decode.ts';
import { Packet } from '../../../src/wire/packet.ts';
import { tcp4, udp4 } from '../../packets/build.ts';
import type { ModelText } from '../../support/policy.ts';
import { Bed, makeFlows, shuffled, word, type Flows } from './bed.ts';
import type { Case } from './case.ts';

const CLIENT = '10.0.0.11';
const SERVER = '10.0.0.12';
const CLIENT_WORD = word(10, 0, 0, 11);
const SERVER_WORD = word(10, 0, 0, 12);
const CLIENT_PORT = 1;
const SERVER_PORT = 2;
/** Ports of the packets that the flows' own are written over. */
const PORTS = { srcPort: 1, dstPort: 53 };

const MODEL: ModelText = {
  groups: {
    client: {},
    server: { ingress: ['udp 0-65535 from sg:client', 'tcp 0-65535 from sg:client'] },
  },
  interfaces: {
    client: { addresses: [CLIENT], groups: ['client'] },
    server: { addresses: [SERVER], groups: ['server'] },
  },
};

function flowsBetween(count: number): Flows {
  return makeFlows(count, (i) => [
    CLIENT_WORD,
    SERVER_WORD,
    ((i & 0xffff) << 16) | (1000 + (i >>> 16)),
  ]);
}

/** The same flows as the server's packets have them. */
function reversed({ source, destination, ports }: Flows): Flows {
  return {
    source: destination,
    destination: source,
    ports: ports.map((both) => (both << 16) | (both >>> 16)),
  };
}

function openUdp(bed: Bed, flows: Flows, order: Int32Array): void {
  bed.setPacket(udp4(CLIENT, SERVER, { ...PORTS, payload: 'x'.repeat(18) }));
  bed.send(flows, order, 0, order.length, CLIENT_PORT);
}

/** A handshake in each flow; the packet left in place is data that fits its window, sent again and again. */
function openTcp(bed: Bed, flows: Flows, order: Int32Array): void {
  const count = order.length;
  bed.setPacket(tcp4(CLIENT, SERVER, { ...PORTS, seq: 1000, flags: 'S', window: 60000 }));
  bed.send(flows, order, 0, count, CLIENT_PORT);
  bed.setPacket(
    tcp4(SERVER, CLIENT, { ...PORTS, seq: 5000, ack: 1001, flags: 'SA', window: 60000 }),
  );
  bed.send(reversed(flows), order, 0, count, SERVER_PORT);
  const data = { ...PORTS, seq: 1001, ack: 5001, flags: 'A', window: 60000 };
  bed.setPacket(tcp4(CLIENT, SERVER, { ...data, payload: 'x'.repeat(18) }));
  bed.send(flows, order, 0, count, CLIENT_PORT);
}

const OPENERS = { UDP: openUdp, TCP: openTcp } as const;

/** UDP and TCP take turns, each with tables of its own. */
export function establishedCase(count: number): Case {
  const subject = `${count.toLocaleString('en')} flow${count === 1 ? '' : 's'}`;
  return {
    name: `established-${count}`,
    run({ isQuick, rounds, add }) {
      const packets = isQuick ? 250_000 : 2_000_000;
      const flows = flowsBetween(count);
      const order = shuffled(count);
      const beds = (['UDP', 'TCP'] as const).map((protocol) => {
        const bed = new Bed(MODEL, 2 * count);
        OPENERS[protocol](bed, flows, order);
        if (bed.flows.count !== 2 * count) throw new Error('a flow is not tracked at both gates');
        bed.send(flows, order, 0, packets >> 2, CLIENT_PORT);
        return { protocol, bed };
      });
      for (let round = 0; round < rounds; round++) {
        for (const { protocol, bed } of beds) {
          add(
            protocol,
            subject,
            'ns',
            bed.send(flows, order, round * packets, packets, CLIENT_PORT),
          );
        }
        add('decoding alone', 'UDP', 'ns', decodeNs(packets));
      }
    },
  };
}

/** The part of it that every userspace firewall has. */
function decodeNs(packets: number): number {
  const bytes = udp4(CLIENT, SERVER, { ...PORTS, payload: 'x'.repeat(18) });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const packet = new Packet();
  const batches = new Float64Array(packets >> 8);
  let sum = 0;
  for (let batch = 0; batch < batches.length; batch++) {
    const begin = performance.now();
    for (let i = 0; i < 256; i++) {
      view.setInt32(20, i);
      sum += decode(view, 0, bytes.length, packet) + packet.srcPort;
    }
    batches[batch] = ((performance.now() - begin) * 1e6) / 256;
  }
  // Else there would be nothing to compute.
  if (sum < 0) throw new Error('packets that do not decode');
  return batches.sort()[batches.length >> 1];
}
