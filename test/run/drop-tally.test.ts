/** What `sgctl run` says of drops. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DropCount } from '../../src/queries/drops-view.ts';
import type { PacketView, VerdictView } from '../../src/queries/verdict-view.ts';
import { DropTally } from '../../src/run/drop-tally.ts';

const PACKET: PacketView = {
  ...{ family: 4, protocol: 'tcp', localAddress: '10.0.2.100', localPort: 40000 },
  ...{ remoteAddress: '192.0.2.1', remotePort: 443 },
};

function drop(part: Partial<VerdictView> = {}, packet: Partial<PacketView> = {}): VerdictView {
  return {
    ...{ timeMs: 0, interface: 'run', direction: 'egress', verdict: 'dropped' },
    ...{ reason: 'egress-rules', meaning: 'no rule', opensFlow: false, isTracked: false },
    ...{ packets: 1, packet: { ...PACKET, ...packet } },
    ...part,
  };
}

function counted(packets: number): readonly DropCount[] {
  const base = { interface: 'run', direction: 'egress', reason: 'x', meaning: 'y', examples: [] };
  return [{ ...base, packets } as DropCount];
}

test('packets to one place for one reason are one line, most first', () => {
  const tally = new DropTally(['web', 'db']);
  tally.take(drop({}, { protocol: 'udp', remotePort: 53 }));
  for (let i = 0; i < 3; i++) tally.take(drop({}, { localPort: 40000 + i }));
  tally.take(drop({ packets: 2 }, { family: 6, remoteAddress: '2001:db8::1' }));
  tally.take(drop({}, { protocol: 'icmp', remotePort: 8 }));
  assert.deepEqual(tally.summary(counted(7)), [
    '3 packets to 192.0.2.1:443/tcp dropped: no egress rule of web, db admits it',
    '2 packets to [2001:db8::1]:443/tcp dropped: no egress rule of web, db admits it',
    '1 packet to 192.0.2.1:53/udp dropped: no egress rule of web, db admits it',
    '1 packet to 192.0.2.1/icmp dropped: no egress rule of web, db admits it',
  ]);
});

test('other reasons are said with their meaning, and ingress as from', () => {
  const tally = new DropTally(['web']);
  tally.take(drop({ reason: 'no-route', meaning: 'nowhere' }));
  tally.take(drop({ reason: 'ingress-rules', direction: 'ingress' }, { localPort: 22 }));
  tally.take(drop({ reason: 'malformed', meaning: 'what', packet: undefined as never }));
  assert.deepEqual(tally.summary([]), [
    '1 packet to 192.0.2.1:443/tcp dropped: no-route: nowhere',
    '1 packet from 192.0.2.1 to :22/tcp dropped: no ingress rule of web admits it',
    '1 packet from the command dropped: malformed: what',
  ]);
});

test('a scan is bounded, and nothing is left uncounted', () => {
  const tally = new DropTally(['web']);
  for (let port = 1; port <= 5000; port++) tally.take(drop({}, { remotePort: port }));
  const lines = tally.summary(counted(6000));
  assert.equal(lines.length, 11);
  assert.equal(lines[10], '5990 packets more dropped');
});

test('nothing dropped, nothing said', () => {
  assert.deepEqual(new DropTally(['web']).summary([]), []);
});
