/**
 * Recognizes services at ports that are taken anew each time: passive FTP, RPC, whatever listens at ephemeral ports.
 *
 * Theory of operation. Such a service has many ports of one protocol at one place, each asked for a few times, by peers
 * who ask for several of them. Ports that lie close together are a range. The lowest and the highest port that were
 * seen are hardly the lowest and the highest there are, so the range is longer by the mean gap at either end. It ends
 * before a port that is a service of its own for somebody else: whoever asks for the range gets no more than it.
 *
 * Only what was answered counts, and only where it is known who opened: so neither a traceroute nor the ports of
 * clients are taken for a service.
 */
import { hasPorts } from '../policy/protocols.ts';
import { PORT_MAX } from '../policy/rules.ts';
import { addressKey, type Conversation, type Words } from './conversation.ts';
import type { Owners } from './owners.ts';

/** No port below is taken anew each time. */
const PORT_MIN = 1024;
/** A port with more flows is a service of its own. */
const FLOWS_MAX = 3;
/** Who asked for fewer of the ports has met them by accident. */
const PORTS_OF_PEER_MIN = 3;
/** Ports further apart are not of one range. */
const GAP_MAX = 2048;

export interface PortRange {
  readonly fromPort: number;
  readonly toPort: number;
  /** Ports of it that were seen. */
  readonly seen: number;
}

/** By conversation that is of such a service: the range that its port is in. */
export type PortRanges = ReadonlyMap<Conversation, PortRange>;

/** The ports of a protocol at one place. */
type Ports = Map<number, Conversation[]>;

/** @param min ports that make a range; 0: there are no ranges */
export function findRanges(
  conversations: readonly Conversation[],
  owners: Owners,
  min: number,
): PortRanges {
  const found = new Map<Conversation, PortRange>();
  if (min === 0) return found;
  const places = new Map<string, Ports>();
  for (const one of conversations) {
    const { target, protocol, service } = one;
    if (!hasPorts(protocol) || service < PORT_MIN) continue;
    const key = `${endKey(target, owners)} ${protocol}`;
    const ports: Ports = places.get(key) ?? new Map<number, Conversation[]>();
    const own = ports.get(service);
    if (own === undefined) ports.set(service, [one]);
    else own.push(one);
    places.set(key, ports);
  }
  for (const ports of places.values()) if (ports.size >= min) addRanges(found, ports, owners, min);
  return found;
}

function addRanges(
  found: Map<Conversation, PortRange>,
  ports: Ports,
  owners: Owners,
  min: number,
): void {
  const peerOf = ({ opener }: Conversation): string => endKey(opener, owners);
  const asked = new Map<string, number>();
  for (const all of ports.values())
    if (isDynamic(all)) for (const peer of new Set(all.map(peerOf))) add(asked, peer);
  const isPeer = (one: Conversation): boolean => (asked.get(peerOf(one)) ?? 0) >= PORTS_OF_PEER_MIN;
  const taken: number[] = [];
  /** Services of their own that not only these peers ask for. */
  const others: number[] = [];
  for (const [port, all] of ports)
    if (isDynamic(all) && all.some(isPeer)) taken.push(port);
    else if (!all.every(isPeer)) others.push(port);
  for (const cluster of clustersOf(taken, others)) {
    if (cluster.ports.length < min) continue;
    const range = rangeOf(cluster);
    for (const port of cluster.ports)
      for (const one of ports.get(port)!) if (isPeer(one)) found.set(one, range);
  }
}

function endKey(words: Words, owners: Owners): string {
  const at = owners.of(words);
  return at >= 0 ? `#${at}` : addressKey(words);
}

/** Whether a port looks as if it was taken for once. */
function isDynamic(all: readonly Conversation[]): boolean {
  const flows = all.reduce((sum, one) => sum + one.flows, 0);
  return flows <= FLOWS_MAX && all.every(({ isAnswered, isGuess }) => isAnswered && !isGuess);
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Ports that lie together, with no port of others between. */
interface Cluster {
  readonly ports: number[];
  /** The nearest ports of others below and above it, or what is beyond all ports that can be taken. */
  readonly below: number;
  above: number;
}

function clustersOf(taken: readonly number[], others: readonly number[]): readonly Cluster[] {
  const isTaken = new Set(taken);
  const clusters: Cluster[] = [];
  /** Those above the last port of others. */
  let open: Cluster[] = [];
  let below = PORT_MIN - 1;
  for (const port of [...taken, ...others].sort((a, b) => a - b)) {
    const last = open.at(-1);
    if (!isTaken.has(port)) {
      for (const one of open) one.above = port;
      open = [];
      below = port;
    } else if (last !== undefined && port - last.ports.at(-1)! <= GAP_MAX) last.ports.push(port);
    else {
      const made = { ports: [port], below, above: PORT_MAX + 1 };
      clusters.push(made);
      open.push(made);
    }
  }
  return clusters;
}

function rangeOf({ ports, below, above }: Cluster): PortRange {
  const [low, high] = [ports[0], ports.at(-1)!];
  const more = ports.length === 1 ? 0 : Math.round((high - low) / (ports.length - 1)) - 1;
  return {
    fromPort: Math.max(below + 1, low - more),
    toPort: Math.min(above - 1, high + more),
    seen: ports.length,
  };
}
