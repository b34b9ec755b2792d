/** Bytes that the packet path allocates, and bytes that a flow takes. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { flowTableBytes } from '../../../src/conntrack/table.ts';
import { udp4 } from '../../packets/build.ts';
import { Bed, makeFlows, shuffled, word } from './bed.ts';
import type { Case } from './case.ts';

const FLOWS = 20_000;
const CAPACITY = 1_000_000;
const UPLINK = 0;

export const memoryCase: Case = {
  name: 'memory',
  run({ rounds, add }) {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const bed = new Bed(
      {
        groups: { app: { ingress: ['udp 53 from 198.51.100.0/24'] } },
        interfaces: { app: { addresses: ['10.0.0.12'], groups: ['app'] } },
      },
      FLOWS,
    );
    bed.setPacket(udp4('198.51.100.7', '10.0.0.12', { srcPort: 1, dstPort: 53 }));
    const flows = makeFlows(FLOWS, (i) => [
      word(198, 51, 100, 7),
      word(10, 0, 0, 12),
      (i << 16) | 53,
    ]);
    const order = shuffled(FLOWS);
    const allocated = (packets: number, run: () => void): number => {
      run();
      collectGarbage();
      const before = process.memoryUsage().heapUsed;
      run();
      return Math.max(0, process.memoryUsage().heapUsed - before) / packets;
    };
    for (let round = 0; round <= rounds; round++) {
      const opening = allocated(FLOWS * 10, () => {
        for (let i = 0; i < 10; i++) {
          bed.pass(flows, order, FLOWS, UPLINK);
          bed.endFlows();
        }
      });
      bed.pass(flows, order, FLOWS, UPLINK);
      const deciding = allocated(1_000_000, () => bed.pass(flows, order, 1_000_000, UPLINK));
      bed.endFlows();
      if (round > 0) add('allocated a packet', 'worst of both', 'B', Math.max(opening, deciding));
    }
    for (const family of [4, 6] as const)
      add(
        'memory a flow and gate',
        `IPv${family}`,
        'B',
        flowTableBytes({ capacity: CAPACITY, family }) / CAPACITY,
      );
    const kernel = kernelBytes();
    if (kernel !== undefined) add('memory a flow and gate', 'nf_conntrack', 'B', kernel);
  },
};

/** The size of the kernel's own entry, if it tells (root). */
function kernelBytes(): number | undefined {
  try {
    const line = /^nf_conntrack\s+\d+\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/slabinfo', 'utf8'));
    return line === null ? undefined : Number(line[1]);
  } catch {
    return undefined;
  }
}
