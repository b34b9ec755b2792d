/**
 * A TUN without offloads, to see packets as on a wire: the kernel cuts superpackets and completes checksums before it
 * hands a packet over. A few lines of Python read it, since our own addon asks for offloads.
 */
import type { Netns } from '../support/netns.ts';

const READER = `
import fcntl, os, select, struct, sys
name, count = sys.argv[1], int(sys.argv[2])
fd = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', name.encode(), 0x1001))  # TUNSETIFF: IFF_TUN | IFF_NO_PI
print('open', flush=True)
lines = []
while len(lines) < count and select.select([fd], [], [], 5)[0]:
    packet = os.read(fd, 65536)
    if packet[0] >> 4 == 4 and packet[9] in (6, 17) or packet[0] >> 4 == 6 and packet[6] in (6, 17):
        lines.append(packet.hex())
print('\\n'.join(lines), 'end', sep='\\n', flush=True)
`;

/**
 * Opens the wire and routes the networks to it.
 * @returns a function that resolves to the first `count` TCP and UDP packets that leave by it, as hexadecimal,
 *   or to fewer if none comes for five seconds
 */
export async function openWire(
  netns: Netns,
  name: string,
  networks: readonly string[],
  count: number,
): Promise<() => Promise<string[]>> {
  const reader = await netns.start('python3', ['-c', READER, name, String(count)]);
  await reader.waitFor(/^open$/m);
  // No queue limit: what is sent at once has to wait for Python.
  await netns.mustRun('ip', ['link', 'set', name, 'up', 'txqueuelen', '10000']);
  for (const network of networks) await netns.mustRun('ip', ['route', 'add', network, 'dev', name]);
  return async () => {
    const output = await reader.waitFor(/^open\n([0-9a-f\n]*)end$/m);
    return output[1].split('\n').filter((line) => line !== '');
  };
}

/** Lets the namespace pass packets on. */
export async function forward(netns: Netns): Promise<void> {
  const script =
    'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding';
  await netns.mustRun('sh', ['-c', script]);
}
