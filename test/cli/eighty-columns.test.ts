/** What people look at on a terminal of 80 columns: first what matters most, and whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VerdictView } from '../../src/queries/verdict-view.ts';
import { fitTable, type Column } from '../../src/cli/fit-table.ts';
import { formatHosts } from '../../src/cli/host.ts';
import { formatOwned } from '../../src/cli/interface.ts';
import { namesText } from '../../src/cli/status.ts';
import { chooseColumns, formatList } from '../../src/cli/table-options.ts';
import { verdictLine } from '../../src/cli/trace.ts';

const COLUMNS: readonly Column[] = [
  { title: 'interface', min: 10 },
  { title: 'rule', min: 12 },
  { title: 'bytes out/in', leaves: 2 },
  { title: 'state', leaves: 1 },
];
const ROWS = [
  ['eni-0123456789abcdef0', 'sg:web tcp 443 from 0.0.0.0/0', '1.2 kB/3.4 MB', 'closing'],
];

test('a column that finds no room is left out and named, the least important first', () => {
  assert.deepEqual(fitTable(COLUMNS, ROWS, 80).leftOut, []);
  assert.deepEqual(fitTable(COLUMNS, ROWS, 46).leftOut, ['bytes out/in']);
  assert.deepEqual(fitTable(COLUMNS, ROWS, 30).leftOut, ['bytes out/in', 'state']);
  assert.equal(
    formatList(COLUMNS, ROWS, {}, 46),
    [
      'interface              rule            state',
      'eni-0123456789abcdef0  sg:web tcp 44…  closing',
      '(no room for bytes-out-in: --wide, --columns)',
    ].join('\n'),
  );
});

test('--wide leaves nothing out, --columns shows what was asked for, in that order', () => {
  assert.equal(
    formatList(COLUMNS, ROWS, { wide: true }, 30),
    [
      'interface              rule                           bytes out/in   state',
      'eni-0123456789abcdef0  sg:web tcp 443 from 0.0.0.0/0  1.2 kB/3.4 MB  closing',
    ].join('\n'),
  );
  const [columns, rows] = chooseColumns(COLUMNS, ROWS, ['state', 'bytes-out-in', 'state']);
  assert.deepEqual(
    columns.map(({ title }) => title),
    ['state', 'bytes out/in'],
  );
  assert.deepEqual(rows, [['closing', '1.2 kB/3.4 MB']]);
  assert.equal(
    formatList(COLUMNS, ROWS, { columns: ['state', 'bytes-out-in'] }, 12),
    'state    by…\nclosing  1.…',
  );
});

const DROPPED = {
  timeMs: 0,
  interface: 'eni-web-1',
  direction: 'ingress',
  verdict: 'dropped',
  reason: 'ingress-rules',
  meaning: 'no ingress rule of the groups on the interface admits it',
  packet: {
    protocol: 'tcp',
    localAddress: '10.0.0.11',
    localPort: 22,
    remoteAddress: '198.51.100.7',
    remotePort: 39194,
    tcpFlags: 'S',
  },
} as unknown as VerdictView;

test('a line of trace: verdict, reason, and the packet whole within 80 columns', () => {
  const line = verdictLine(DROPPED, undefined, 80);
  assert.match(
    line,
    /^\d\d:\d\d:\d\d\.000 {2}DROP {2}ingress-rules +tcp 198\.51\.100\.7:39194 > 10\.0\.0\.11:22 S/,
  );
  assert.ok(line.length <= 80, line);
  const wide = verdictLine(DROPPED);
  assert.match(
    wide,
    /DROP {2}ingress-rules +tcp .* S +eni-web-1 +ingress {2}no ingress rule of .* it$/,
  );
  assert.match(verdictLine(DROPPED, ['interface', 'verdict'], 80), /^eni-web-1 +DROP$/);
});

test('an interface whose name is a verdict is not taken for one', () => {
  const line = verdictLine({ ...DROPPED, interface: 'DROP' }, ['interface', 'verdict']);
  assert.match(line, /^DROP +DROP$/);
});

test('thousands of names are counted, not listed', () => {
  const names = Array.from({ length: 2000 }, (_, i) => `eni-${i}`);
  assert.equal(
    namesText(names),
    '2000: eni-0 eni-1 eni-2 eni-3 eni-4 eni-5 eni-6 eni-7 … and 1992 more (sgctl interfaces lists them)',
  );
  assert.equal(namesText(['a', 'b']), '2: a b');
});

test('interfaces that were added: id, groups and addresses before all else', () => {
  const one = {
    id: 'eni-0123456789abcdef0',
    owner: 'docker',
    device: {
      ...({ kind: 'tun', name: 'eth0', netns: '/run/netns/web', mtu: 1500 } as const),
      configure: true,
      persist: false,
    },
    addresses: ['10.0.0.21', 'fd00:10::21'],
    securityGroups: [{ id: 'sg-0123456789abcdef0', name: 'web' }],
    tags: {},
    macAddress: '02:89:ab:cd:ef:01',
  };
  assert.equal(
    formatOwned([one, { ...one, notInForce: 'ENODEV: no eth0' }], {}, 80),
    [
      'id                     groups  addresses              owner   device',
      'eni-0123456789abcdef0  web     10.0.0.21 fd00:10::21  docker  eth0 in web',
      'eni-0123456789abcdef0  web     10.0.0.21 fd00:10::21  docker  eth0 in web',
      '(no room for mac: --wide, --columns)',
      'eni-0123456789abcdef0 is not in force: ENODEV: no eth0',
    ].join('\n'),
  );
});

test('hosts of a store: the name is whole, and the time of the start goes first', () => {
  const living = { since: '2026-11-29T12:00:00Z', version: '0.1.0', leftOut: {}, interfaces: 104 };
  const told = { revision: 120412, inForceSince: '2026-11-30T11:59:12Z', fence: 'lease' } as const;
  const refused = { revision: 120413, message: 'no room' };
  const hosts = [
    { host: 'rack-1.example.org', state: 'lives', ...living, ...told, refused },
    { host: 'rack-2', state: 'left', leftOut: {}, interfaces: 1 },
  ] as const;
  assert.equal(
    formatHosts(hosts, {}, 80, Date.parse('2026-11-30T12:00:00Z')),
    [
      'host                state  revision  in force  fence  left out  interfaces',
      'rack-1.example.org  lives    120412  48 s ago  lease         0         104',
      'rack-2              left          -         -  -             0           1',
      '(no room for started, version: --wide, --columns)',
      'rack-1.example.org refused revision 120413: no room',
    ].join('\n'),
  );
  assert.equal(formatHosts([], {}, 80), 'No host follows this store.');
});
