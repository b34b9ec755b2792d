/** `sgctl learn --live DEVICE`: the packets of interfaces of this host that we did not make, by libpcap. */
import { networkInterfaces } from 'node:os';
import { parseAddress, type Address } from '../addr/address.ts';
import type { Conversations } from '../learn/conversations.ts';
import type { Owner } from '../learn/owners.ts';
import { PacketLearner } from '../learn/see-packets.ts';
import { stableId } from '../policy/ids.ts';
import { openPcap, type LinkType, type Pcap } from '../ports/pcap.ts';
import { CapturedPacket } from '../recorded/captured-packet.ts';
import { count } from '../source/count.ts';
import { sleep } from './live.ts';
import type { Looked } from './learn-sources.ts';
import { ProgressLine } from './progress-line.ts';
import { formatCount, formatDuration } from './units.ts';

/** Headers are enough: the longest chain of IPv6 extensions that is decoded, and the transport header behind. */
const SNAP_BYTES = 512;
const TICK_MS = 250;
const LAST_MS = 300;
const IPV6_HEADER_BYTES = 40;
/** libpcap's names of links, as `cap` gives them, and their numbers in captures. */
const LINK_NUMBERS: Readonly<Record<LinkType, number>> = {
  ...{ NULL: 0, ETHERNET: 1, RAW: 101, LINKTYPE_LINUX_SLL: 113, LINUX_SLL: 113 },
};

export async function lookLive(
  devices: readonly string[],
  forMs: number,
  conversations: Conversations,
  signal: AbortSignal,
): Promise<Looked> {
  const learner = new PacketLearner(conversations);
  const opened: Pcap[] = [];
  const progress = new ProgressLine();
  const startMs = Date.now();
  try {
    for (const device of devices) {
      const pcap = openPcap(device, '', SNAP_BYTES);
      opened.push(pcap);
      follow(pcap, learner);
    }
    console.error(`sgctl: looking at ${devices.join(', ')} for ${formatDuration(forMs)}; Ctrl-C ends it earlier`); // prettier-ignore
    for (let pastMs = 0; pastMs < forMs && !signal.aborted; pastMs = Date.now() - startMs) {
      await sleep(Math.min(TICK_MS, forMs - pastMs), signal);
      progress.tell(
        () =>
          `${formatDuration(Date.now() - startMs)} of ${formatDuration(forMs)}, ${formatCount(learner.counts.packets)} packets`,
      );
    }
    // What the kernel still holds comes within a moment.
    await sleep(LAST_MS, new AbortController().signal);
  } finally {
    progress.clear();
    for (const pcap of opened) pcap.close();
  }
  const { counts } = learner;
  const missed =
    counts.unknownLink === 0
      ? []
      : [`${count(counts.unknownLink, 'frame')} of a link that is not read`];
  return {
    source: `${devices.join(', ')}, live`,
    ...{
      firstMs: startMs,
      lastMs: Date.now(),
      owners: ownersOf(devices),
      recordings: [],
      counts,
      missed,
    },
  };
}

/** Has the learner see each packet as it would see that of a capture. */
function follow(pcap: Pcap, learner: PacketLearner): void {
  const packet = new CapturedPacket();
  packet.linkType = LINK_NUMBERS[pcap.linkType] ?? -1;
  pcap.read((bytes, isCut) => {
    packet.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    packet.offset = 0;
    packet.captured = bytes.length;
    packet.length = isCut ? bytes.length + missingBytes(packet) : bytes.length;
    packet.timeMs = Date.now();
    learner.see(packet);
  });
}

/** How many bytes of a packet that was cut are not here, by its own header; an upper bound where a tag is in front. */
function missingBytes({ view, captured, linkType }: CapturedPacket): number {
  const ip =
    linkType === LINK_NUMBERS['ETHERNET'] ? 14 : linkType === LINK_NUMBERS['LINUX_SLL'] ? 16 : 0;
  if (captured < ip + IPV6_HEADER_BYTES) return 0;
  const isIpv6 = view.getUint8(ip) >>> 4 === 6;
  const length = isIpv6 ? IPV6_HEADER_BYTES + view.getUint16(ip + 4) : view.getUint16(ip + 2);
  return Math.max(0, ip + length - captured);
}

/** The interfaces themselves, if all of them have addresses: then they are the host's, and not ways to others. */
function ownersOf(devices: readonly string[]): readonly Owner[] | undefined {
  const known = networkInterfaces();
  const owners = devices.map((name): Owner => {
    const addresses = (known[name] ?? []).flatMap(({ address }): readonly Address[] => {
      const parsed = parseAddress(address.replace(/%.*$/, ''));
      return parsed.ok && !address.toLowerCase().startsWith('fe80:') ? [parsed.value] : [];
    });
    return { id: stableId('eni', 'live', name), name, addresses };
  });
  return owners.every(({ addresses }) => addresses.length > 0) ? owners : undefined;
}
