/** The packet loops of a real daemon keep the fence by themselves: nobody tells them when its moment has passed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counterRow, DROPPED_BY_REASON, EGRESS } from '../../src/engine/counters.ts';
import { FENCED } from '../../src/engine/reasons.ts';
import { loadNative } from '../../src/ports/native.ts';
import { udp4 } from '../packets/build.ts';
import { writeAttached } from '../estate/write-interface.ts';
import { change } from '../estate/world.ts';
import { startEstateWorld } from './estate-world.ts';

const TEXT = `uplink: { tun: up0, addresses: [10.9.0.1/24] }
interfaces: { own: { device: { name: eth0 }, addresses: [10.0.0.10] } }
`;
const ENI = 'eni-00000000000000001';
const OPEN_MS = 300;
const HOUR_MS = 3_600_000;

/** Nothing of this thread runs meanwhile. */
function hang(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test('packets of the store stop in time while the control plane hangs, and those of the file go on', async (t) => {
  const { daemon, devices, client, inForce, until } = await startEstateWorld(t, TEXT);
  await change(client, (edit) => {
    writeAttached(edit, ENI, { device: 'eth1', address: '10.0.0.11', groupIds: [] });
    return { ok: true, value: undefined };
  });
  await until(() => inForce.config.interfaces.length === 2, 'the interface is there');
  assert.equal(await inForce.settle(), undefined);
  const { dataplane } = daemon.observatory;
  const portOf = (name: string): number => [...daemon.observatory.portNames()].find((one) => one[1] === name)![0]; // prettier-ignore
  const ports = [portOf('own'), portOf(ENI)];
  const send = (): void => {
    devices.send('eth0', udp4('10.0.0.10', '198.51.100.7', { srcPort: 1, dstPort: 1 }));
    devices.send('eth1', udp4('10.0.0.11', '198.51.100.7', { srcPort: 1, dstPort: 1 }));
  };
  const fenced = (): readonly number[] =>
    ports.map((port) => dataplane.readCounters()[counterRow(port, EGRESS) + DROPPED_BY_REASON + FENCED]); // prettier-ignore
  const seen = (): number =>
    ports.reduce((sum, port) => sum + dataplane.readCounters().slice(counterRow(port, EGRESS), counterRow(port + 1, 0)).reduce((a, b) => a + b), 0); // prettier-ignore
  /** Waits for the loop, and lets nothing else of this thread run. */
  const taken = (before: number): void => {
    while (seen() === before) hang(10);
    hang(50);
  };
  const native = loadNative();
  daemon.setFence(native.bootMs() + HOUR_MS);
  let before = seen();
  send();
  taken(before);
  assert.deepEqual(fenced(), [0, 0]);
  daemon.setFence(native.bootMs() + OPEN_MS);
  hang(OPEN_MS);
  before = seen();
  send();
  taken(before);
  assert.deepEqual(fenced().slice(0, 1), [0]);
  assert.ok(fenced()[1] > 0, 'the loop has closed it by itself');
  daemon.setFence(Infinity);
  const closed = fenced();
  before = seen();
  send();
  taken(before);
  assert.deepEqual(fenced(), closed);
});
