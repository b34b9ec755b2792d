/**
 * Fair shares: one instance sends a flood of SYNs beside a hundred connections of another to a slow server. And one
 * instance takes all the flows that it can get.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Netns } from '../support/netns.ts';
import { requireTools } from '../support/require.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';
import { canRunWorkers } from './workers-world.ts';

const CONNECTS = 100;
const ANSWER_AFTER_SECONDS = 0.15;
const HALF_OPEN = 400;
/** Answered flows are kept for longer than this (`udpTimeout`, below). */
const ASK_TIMEOUT_MS = 55_000;

/** Answers SYNs to 198.51.100.9:8080, which is nobody's address, so many seconds later. */
const FAR = `
import heapq, select, socket, struct, sys, time
delay = float(sys.argv[1])
heard = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x800))
# tcpdump -dd 'dst host 198.51.100.9', for a device without a link layer
program = [(0x20, 0, 0, 16), (0x15, 0, 1, 0xc6336409), (6, 0, 0, 0xffff), (6, 0, 0, 0)]
import ctypes
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *one) for one in program))
heard.setsockopt(1, 26, struct.pack('HL', len(program), ctypes.addressof(code)))
heard.bind(('up0', 0x800))
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total >> 16) + (total & 0xffff)
    return ~total & 0xffff
print('ready', flush=True)
waiting = []
while True:
    if select.select([heard], [], [], 0.005)[0]:
        packet = heard.recv(2000)
        source, target, sequence, _, _, flags = struct.unpack('!HHIIBB', packet[20:34])
        if flags & 0x3f == 2 and target == 8080:
            heapq.heappush(waiting, (time.time() + delay, packet[12:16], source, sequence))
    while waiting and waiting[0][0] <= time.time():
        _, peer, port, sequence = heapq.heappop(waiting)
        own = socket.inet_aton('198.51.100.9')
        tcp = struct.pack('!HHIIBBHHH', 8080, port, 777, (sequence + 1) & 0xffffffff, 0x50, 0x12, 64000, 0, 0)
        tcp = tcp[:16] + struct.pack('!H', checksum(own + peer + struct.pack('!HH', 6, 20) + tcp)) + tcp[18:]
        head = struct.pack('!BBHHHBBH', 0x45, 0, 40, 1, 0, 64, 6, 0) + own + peer
        out.sendto(head + tcp, (socket.inet_ntoa(peer), 0))
`;

/** A hundred connections, twenty at a time; prints how many were made and the longest wait in seconds. */
const CONNECT = `
import socket, sys, threading, time
waits = []
def connect(count):
    for _ in range(count):
        began = time.time()
        try: socket.create_connection(('198.51.100.9', 8080), 20).close()
        except OSError: continue
        waits.append(time.time() - began)
threads = [threading.Thread(target=connect, args=(int(sys.argv[1]) // 20,)) for _ in range(20)]
for one in threads: one.start()
for one in threads: one.join()
print(len(waits), max(waits, default=0))
`;

/**
 * Opens flows with UDP. It waits for an answer to each of the first flows, however long a busy machine takes, and for
 * none to the later ones. It prints how many were answered.
 */
const ASK = `
import socket, sys
answered, wanted, more = 0, int(sys.argv[1]), int(sys.argv[2])
for n in range(wanted + more):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(('0.0.0.0', 1024 + n))
    one.settimeout(600 if n < wanted else 0.2)
    one.sendto(b'x', ('198.51.100.7', 7))
    try:
        one.recv(10)
        answered += 1
    except OSError: pass
    one.close()
print(answered)
`;

const ECHO = `
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(('198.51.100.7', 7))
print('ready', flush=True)
while True:
    data, peer = one.recvfrom(100)
    one.sendto(data, peer)
`;

interface Place {
  readonly world: Netns;
  readonly evil: Netns;
  readonly good: Netns;
  readonly daemon: Daemon;
}

async function makePlace(t: TestContext, more: string): Promise<Place> {
  const names = await makeNamespaces(t, ['world', 'evil', 'good']);
  const file = temporaryFile(
    t,
    'fair.yaml',
    `
uplink: { tun: up0, netns: ${names.world.path}, addresses: [198.51.100.7/24] }
securityGroups:
  out: { ingress: [], egress: [{ protocol: all, to: [0.0.0.0/1, 128.0.0.0/1] }] }
interfaces:
  evil: { device: { netns: ${names.evil.path}, name: eth0 }, addresses: [10.0.0.11], securityGroups: [out], connectionTracking: { udpTimeout: 60 } }
  good: { device: { netns: ${names.good.path}, name: eth0 }, addresses: [10.0.0.12], securityGroups: [out], connectionTracking: { udpTimeout: 60 } }
metrics: { listen: 127.0.0.1:0 }
${more}
`,
  );
  return { ...names, daemon: await Daemon.start(t, file) };
}

for (const workers of [1, 2]) {
  test(`${CONNECTS} connects beside a flood of SYNs from another instance, ${workers} packet loops`, async (t) => {
    if (!canRun(t) || !requireTools(t, 'hping3', 'python3')) return;
    if (workers > 1 && !canRunWorkers(t)) return;
    const more = `workers: ${workers}\nconntrack: { maxHalfOpen: ${workers * HALF_OPEN} }`;
    const { world, evil, good, daemon } = await makePlace(t, more);
    const far = await world.start('python3', ['-c', FAR, String(ANSWER_AFTER_SECONDS)]);
    await far.waitFor(/ready/);
    const flood = await evil.start('hping3', ['-q', '--flood', '-S', '-p', '80', '198.51.100.77']);
    while (!((await daemon.metrics()).get('secgroupd_conntrack_evicted_flows_total')! > 0))
      await sleep(50);
    let answer = '';
    const drops = await daemon.dropsDuring(async () => {
      answer = await good.mustRun('python3', ['-c', CONNECT, String(CONNECTS)]);
    });
    await flood.stop();
    await far.stop();
    const [made, longest] = answer.trim().split(' ').map(Number);
    t.diagnostic(
      `${made} of ${CONNECTS} made, the longest in ${longest.toFixed(2)} s, of which the server took ${ANSWER_AFTER_SECONDS}`,
    );
    assert.equal(made, CONNECTS);
    // A connection whose flow was given up has its answer dropped, and waits a second for the next SYN.
    assert.deepEqual(
      Object.keys(drops).filter((name) => name.startsWith('good')),
      [],
    );
  });
}

test('an instance with all the flows it can get leaves another its part', async (t) => {
  if (!canRun(t) || !requireTools(t, 'python3')) return;
  const { world, evil, good, daemon } = await makePlace(t, 'conntrack: { maxFlows: 400 }');
  const echo = await world.start('python3', ['-c', ECHO]);
  await echo.waitFor(/ready/);
  const drops = await daemon.dropsDuring(async () => {
    const options = { timeoutMs: ASK_TIMEOUT_MS };
    // Of 400 a hundred are kept, fifty for each of the two.
    assert.equal(Number(await evil.mustRun('python3', ['-c', ASK, '350', '10'], options)), 350);
    assert.equal(Number(await good.mustRun('python3', ['-c', ASK, '50', '0'], options)), 50);
  });
  assert.deepEqual(drops, { 'evil egress conntrack-full': 10 });
  await echo.stop();
});
