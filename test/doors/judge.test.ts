/** Which interfaces count as guarded: small worlds, and what is found in each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownerText } from '../../src/doors/survey/facts.ts';
import type { Facts, Guard, SeenLink, SeenNamespace } from '../../src/doors/survey/facts.ts';
import { judge } from '../../src/doors/survey/judge.ts';

const HERE = 1;
const SOCKET = '/run/secgroupd/control.sock';

/** `name kind [link@namespace]`, and `down` behind it. */
function link(ifindex: number, text: string): SeenLink {
  const [name = '', kind = '', ...rest] = text.split(' ');
  const [index, namespace] = rest.find((word) => word.includes('@'))?.split('@') ?? [];
  return {
    ifindex,
    name,
    kind: kind === 'tap' ? 'tun' : kind === 'card' || kind === 'lo' ? '' : kind,
    isLoopback: kind === 'lo',
    isLive: !rest.includes('down'),
    ...(kind === 'tap' || kind === 'tun' ? { tun: kind } : {}),
    ...(index === undefined || index === '' ? {} : { link: Number(index) }),
    ...(namespace === undefined
      ? {}
      : { linkedTo: namespace === '?' ? ('unknown' as const) : Number(namespace) }),
  };
}

/** Interfaces by namespace, each with its index. Namespace 1 is the host's. */
function world(
  namespaces: Readonly<Record<number, Readonly<Record<number, string>>>>,
  guards: readonly string[] = [],
  more: Partial<Facts> = {},
): Facts {
  return {
    here: HERE,
    namespaces: Object.entries(namespaces).map(([inode, links]): SeenNamespace => {
      const name = Number(inode) === HERE ? 'this host' : `ns${inode}`;
      return {
        inode: Number(inode),
        owner: { kind: 'namespace', name },
        links: Object.entries(links).map(([index, text]) => link(Number(index), text)),
      };
    }),
    daemons: [{ socket: SOCKET, state: 'answered' }],
    guards: guards.map(guard),
    holders: [],
    onHost: [],
    machines: [],
    unread: [],
    ...more,
  };
}

/** `name device@namespace [attach]`; `name /path` of a stream. */
function guard(text: string): Guard {
  const [name = '', place = '', word] = text.split(' ');
  const [device = '', namespace] = place.split('@');
  return {
    name,
    isUplink: name === 'uplink',
    device,
    isStream: namespace === undefined,
    isHostEnd: word === 'attach',
    ...(namespace === undefined ? {} : { netnsInode: Number(namespace) }),
    daemon: SOCKET,
  };
}

/** A pair between the host and a container. */
const PAIR = { 1: { 1: 'lo lo', 2: 'eth0 card', 7: 'va veth 2@2' }, 2: { 2: 'eth0 veth 7@1' } };

const HOLDER = {
  device: 'tap0',
  owner: { kind: 'process', name: 'pasta (pid 9)' },
  netns: HERE,
  isDaemon: false,
};
const DAEMON = { ...HOLDER, owner: { kind: 'process', name: 'node (pid 9)' }, isDaemon: true };
const QEMU = { kind: 'libvirt', name: 'vm1' };

const CASES: readonly (readonly [name: string, facts: Facts, findings: readonly string[]])[] = [
  ['nothing but the host', world({ 1: { 1: 'lo lo', 2: 'eth0 card', 3: 'br0 bridge' } }), []],
  [
    'a container of the daemon',
    world({ 1: {}, 2: { 2: 'eth0 tun' } }, ['web eth0@2']),
    ['guarded ns2 eth0: is web of the daemon'],
  ],
  ['a pair with its end on the host', world(PAIR), ['unguarded ns2 eth0: leads to va on the host']],
  [
    'an attached pair',
    world(PAIR, ['web va@1 attach']),
    ['guarded ns2 eth0: is web of the daemon'],
  ],
  [
    'a device of the same name elsewhere is no guard',
    world({ 1: {}, 2: { 2: 'eth0 tun' }, 3: { 2: 'eth0 tun' } }, ['web eth0@2']),
    ['unguarded ns3 eth0: another process holds it', 'guarded ns2 eth0: is web of the daemon'],
  ],
  [
    'a second interface past the daemon',
    world({ 1: { 7: 'va veth 3@2' }, 2: { 2: 'eth0 tun', 3: 'eth1 veth 7@1' } }, ['web eth0@2']),
    ['unguarded ns2 eth1: leads to va on the host', 'guarded ns2 eth0: is web of the daemon'],
  ],
  [
    'what is down or has no carrier passes nothing',
    world({ 1: { 7: 'va veth 2@2 down' }, 2: { 2: 'eth0 veth 7@1 down', 3: 'tun0 tun down' } }),
    [],
  ],
  [
    'loopback and what leads nowhere',
    world({ 1: {}, 2: { 1: 'lo lo', 2: 'd0 dummy', 3: 'br0 bridge' } }),
    [],
  ],
  [
    'both ends of a pair in one namespace',
    world({ 1: {}, 2: { 2: 'a veth 3@2', 3: 'b veth 2@2' } }),
    [],
  ],
  [
    'a pair of two that lead nowhere else',
    world({ 1: {}, 2: { 2: 'a veth 2@3' }, 3: { 2: 'b veth 2@2' } }),
    [],
  ],
  [
    'two instances that are joined past the daemon',
    world({ 1: {}, 2: { 2: 'eth0 tun', 3: 'a veth 3@3' }, 3: { 2: 'eth0 tun', 3: 'b veth 3@2' } }, [
      'web eth0@2',
      'db eth0@3',
    ]),
    [
      'unguarded ns2 a: joins 2 guarded namespaces past the daemon: leads to b in ns3',
      'unguarded ns3 b: joins 2 guarded namespaces past the daemon: leads to a in ns2',
      'guarded ns2 eth0: is web of the daemon',
      'guarded ns3 eth0: is db of the daemon',
    ],
  ],
  [
    'a container within a guarded one',
    world({ 1: {}, 2: { 2: 'eth0 tun', 3: 'a veth 2@3' }, 3: { 2: 'eth0 veth 3@2' } }, [
      'web eth0@2',
    ]),
    ['guarded ns2 eth0: is web of the daemon'],
  ],
  [
    'a container behind a namespace with a way out',
    world({ 1: {}, 2: { 2: 'tap0 tap', 3: 'a veth 2@3' }, 3: { 2: 'eth0 veth 3@2' } }, [], {
      holders: [HOLDER],
    }),
    [
      'unguarded ns2 a: leads to eth0 in ns3',
      'unguarded ns2 tap0: is held by pasta (pid 9)',
      'unguarded ns3 eth0: leads to a in ns2',
    ],
  ],
  [
    'the other end is where nobody could look',
    world({ 1: { 7: 'va veth 2@?' }, 2: { 2: 'eth0 veth 9@?' } }),
    [
      'unguarded (unknown) va: leads to where sgctl could not look',
      'unguarded ns2 eth0: leads to where sgctl could not look',
    ],
  ],
  [
    'an attached end whose other end nobody saw',
    world({ 1: { 7: 'va veth 2@?' } }, ['web va@1 attach']),
    ['guarded (unknown) va: is web of the daemon'],
  ],
  [
    'on top of an interface of the host',
    world({ 1: { 2: 'eth0 card' }, 2: { 2: 'eth0 macvlan 2@1' }, 3: { 2: 'eth0 ipvlan 2@1' } }),
    [
      'unguarded ns2 eth0: is on top of eth0 on the host',
      'unguarded ns3 eth0: is on top of eth0 on the host',
    ],
  ],
  [
    'on top of a guarded interface of its own namespace',
    world({ 1: {}, 2: { 2: 'eth0 tun', 3: 'm0 macvlan 2@2', 4: 'v0 vlan 2@2' } }, ['web eth0@2']),
    ['guarded ns2 eth0: is web of the daemon'],
  ],
  [
    'a tunnel that sends from the host’s namespace',
    world({ 1: {}, 2: { 2: 'vx0 vxlan @1' } }),
    ['unguarded ns2 vx0: is on top of something on the host'],
  ],
  [
    'a card',
    world({ 1: {}, 2: { 2: 'eth0 card' } }),
    ['unguarded ns2 eth0: is a card of the host, or passed through'],
  ],
  [
    'WireGuard, and what nobody knows',
    world({ 1: {}, 2: { 2: 'wg0 wireguard', 3: 'x0 novel' } }),
    ['unguarded ns2 wg0: a wireguard leads out', 'unguarded ns2 x0: a novel leads out'],
  ],
  [
    'the namespace that the uplink leads to is no instance',
    world(
      { 1: { 7: 'va veth 3@2' }, 2: { 2: 'up0 tun', 3: 'eth1 veth 7@1' }, 3: { 2: 'eth0 tun' } },
      ['uplink up0@2', 'web eth0@3'],
    ),
    ['guarded ns3 eth0: is web of the daemon'],
  ],
  [
    'a machine with a TAP, attached and not',
    world({ 1: { 3: 'tap0 tap', 4: 'tap1 tap' } }, ['vm tap0@1 attach'], {
      holders: [
        { ...HOLDER, owner: QEMU },
        { ...HOLDER, device: 'tap1', owner: { kind: 'libvirt', name: 'vm2' } },
      ],
    }),
    [
      'unguarded libvirt vm2 tap1: is held by libvirt vm2',
      'guarded libvirt vm1 tap0: is vm of the daemon',
    ],
  ],
  ['a TAP that nobody holds', world({ 1: { 3: 'tap0 tap down' } }), []],
  [
    'a TAP whose holder is not known',
    world({ 1: { 3: 'tap0 tap' } }),
    ['unguarded (unknown) tap0: another process holds it'],
  ],
  ['a TUN of the host is no machine’s', world({ 1: { 3: 'tun0 tun' } }), []],
  [
    'a macvtap',
    world({ 1: { 2: 'eth0 card', 3: 'macvtap0 macvtap 2@1' } }),
    ['unguarded (unknown) macvtap0: sends by the interface below it, past the host'],
  ],
  [
    'a name that is no text is no name of a guard',
    world({ 1: {}, 2: { 2: 'eth\ufffd tun' } }, ['web eth\ufffd@2']),
    ['unguarded ns2 eth\ufffd: another process holds it'],
  ],
  [
    'a daemon that was not asked is not believed',
    world({ 1: {}, 2: { 2: 'tap0 tun' } }, [], { holders: [DAEMON] }),
    ['unknown ns2 tap0: is held by a secgroupd that was not asked'],
  ],
  [
    'the namespace of such a daemon',
    world({ 1: { 7: 'va veth 3@2' }, 2: { 3: 'eth1 veth 7@1' } }, [], {
      holders: [{ ...DAEMON, netns: 2 }],
    }),
    ['unknown ns2 eth1: a secgroupd that was not asked is there: node (pid 9)'],
  ],
  [
    'a daemon that could not be asked',
    world(PAIR, [], { daemons: [{ socket: SOCKET, state: 'unknown', reason: 'EACCES' }] }),
    [
      `unknown ns2 eth0: leads to va on the host; the daemon at ${SOCKET} may guard it, and could not be asked`,
    ],
  ],
  [
    'no daemon at all',
    world(PAIR, [], { daemons: [{ socket: SOCKET, state: 'absent' }] }),
    ['unguarded ns2 eth0: leads to va on the host'],
  ],
  [
    'a container on the host’s network',
    world({ 1: {} }, [], { onHost: [{ kind: 'docker', name: '0123456789ab' }] }),
    [
      "unguarded docker 0123456789ab: is in the host's network namespace and sends as the host does",
    ],
  ],
  [
    'machines whose network is no interface',
    world({ 1: {}, 2: {} }, ['vm /run/vm.sock'], {
      machines: [
        {
          owner: QEMU,
          netns: 1,
          isSameMount: true,
          netdevs: [{ type: 'stream', path: '/run/vm.sock' }],
        },
        {
          owner: { kind: 'process', name: 'other' },
          netns: 1,
          isSameMount: false,
          netdevs: [{ type: 'stream', path: '/run/vm.sock' }, { type: 'user' }, { type: 'vfio' }],
        },
        {
          owner: { kind: 'process', name: 'inner' },
          netns: 2,
          isSameMount: true,
          netdevs: [{ type: 'user' }],
        },
      ],
    }),
    [
      'unguarded other: its network (user) is sockets of its own process',
      'unguarded other: its socket is no daemon’s that was asked',
      'unknown other: has a device of the host, maybe a card',
      'guarded libvirt vm1: is vm of the daemon',
    ],
  ],
];

for (const [name, facts, expected] of CASES)
  test(name, () => {
    const found = judge(facts).map(
      ({ verdict, owner, device, why }) =>
        [verdict, ownerText(owner), device].filter((word) => word !== undefined).join(' ') +
        `: ${why}`,
    );
    assert.deepEqual([...found].sort(), [...expected].sort());
  });

test('what is not guarded comes first, and says what to do', () => {
  const facts = world({ ...PAIR, 3: { 2: 'eth0 tun' } }, ['web eth0@3']);
  const found = judge(facts);
  assert.deepEqual(found, [
    {
      verdict: 'unguarded',
      owner: { kind: 'namespace', name: 'ns2' },
      device: 'eth0',
      kind: 'veth',
      netnsInode: 2,
      hostEnd: 'va',
      why: 'leads to va on the host',
      mend: 'attach its end on the host (sgctl interface add --kind attach --device …): docs/howto/vm-host.md',
    },
    {
      verdict: 'guarded',
      owner: { kind: 'namespace', name: 'ns3' },
      device: 'eth0',
      kind: 'tun',
      netnsInode: 3,
      why: 'is web of the daemon',
      guardedBy: { interface: 'web', daemon: SOCKET },
    },
  ]);
});

test('thousands of namespaces are judged in one pass', () => {
  const COUNT = 5000;
  const all: Record<number, Record<number, string>> = { 1: {} };
  for (let i = 0; i < COUNT; i++) {
    all[1][10 + i] = `v${i} veth 2@${10 + i}`;
    all[10 + i] = { 2: `eth0 veth ${10 + i}@1` };
  }
  const found = judge(world(all, ['web v7@1 attach']));
  assert.equal(found.length, COUNT);
  assert.deepEqual(
    found.filter(({ verdict }) => verdict === 'guarded').map(({ netnsInode }) => netnsInode),
    [17],
  );
});
