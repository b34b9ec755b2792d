/** What `sgctl doors` prints of a report, its exit code, and what the doctor makes of the same facts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doorsExitCode, formatDoors, type DoorsReport } from '../../src/cli/doors.ts';
import { doorsCheck } from '../../src/doctor/doctor-doors.ts';
import type { AskedDaemon, Facts } from '../../src/doors/survey/facts.ts';
import type { Finding, Verdict } from '../../src/doors/survey/finding.ts';

const SOCKET = '/run/secgroupd/control.sock';
const ANSWERED: AskedDaemon = { socket: SOCKET, state: 'answered' };
const SILENT: AskedDaemon = { socket: SOCKET, state: 'unknown', reason: 'it is busy' };
const UNREAD = { what: 'the network namespaces of 3 processes', reason: 'EACCES: ask as root' };

function finding(verdict: Verdict, name = '3f2a9c1b7d8e', more: Partial<Finding> = {}): Finding {
  return {
    verdict,
    owner: { kind: 'docker', name },
    device: 'eth0',
    kind: 'veth',
    netnsInode: 4026532388,
    why: 'leads to veth1a2b3c4 on the host',
    ...(verdict === 'guarded' ? {} : { mend: 'do this' }),
    ...more,
  };
}

function report(more: Partial<DoorsReport>): DoorsReport {
  return { daemons: [ANSWERED], runtimes: [], interfaces: [], unread: [], ...more };
}

test('the exit code: guarded, unguarded, unknown', () => {
  const cases: readonly (readonly [code: number, report: Partial<DoorsReport>])[] = [
    [0, {}],
    [0, { daemons: [{ socket: SOCKET, state: 'absent' }] }],
    [0, { interfaces: [finding('guarded')] }],
    [3, { interfaces: [finding('guarded'), finding('unguarded')] }],
    [3, { interfaces: [finding('unknown'), finding('unguarded')], unread: [UNREAD] }],
    [4, { interfaces: [finding('guarded'), finding('unknown')] }],
    [4, { interfaces: [finding('guarded')], unread: [UNREAD] }],
    [4, { daemons: [SILENT] }],
  ];
  for (const [code, more] of cases)
    assert.equal(doorsExitCode(report(more)), code, JSON.stringify(more));
});

test('all that matters within 80 columns', () => {
  const text = formatDoors(
    report({
      runtimes: [
        {
          name: 'docker',
          program: '/usr/bin/docker',
          plugins: [],
          networks: [],
          advice: 'docker network create -d secgroupd …: docs/howto/docker.md',
        },
        {
          name: 'podman',
          program: '/usr/bin/podman',
          plugins: [{ kind: 'cni', path: '/usr/lib/cni/secgroupd' }],
          networks: ['/etc/cni/net.d/vpc.conflist'],
          advice: '',
        },
        { name: 'qemu', program: '/usr/bin/qemu', networks: [], advice: 'attach it' },
      ],
      interfaces: [
        finding('unguarded'),
        finding('guarded', 'a1b2c3d4e5f6', { why: 'is eni-web-1 of the daemon' }),
      ],
      unread: [UNREAD],
    }),
    {},
    80,
  );
  assert.equal(
    text,
    [
      'runtime  plugin',
      'docker   none; docker network create -d secgroupd …: docs/howto/docker.md',
      'podman   /usr/lib/cni/secgroupd /etc/cni/net.d/vpc.conflist',
      'qemu     needs none; attach it',
      '(no room for program: --wide, --columns)',
      '',
      'verdict    whose                device  why                               kind',
      'unguarded  docker 3f2a9c1b7d8e  eth0    leads to veth1a2b3c4 on the host  veth',
      'guarded    docker a1b2c3d4e5f6  eth0    is eni-web-1 of the daemon        veth',
      '(no room for namespace: --wide, --columns)',
      '',
      '1 guarded, 1 not guarded, 0 unknown',
      'docker 3f2a9c1b7d8e: do this',
      'not looked at: the network namespaces of 3 processes: EACCES: ask as root',
    ].join('\n'),
  );
});

test('strangers’ names do not reach the terminal as they are', () => {
  const evil = '\x1b]0;x\x07\n\u202e';
  const owner = { kind: 'process', name: evil };
  const interfaces = [finding('unguarded', '', { owner, device: evil, why: evil, mend: evil })];
  const unread = [{ what: evil, reason: evil }];
  const daemons: AskedDaemon[] = [{ socket: evil, state: 'unknown', reason: evil }];
  const text = formatDoors(report({ interfaces, unread, daemons }), { wide: true });
  assert.doesNotMatch(text, /[\x00-\x09\x0b-\x1f\x7f\u202e]/);
  assert.equal(text.split('\n').length, 9, text);
});

test('advice names a few of those it is for', () => {
  const interfaces = Array.from({ length: 9 }, (_, i) => finding('unguarded', `c${i}`));
  const text = formatDoors(report({ interfaces }), {}, 80);
  assert.match(
    text,
    /^docker c0, docker c1, docker c2, docker c3, docker c4 and 4 more: do this$/m,
  );
});

test('no daemon, no runtime, no interface: each is said', () => {
  const daemons: AskedDaemon[] = [{ socket: SOCKET, state: 'absent' }];
  assert.deepEqual(formatDoors(report({ daemons }), {}, 80).split('\n'), [
    'No runtime of containers or virtual machines is installed.',
    '',
    'No container and no virtual machine has an interface here.',
    `no daemon runs: ${SOCKET}`,
  ]);
});

const FACTS: Facts = {
  here: 1,
  namespaces: [],
  ...{ daemons: [ANSWERED], guards: [], holders: [], onHost: [], machines: [], unread: [] },
};

test('the doctor warns of what gets round the service that runs', () => {
  const onHost = Array.from({ length: 7 }, (_, i) => ({ kind: 'docker', name: `c\x1b${i}` }));
  const cases: readonly (readonly [facts: Partial<Facts>, line: string])[] = [
    [{}, 'ok no container and no virtual machine gets round the groups'],
    [
      { daemons: [{ socket: SOCKET, state: 'absent' }], onHost },
      'ok the service does not run; see sgctl doors',
    ],
    [
      { onHost },
      `warn not guarded: ${[0, 1, 2, 3, 4].map((i) => `docker c\ufffd${i}`).join(', ')} and 2 more`,
    ],
    [{ daemons: [SILENT], onHost }, `warn ${SOCKET}: it is busy`],
    [{ unread: [UNREAD] }, `warn not looked at: ${UNREAD.what}: ${UNREAD.reason}`],
  ];
  for (const [facts, line] of cases) {
    const { name, status, found, mend } = doorsCheck({ ...FACTS, ...facts });
    assert.equal(name, 'doors');
    assert.equal(`${status} ${found}`, line);
    assert.equal(mend === undefined, status === 'ok');
  }
  assert.equal(
    doorsCheck({ ...FACTS, onHost }).mend,
    'give it a network of its own: docs/howto/docker.md',
  );
});
