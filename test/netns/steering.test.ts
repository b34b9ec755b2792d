/**
 * The queue that the kernel chooses for a packet, by the program of native/steer.c. It is compared with a plain
 * version of the same rules, with the hash of src/dataplane/steering.ts, and with what the engine treats as one flow.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { loopOfPair } from '../../src/dataplane/steering.ts';
import { openDevices } from '../../src/ports/device.ts';
import { decode, decodeQuoted } from '../../src/wire/decode.ts';
import { FRAGMENT_NONE, ICMP_ERROR, Packet } from '../../src/wire/packet.ts';
import { DECODE_OK } from '../../src/wire/status.ts';
import { anyPacket, address4, address6 } from '../packets/arbitrary.ts';
import * as build from '../packets/build.ts';
import { requireRoot, requireTools, requireTun } from '../support/require.ts';
import { makeNetns, type Netns } from '../support/netns.ts';
import { run } from '../support/process.ts';
import {
  FRAMES_AT_ONCE,
  FrameSender,
  native,
  openQueued,
  queuesOf,
  type QueuedDevice,
} from './queues.ts';
import { thrownBy } from '../native/support.ts';

const { PROTOCOL, ETHER_TYPE } = build;
const INSTANCE_MAC = '02:00:00:00:00:01';
const GATEWAY_MAC = '02:73:67:00:00:01';

function canRun(t: TestContext): boolean {
  return requireRoot(t) && requireTun(t) && requireTools(t, 'ip', 'python3', 'sysctl');
}

// -- A plain reading -------------------------------------------------------------------------------------------------

/** Both addresses, one behind the other, by which a packet is to be steered; undefined: to queue 0. */
function pairOf(packet: Uint8Array): Uint8Array | undefined {
  const version = packet.length === 0 ? 0 : packet[0] >> 4;
  if (version === 4 && packet.length >= 20) return quotedPair4(packet) ?? packet.subarray(12, 20);
  if (version === 6 && packet.length >= 40) return quotedPair6(packet) ?? packet.subarray(8, 40);
  return undefined;
}

/** Of a whole ICMP error that quotes a whole header: the addresses in there. */
function quotedPair4(packet: Uint8Array): Uint8Array | undefined {
  if (packet[9] !== PROTOCOL.icmp) return undefined;
  if (((packet[6] & 0x3f) | packet[7]) !== 0) return undefined;
  const icmp = packet.subarray(4 * (packet[0] & 15));
  const quoted = icmp.subarray(8);
  const isError = [3, 11, 12].includes(icmp[0]);
  return isError && quoted.length >= 20 && quoted[0] >> 4 === 4
    ? quoted.subarray(12, 20)
    : undefined;
}

function quotedPair6(packet: Uint8Array): Uint8Array | undefined {
  let next = packet[6];
  let rest = packet.subarray(40);
  for (let headers = 0; headers < 5; headers++) {
    if (next === PROTOCOL.fragment) {
      if (rest.length < 8 || rest[2] !== 0 || (rest[3] & 0xf9) !== 0) return undefined;
    } else if (
      ![PROTOCOL.hopByHop, PROTOCOL.routing, PROTOCOL.destinationOptions].includes(next as 0)
    )
      break;
    if (rest.length < 8) return undefined;
    const bytes = next === PROTOCOL.fragment ? 8 : 8 * (rest[1] + 1);
    next = rest[0];
    rest = rest.subarray(bytes);
  }
  if (next !== PROTOCOL.icmp6 || rest.length === 0) return undefined;
  const quoted = rest.subarray(8);
  const isError = rest[0] >= 1 && rest[0] <= 4;
  return isError && quoted.length >= 40 && quoted[0] >> 4 === 6
    ? quoted.subarray(8, 40)
    : undefined;
}

function loopOf(pair: Uint8Array | undefined, loops: number): number {
  if (pair === undefined) return 0;
  const view = new DataView(pair.buffer, pair.byteOffset, pair.byteLength);
  const words = Int32Array.from({ length: pair.length / 4 }, (_, i) => view.getInt32(4 * i));
  return loopOfPair(words, 0, words.length / 2, loops);
}

/**
 * The pair by which the engine knows what a packet belongs to, by its own decoder: a flow, or a datagram in
 * fragments. undefined: to none; it drops, or rules alone judge it, as they do an error about nothing that is known.
 */
function pairOfFlow(bytes: Uint8Array): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packet = new Packet();
  if (decode(view, 0, bytes.length, packet) !== DECODE_OK) return undefined;
  const quoted = new Packet();
  const isWholeError = packet.icmpKind === ICMP_ERROR && packet.fragment === FRAGMENT_NONE;
  if (isWholeError) {
    const status = decodeQuoted(view, packet, quoted);
    if (status !== DECODE_OK || quoted.family !== packet.family) return undefined;
  }
  const { family, src0, src1, src2, src3, dst0, dst1, dst2, dst3 } = isWholeError ? quoted : packet;
  const words = family === 4 ? [src0, dst0] : [src0, src1, src2, src3, dst0, dst1, dst2, dst3];
  return build.concat(...words.map((word) => build.uint(word >>> 0, 4)));
}

// -- What is sent ----------------------------------------------------------------------------------------------------

/** Extension headers in any order, more of them than may be, and an ICMPv6 error or something else behind them. */
const chained6: fc.Arbitrary<Uint8Array> = fc
  .record({
    src: address6,
    dst: address6,
    between: fc.tuple(address6, address6),
    type: fc.constantFrom(0, 1, 2, 3, 4, 5, 128),
    nextHeader: fc.constantFrom(PROTOCOL.icmp6, PROTOCOL.icmp6, PROTOCOL.udp, PROTOCOL.icmp, 59),
    extensionHeaders: fc.array(
      fc.oneof(
        fc.constant(build.hopByHop()),
        fc
          .constantFrom(6, 14, 22)
          .map((bytes) => build.destinationOptions({ options: build.padN(bytes) })),
        fc.constantFrom(0, 2, 4).map((type) => build.routing(type)),
        fc.record({ more: fc.boolean(), offset: fc.constantFrom(0, 0, 0, 8) }).map(build.fragment6),
        fc.constant(build.fragment6({})),
        fc.constant(build.authentication()),
      ),
      { maxLength: 7 },
    ),
    cut: fc.option(fc.nat(300)),
  })
  .map(({ src, dst, between: [from, to], type, nextHeader, extensionHeaders, cut }) => {
    const quoted = build.udp6(from, to, { srcPort: 1, dstPort: 2, payload: 'quoted' });
    const payload = build.icmp6Message(src, dst, { type, rest: 0, payload: quoted });
    const packet = build.ipv6({ src, dst, nextHeader, extensionHeaders, payload });
    return cut === null ? packet : packet.subarray(0, Math.max(1, cut % packet.length));
  });

/** ICMP errors, some whole and some in pieces, of which some are cut off anywhere. */
const errors4: fc.Arbitrary<Uint8Array> = fc
  .record({
    src: address4,
    dst: address4,
    between: fc.tuple(address4, address4),
    type: fc.constantFrom(3, 4, 5, 11, 12, 8, 0),
    options: fc.constantFrom('', '01010101', '94040000', '0101010101010101'),
    headerLength: fc.constantFrom(undefined, undefined, undefined, 0, 4, 6, 15),
    piece: fc.option(fc.constantFrom(0, 1)),
    cut: fc.option(fc.nat(200)),
  })
  .map(({ src, dst, between: [from, to], type, options, headerLength, piece, cut }) => {
    const quoted = build.tcp4(from, to, { srcPort: 1, dstPort: 2 });
    const payload = build.icmp({ type, rest: 0, payload: quoted });
    const whole = build.ipv4({
      ...{ src, dst, protocol: PROTOCOL.icmp, options: build.hex(options), payload },
      ...(headerLength === undefined ? {} : { headerLength }),
    });
    const packet = piece === null ? whole : (build.fragments4(whole, 24)[piece] ?? whole);
    return cut === null ? packet : packet.subarray(0, Math.max(1, cut % packet.length));
  });

const packets: fc.Arbitrary<Uint8Array> = fc
  .oneof({ weight: 3, arbitrary: anyPacket }, chained6, errors4)
  .filter(({ length }) => length > 0);

type Framing = 'plain' | 'tagged' | 'VLAN' | 'cut';
const framing = fc.constantFrom<Framing>('plain', 'plain', 'tagged', 'VLAN', 'cut');
/** What a kernel hands on that takes tags out of frames itself. */
const whole = fc.constantFrom<Framing>('plain', 'plain', 'tagged', 'VLAN');

function frameOf(packet: Uint8Array, framed: Framing): Uint8Array {
  const frame = build.ethernet({
    src: INSTANCE_MAC,
    dst: GATEWAY_MAC,
    etherType: packet[0] >> 4 === 6 ? ETHER_TYPE.ipv6 : ETHER_TYPE.ipv4,
    payload: packet,
    ...(framed === 'tagged' ? { vlan: { id: 0, priority: 5 } } : {}),
    ...(framed === 'VLAN' ? { vlan: 7 } : {}),
  });
  return framed === 'cut' ? frame.subarray(0, 14) : frame;
}

// -- Tests -----------------------------------------------------------------------------------------------------------

test('the plain reading agrees with what the engine takes for one flow', () => {
  fc.assert(
    fc.property(packets, (packet) => {
      const pair = pairOfFlow(packet);
      if (pair !== undefined) assert.equal(loopOf(pairOf(packet), 16), loopOf(pair, 16));
    }),
    { numRuns: 20_000 },
  );
});

test('the pair of addresses counts whichever way round, and all loops are used alike', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), (pair) => {
      const turned = build.concat(pair.subarray(4), pair.subarray(0, 4));
      assert.equal(loopOf(turned, 16), loopOf(pair, 16));
    }),
  );
  // As hosts are numbered: many in one network, to one server.
  for (const loops of [2, 3, 16]) {
    const counts = new Array<number>(loops).fill(0);
    for (let i = 0; i < 4096; i++)
      counts[
        loopOf(build.concat(build.uint(0x0a000000 + i, 4), build.uint(0x0a010001, 4)), loops)
      ]++;
    const fair = 4096 / loops;
    assert.ok(Math.min(...counts) > 0.8 * fair && Math.max(...counts) < 1.2 * fair, String(counts));
  }
});

for (const queues of [2, 3, 16]) {
  test(`a packet comes to the queue of its pair: ${queues} queues`, async (t) => {
    if (!canRun(t)) return;
    const netns = await makeNetns(t);
    const sender = new FrameSender(t, netns);
    const tun = await openQueued(t, netns, 'tun', 'tun0', queues);
    const tap = await openQueued(t, netns, 'tap', 'tap0', queues);
    const attached = await openQueued(t, netns, 'attach', 'veth0', queues);
    const batch = { minLength: 1, maxLength: FRAMES_AT_ONCE, size: 'max' } as const;
    await t.test('TUN', () =>
      fc.assert(
        fc.asyncProperty(fc.array(packets, batch), async (sent) => {
          const expected = sent.map((packet) => loopOf(pairOf(packet), queues));
          assert.deepEqual(await queuesOf(sender, tun, sent), expected);
        }),
        { numRuns: 8 },
      ),
    );
    await t.test('TAP', () =>
      fc.assert(
        fc.asyncProperty(fc.array(fc.tuple(packets, framing), batch), async (sent) => {
          const frames = sent.map(([packet, framed]) => frameOf(packet, framed));
          const expected = sent.map(([packet, framed]) =>
            framed === 'cut' ? 0 : loopOf(pairOf(packet), queues),
          );
          assert.deepEqual(await queuesOf(sender, tap, frames), expected);
        }),
        { numRuns: 8 },
      ),
    );
    await t.test('attached', () =>
      fc.assert(
        fc.asyncProperty(fc.array(fc.tuple(packets, whole), batch), async (sent) => {
          // A tag that nothing follows is no frame for a kernel.
          const frames = sent.map(([packet, framed]) =>
            frameOf(packet, packet.length < 2 ? 'plain' : framed),
          );
          const expected = sent.map(([packet]) => loopOf(pairOf(packet), queues));
          assert.deepEqual(await queuesOf(sender, attached, frames), expected);
        }),
        { numRuns: 8 },
      ),
    );
    await t.test('a tag that the kernel puts in on the way out', (inTest) =>
      steersTagged(inTest, netns, sender, tap),
    );
    await t.test('all of a flow comes to one queue', () =>
      steersFlows(sender, [tun, tap, attached]),
    );
  });
}

async function steersTagged(
  t: TestContext,
  netns: Netns,
  sender: FrameSender,
  tap: QueuedDevice,
): Promise<void> {
  const made = await netns.run('ip', ['link', 'add', 'link', tap.name, 'name', 'tag0', 'type', 'vlan', 'id', '0']); // prettier-ignore
  if (made.code !== 0) return t.skip(`needs VLAN interfaces: ${made.stderr.trim()}`);
  await netns.mustRun('sysctl', ['-qw', 'net.ipv6.conf.tag0.disable_ipv6=1']);
  await netns.mustRun('ip', ['link', 'set', 'tag0', 'up']);
  const sent = fc.sample(packets, FRAMES_AT_ONCE);
  const found = await queuesOf(
    sender,
    tap,
    sent.map((packet) => frameOf(packet, 'plain')),
    {
      by: 'tag0',
      wire: (frame) =>
        build.concat(frame.subarray(0, 12), build.hex('81000000'), frame.subarray(12)),
    },
  );
  assert.deepEqual(
    found,
    sent.map((packet) => loopOf(pairOf(packet), tap.fds.length)),
  );
}

/** The packets of a flow between two hosts, both ways: whole packets, fragments, and a router's errors about them. */
function packetsOfFlow(is6: boolean, a: string, b: string, router: string): Uint8Array[] {
  const udp = { srcPort: 1000, dstPort: 53, payload: build.counting(600) };
  return [
    [a, b],
    [b, a],
  ].flatMap(([src, dst]) => {
    if (!is6) {
      const whole = build.udp4(src, dst, udp);
      const tcp = build.tcp4(src, dst, { srcPort: 1000, dstPort: 80 });
      const error = (quoted: Uint8Array, type: number): Uint8Array =>
        build.icmpError4(router, src, { type, code: 4, rest: 1280, quoted });
      return [
        whole,
        tcp,
        build.icmp4(src, dst, { type: 8 }),
        ...build.fragments4(whole, 200),
        error(whole, 3),
        error(tcp, 11),
        error(build.fragments4(whole, 200)[0], 12),
        error(build.udp4(src, dst, udp, { options: build.hex('94040000') }), 3),
      ];
    }
    const datagram = { src, dst, nextHeader: PROTOCOL.udp, payload: build.udp(src, dst, udp) };
    const extensionHeaders = [build.hopByHop(), build.destinationOptions(), build.routing(2)];
    const whole = build.ipv6(datagram);
    const pieces = build.fragments6({ ...datagram, extensionHeaders }, 200);
    const error = (quoted: Uint8Array, type: number, more = {}): Uint8Array =>
      build.icmpError6(router, src, { type, rest: 1280, quoted }, more);
    return [
      whole,
      build.tcp6(src, dst, { srcPort: 1000, dstPort: 80 }, { extensionHeaders }),
      build.icmp6(src, dst, { type: 128 }),
      ...pieces,
      error(whole, 1),
      error(whole, 2, { extensionHeaders: [...extensionHeaders, build.fragment6({})] }),
      error(whole, 3, { extensionHeaders: [...extensionHeaders, build.fragment6({}), build.destinationOptions()] }), // prettier-ignore
      error(pieces[0], 4),
    ];
  });
}

async function steersFlows(
  sender: FrameSender,
  [tun, tap, attached]: QueuedDevice[],
): Promise<void> {
  const used = new Set<number>();
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.tuple(fc.constant(false), fc.ipV4(), fc.ipV4(), fc.ipV4()),
        fc.tuple(fc.constant(true), address6, address6, address6),
      ),
      async ([is6, a, b, router]) => {
        const flow = packetsOfFlow(is6, a, b, router);
        const frames = flow.map((packet, i) => frameOf(packet, i % 2 === 0 ? 'plain' : 'tagged'));
        const found = new Set([
          ...(await queuesOf(sender, tun, flow)),
          ...(await queuesOf(sender, tap, frames)),
          ...(await queuesOf(sender, attached, frames)),
        ]);
        assert.equal(found.size, 1, [...found].join(', '));
        for (const queue of found) used.add(queue);
      },
    ),
    { numRuns: 60 },
  );
  assert.ok(used.size > 1, 'flows went to more than one queue');
}

// prettier-ignore
const SPEC = { mtu: 1500, persist: false, queues: 2, configure: false, addresses: [], routes: [] } as const;

test('a device that another descriptor is attached to is refused', async (t) => {
  if (!canRun(t)) return;
  const netns = await makeNetns(t);
  for (const kind of ['tun', 'tap'] as const) {
    const { options, fds } = await openQueued(t, netns, kind, `${kind}0`, 2);
    const third = native.openDevice(options).fd;
    const error = thrownBy(() => native.steerQueues(fds[0], options, 2));
    assert.equal(
      error.message,
      `EBUSY: interface ${kind}0 has 3 queues, not 2: another descriptor holds one (ioctl ETHTOOL_GCHANNELS)`,
    );
    assert.deepEqual([error.code, error.device], ['EBUSY', `${kind}0`]);
    native.closeFd(third);
    native.steerQueues(fds[0], options, 2);
    // Nor are queues added to it, which would have other numbers than the loops that read them.
    assert.throws(
      () => openDevices(native, [{ ...SPEC, kind, name: `${kind}0`, netnsPath: netns.path }]),
      { code: 'EBUSY' },
    );
    native.steerQueues(fds[0], options, 2);
  }
});

test('a device with one queue is not one with several, and the other way round', async (t) => {
  if (!canRun(t)) return;
  const netns = await makeNetns(t);
  await netns.mustRun('ip', ['tuntap', 'add', 'mode', 'tun', 'name', 'one0']);
  await netns.mustRun('ip', ['tuntap', 'add', 'mode', 'tap', 'multi_queue', 'name', 'many0']);
  const open = { netns: netns.path, persist: false };
  assert.equal(
    thrownBy(() => native.openDevice({ ...open, kind: 'tun', name: 'one0', queues: 2 })).message,
    'EINVAL: interface one0 exists and is not a TUN interface with several queues (IFF_MULTI_QUEUE) (ioctl TUNSETIFF)',
  );
  assert.equal(
    thrownBy(() => native.openDevice({ ...open, kind: 'tap', name: 'many0' })).message,
    'EINVAL: interface many0 exists and is not a TAP interface with one queue (ioctl TUNSETIFF)',
  );
  const queues = [1, 2].map(() =>
    native.openDevice({ ...open, kind: 'tap', name: 'many0', queues: 2 }),
  );
  t.after(() => {
    for (const { fd } of queues) native.closeFd(fd);
  });
  assert.deepEqual(
    queues.map(({ created }) => created),
    [false, false],
  );
  native.steerQueues(queues[0].fd, { ...open, kind: 'tap', name: 'many0', queues: 2 }, 2);
});

const TRY = `
  const native = require(process.argv[1]);
  const options = { kind: 'tun', name: 'cap0', persist: false, queues: 2 };
  const fds = [native.openDevice(options).fd, native.openDevice(options).fd];
  try { native.steerQueues(fds[0], options, 2); console.log('steered'); }
  catch (error) { console.log(error.code + ' ' + error.message); }`;

test('CAP_BPF is what it takes besides CAP_NET_ADMIN, and without it the message says so', async (t) => {
  if (!canRun(t) || !requireTools(t, 'setpriv')) return;
  const netns = await makeNetns(t);
  const addon = new URL('../../../build/native/secgroupd.node', import.meta.url).pathname;
  const withCapabilities = (...names: readonly string[]): Promise<string> =>
    netns.mustRun('setpriv', [
      ...['--bounding-set', `-all,${names.map((name) => `+${name}`).join(',')}`],
      ...[process.execPath, '-e', TRY, addon],
    ]);
  assert.equal(await withCapabilities('net_admin', 'bpf', 'dac_override'), 'steered\n');
  const unprivileged = await run('sysctl', ['-n', 'kernel.unprivileged_bpf_disabled']);
  if (unprivileged.stdout.trim() === '0') return t.skip('this kernel takes programs from anybody');
  assert.equal(
    await withCapabilities('net_admin', 'dac_override'),
    'EPERM EPERM: packets of cap0 cannot be shared out among queues: this needs CAP_BPF and the system call bpf(2) (bpf BPF_PROG_LOAD)\n',
  );
});
