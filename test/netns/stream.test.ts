/**
 * Streams in the daemon, with peers that send what no hypervisor sends: whatever they do, they are cut off or wait, and
 * the others' packets go on.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ask } from '../../src/control-socket/control-client.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import { frame, GATEWAY } from '../engine/frames.ts';
import { arp, ethernet, icmp4, ICMP, concat, uint, toHex } from '../packets/build.ts';
import type { Netns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { canRun, Daemon, makeNamespaces, ping } from './world.ts';

const MAC = '02:00:00:00:00:11';
const VM = '10.0.0.11';
const [BOX, OTHER] = ['10.0.0.12', '10.0.0.13'];

interface World {
  readonly daemon: Daemon;
  readonly file: string;
  readonly path: string;
  readonly control: string;
  readonly box: Netns;
  readonly other: Netns;
}

async function makeWorld(t: TestContext): Promise<World | undefined> {
  if (!canRun(t)) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'sgt-stream-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const { box, other } = await makeNamespaces(t, ['box', 'other']);
  const path = join(folder, 'vm.sock');
  const file = join(folder, 'secgroupd.yaml');
  writeFileSync(file, configuration(path, box, other));
  const control = join(folder, 'control.sock');
  const daemon = await Daemon.start(t, file, ['--control', control]);
  return { daemon, file, path, control, box, other };
}

function configuration(path: string, box: Netns, other: Netns, mtu = 1500): string {
  return `
securityGroups:
  open: { ingress: [{ protocol: all, from: 10.0.0.0/24 }] }
interfaces:
  vm: { device: { kind: stream, path: ${path}, mtu: ${mtu}, mac: '${MAC}' }, addresses: [${VM}], securityGroups: [open] }
  box: { device: { netns: ${box.path}, name: eth0 }, addresses: [${BOX}], securityGroups: [open] }
  other: { device: { netns: ${other.path}, name: eth0 }, addresses: [${OTHER}], securityGroups: [open] }
metrics: { listen: '127.0.0.1:0' }
`;
}

/** A peer of the daemon's: what it got, frame by frame. */
class Peer {
  readonly socket: Socket;
  private received = Buffer.alloc(0);
  isClosed = false;

  constructor(t: TestContext, path: string) {
    this.socket = connect(path);
    this.socket.on('data', (data) => (this.received = Buffer.concat([this.received, data])));
    this.socket.on('close', () => (this.isClosed = true)).on('error', () => undefined);
    t.after(() => this.socket.destroy());
  }

  frames(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let at = 0; at + 4 <= this.received.length;) {
      const length = this.received.readUInt32BE(at);
      if (at + 4 + length > this.received.length) break;
      frames.push(this.received.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    return frames;
  }

  send(...frames: readonly Uint8Array[]): void {
    this.socket.write(concat(...frames.flatMap((one) => [uint(one.length, 4), one])));
  }
}

const echo = (seq: number): Uint8Array =>
  frame(icmp4(VM, BOX, { type: ICMP.echo, id: 7, seq, payload: 'x'.repeat(32) }), MAC, GATEWAY);

/** That the answer to an echo request has come to the peer. */
const answers = (peer: Peer): number =>
  peer.frames().filter((one) => one.length >= 42 && one[12] === 8 && one[23] === 1 && one[34] === 0)
    .length;

async function othersReach({ box }: World): Promise<void> {
  assert.equal((await ping(box, OTHER)).code, 0);
}

/** What is told of guests: only the stream can have one. */
async function guests({ control }: World): Promise<readonly InterfaceView['guest'][]> {
  const views = await ask(control, 'interfaces', {});
  return views.flatMap(({ name, guest }) => (name === 'vm' || guest !== undefined ? [guest] : []));
}

const drops = async ({ daemon }: World, reason: string, direction: string): Promise<number> =>
  (await daemon.metrics()).get(
    `secgroupd_dropped_packets_total{interface="vm",direction="${direction}",reason="${reason}"}`,
  ) ?? 0;

test('a peer sends and gets frames, and ARP is answered', async (t) => {
  const world = await makeWorld(t);
  if (world === undefined) return;
  assert.deepEqual(await guests(world), ['absent']);
  const peer = new Peer(t, world.path);
  const request = arp({ operation: 'request', senderMac: MAC, senderIp: VM, targetIp: '10.0.0.1' });
  peer.send(ethernet({ src: MAC, dst: 'ff:ff:ff:ff:ff:ff', etherType: 0x0806, payload: request }));
  await until('the answer to ARP', () =>
    peer.frames().some((one) => one[12] === 8 && one[13] === 6),
  );
  const seen = peer.frames().find((one) => one[13] === 6)!;
  assert.equal(toHex(seen.subarray(6, 12)), GATEWAY.replaceAll(':', ''));
  peer.send(echo(1));
  await until('an echo reply', () => answers(peer) === 1);
  assert.deepEqual(await guests(world), ['connected']);
  peer.socket.destroy();
  await until('its end', async () => (await guests(world))[0] === 'absent');
});

test('hostile framing ends the connection or waits, and nothing else', async (t) => {
  const world = await makeWorld(t);
  if (world === undefined) return;
  // Empty frames and runts are packets that drop, with a reason.
  const zeros = new Peer(t, world.path);
  zeros.send(...Array.from({ length: 1000 }, () => new Uint8Array()), new Uint8Array(13));
  await until('the drops', async () => (await drops(world, 'truncated', 'egress')) === 1001);
  zeros.send(echo(1));
  await until('an echo reply', () => answers(zeros) === 1);
  zeros.socket.destroy();
  // A length that no frame has ends it, and what came before it has been judged.
  const lie = async (length: number): Promise<void> => {
    const liar = new Peer(t, world.path);
    liar.send(echo(2));
    liar.socket.write(concat(uint(length, 4), new Uint8Array(5000)));
    await until('its end', () => liar.isClosed);
  };
  for (const length of [65554, 0x7fffffff]) await lie(length);
  // Of guests that come and go all the time not each is told of.
  await until('what it did is told', async () => {
    await lie(0xffffffff);
    return world.daemon.output.includes('it sent a length that no frame has');
  });
  // A frame that never ends: the socket is the peer's, and the others go on.
  const slow = new Peer(t, world.path);
  const bytes = concat(uint(80, 4), echo(3));
  for (const byte of bytes.subarray(0, 40)) slow.socket.write(Uint8Array.of(byte));
  await othersReach(world);
  // Another one waits for its turn, and has it when the first is gone.
  const second = new Peer(t, world.path);
  second.send(echo(4));
  await othersReach(world);
  assert.equal(answers(second), 0);
  assert.equal(slow.isClosed, false);
  slow.socket.destroy();
  await until('its turn', () => answers(second) === 1);
});

test('a peer that does not read loses its packets, and holds up nobody', async (t) => {
  const world = await makeWorld(t);
  if (world === undefined) return;
  const deaf = new Peer(t, world.path);
  deaf.send(echo(1));
  await until('an echo reply', () => answers(deaf) === 1);
  deaf.socket.pause();
  const code = `
    import socket
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for i in range(4000): s.sendto(b'x' * 1400, ('${VM}', 9))`;
  await until('drops', async () => {
    await world.box.mustRun('python3', ['-c', code.replace(/\n {4}/g, '\n')]);
    return (await drops(world, 'write-failed', 'ingress')) > 0;
  });
  await othersReach(world);
  deaf.socket.resume();
  await until('what had waited', () => deaf.frames().length > 100);
  const before = answers(deaf);
  await until('an echo reply', () => {
    deaf.send(echo(9));
    return answers(deaf) > before;
  });
});

test('its MTU follows a reload while it is connected, and the socket goes with its interface', async (t) => {
  const world = await makeWorld(t);
  if (world === undefined) return;
  const { daemon, file, path, box, other } = world;
  const peer = new Peer(t, path);
  peer.send(echo(1));
  await until('an echo reply', () => answers(peer) === 1);
  writeFileSync(file, configuration(path, box, other, 900));
  daemon.hangUp();
  await until('the reload', async () => {
    const { stdout } = await box.run('ping', ['-c', '1', '-W', '1', '-M', 'do', '-s', '1000', VM]);
    return /mtu ?= ?900/.test(stdout);
  });
  assert.equal(peer.isClosed, false);
  assert.deepEqual(await guests(world), ['connected']);
  writeFileSync(file, configuration(path, box, other).replace(/^ {2}vm: .*$/m, ''));
  daemon.hangUp();
  await until('its end', () => peer.isClosed);
  await until('the removal', () => !existsSync(path));
  writeFileSync(file, configuration(path, box, other));
  daemon.hangUp();
  await until('the socket', () => existsSync(path));
  await until('its place', async () => (await guests(world))[0] === 'absent');
  const again = new Peer(t, path);
  again.send(echo(1));
  await until('an echo reply', () => answers(again) === 1);
  // Killed, it leaves its socket, and the next process replaces it.
  await daemon.kill();
  await until('its end', () => again.isClosed);
  assert.equal(existsSync(path), true);
  const next = await Daemon.start(t, file);
  const after = new Peer(t, path);
  after.send(echo(1));
  await until('an echo reply', () => answers(after) === 1);
  await next.stop();
  await until('its end', () => after.isClosed);
  assert.equal(existsSync(path), false);
});
