/**
 * Says which interfaces of containers and virtual machines are guarded, and which are not: facts to findings.
 *
 * Theory of operation. An interface is guarded if a daemon answers that it has the device, or the other end of its veth
 * pair. What is not guarded matters only if packets get out by it. So namespaces that are joined past the daemon form
 * an island. An island is open if a way leads from it to the host or to where nobody can look. On an open island every
 * way that is not guarded is a finding, for whatever is joined to it reaches it. An island that is closed and has one
 * guarded namespace is an instance with something inside (a container within a container): its packets leave by the
 * guarded interface. With two of them it is a finding again: instances that reach each other past the groups.
 *
 * Nothing that is unknown counts as harmless. A kind of interface that is not in INNER_KINDS leads out; so does a link
 * to a namespace that was not looked at. Interfaces without a carrier pass nothing and are left out.
 */
import { adviceFor } from './advice.ts';
import type { Finding, Verdict } from './finding.ts';
import { ownerText } from './facts.ts';
import type { Facts, Guard, Holder, Machine, Owner, SeenLink, SeenNamespace } from './facts.ts';

/** What is told of a way before it is known whether a daemon could not be asked. */
type Way = Omit<Finding, 'verdict' | 'mend'> & { readonly verdict?: 'unknown' };

/**
 * Kinds that lead nowhere but to other interfaces of their own namespace, or by these. The kernel tells of each where
 * else it leads to (`get_link_net`), or it can lead nowhere else. WireGuard's is not among them: it sends in the
 * namespace it was made in, and the kernel does not tell which.
 */
const INNER_KINDS: ReadonlySet<string> = new Set([
  ...['bridge', 'bond', 'team', 'vlan', 'vrf', 'dummy', 'ifb', 'nlmon', 'vcan', 'hsr'],
  ...['macvlan', 'ipvlan', 'macvtap', 'ipvtap', 'macsec'],
  ...['vxlan', 'geneve', 'gre', 'gretap', 'erspan', 'ip6gre', 'ip6gretap', 'ip6erspan'],
  ...['ipip', 'sit', 'ip6tnl', 'vti', 'vti6', 'xfrm'],
]);
/** Of these the file side is a virtual machine's, and packets go straight to the interface below. */
const TAPS_OF_PARENT: ReadonlySet<string> = new Set(['macvtap', 'ipvtap']);
/** U+FFFD stands for bytes that are no text, so two names with it may differ. */
const UNCLEAR = '\ufffd';

const VERDICTS: readonly Verdict[] = ['unguarded', 'unknown', 'guarded'];

/** @returns what is not guarded first */
export function judge(facts: Facts): readonly Finding[] {
  const host = new Host(facts);
  const found = [
    ...host.islands(),
    ...host.onHost(),
    ...facts.onHost.map((owner): Way => ({
      owner,
      kind: 'host-network',
      netnsInode: facts.here,
      why: "is in the host's network namespace and sends as the host does",
    })),
    ...facts.machines.flatMap((machine) => host.machine(machine)),
  ];
  const findings = found.map((way) => withVerdict(way, facts));
  const key = ({ verdict, owner, device }: Finding): string =>
    `${VERDICTS.indexOf(verdict)} ${ownerText(owner)} ${device ?? ''}`;
  return findings.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function withVerdict(way: Way, { daemons }: Facts): Finding {
  if (way.guardedBy !== undefined) return { ...way, verdict: 'guarded' };
  const silent = daemons.find(({ state }) => state === 'unknown');
  const mend = adviceFor(way);
  if (silent === undefined) return { mend, ...way, verdict: way.verdict ?? 'unguarded' };
  const why = `${way.why}; the daemon at ${silent.socket} may guard it, and could not be asked`;
  return { ...way, verdict: 'unknown', why, mend };
}

/** A way out of a namespace that no daemon guards. */
interface OpenWay {
  readonly from: number;
  /** The namespace it leads to; undefined: out. */
  readonly to: number | undefined;
  readonly way: Way;
}

class Host {
  private readonly facts: Facts;
  private readonly namespaces: ReadonlyMap<number, SeenNamespace>;
  /** By namespace and index. */
  private readonly links: ReadonlyMap<string, SeenLink>;
  /** By namespace and name. */
  private readonly guards: ReadonlyMap<string, Guard>;
  /** The host's namespace, and those that uplinks lead to. */
  private readonly outside: ReadonlySet<number>;

  constructor(facts: Facts) {
    this.facts = facts;
    this.namespaces = new Map(facts.namespaces.map((one) => [one.inode, one]));
    this.links = new Map(
      facts.namespaces.flatMap(({ inode, links }) =>
        links.map((link) => [keyOf(inode, link.ifindex), link] as const),
      ),
    );
    this.guards = new Map(
      facts.guards.flatMap((guard) =>
        guard.netnsInode === undefined || guard.device.includes(UNCLEAR)
          ? []
          : [[keyOf(guard.netnsInode, guard.device), guard] as const],
      ),
    );
    const uplinks = facts.guards.filter(({ isUplink }) => isUplink);
    this.outside = new Set([facts.here, ...uplinks.flatMap(({ netnsInode }) => netnsInode ?? [])]);
  }

  /** The interfaces in all namespaces that are not outside. */
  islands(): Way[] {
    const guarded: Way[] = [];
    const attached: Way[] = [];
    const open: OpenWay[] = [];
    for (const namespace of this.namespaces.values()) {
      if (this.outside.has(namespace.inode)) continue;
      for (const link of namespace.links) {
        if (!link.isLive || link.isLoopback) continue;
        const guard = this.guardOf(namespace.inode, link);
        const isHostEnd =
          guard?.isHostEnd === true && guard === this.guardAt(namespace.inode, link.name);
        if (isHostEnd) attached.push(...this.attachedWay(namespace, link, guard));
        else if (guard === undefined) open.push(...this.openWay(namespace, link));
        else guarded.push(guardedWay(namespace, link, guard));
      }
    }
    return [...guarded, ...attached, ...this.thoseThatMatter(guarded, open)];
  }

  /** A pair is listed at its other end, unless that can't be seen. */
  private attachedWay(namespace: SeenNamespace, link: SeenLink, guard: Guard): Way[] {
    if (link.kind === 'veth' && this.otherEnd(link) !== undefined) return [];
    const holders = link.tun === 'tap' ? this.holdersOf(namespace.inode, link.name) : [];
    const owner = holders.length === 1 ? holders[0].owner : NOT_TOLD;
    return [{ ...guardedWay(namespace, link, guard), owner }];
  }

  private thoseThatMatter(guarded: readonly Way[], open: readonly OpenWay[]): Way[] {
    const islands = new Islands();
    for (const { from, to } of open)
      islands.join(from, to === undefined || this.outside.has(to) ? 'out' : to);
    const instances = new Map<number | 'out', Set<number>>();
    for (const { netnsInode } of guarded) {
      const island = islands.of(netnsInode);
      instances.set(island, (instances.get(island) ?? new Set()).add(netnsInode));
    }
    const out = islands.of('out');
    return open.flatMap(({ from, way }) => {
      const island = islands.of(from);
      if (island === out) return [way];
      const joined = instances.get(island)?.size ?? 0;
      if (joined < 2) return [];
      return [{ ...way, why: `joins ${joined} guarded namespaces past the daemon: ${way.why}` }];
    });
  }

  /** The daemon has it, or the other end of the pair. */
  private guardOf(inode: number, link: SeenLink): Guard | undefined {
    const own = this.guardAt(inode, link.name);
    if (own !== undefined || link.kind !== 'veth') return own;
    const [place, peer] = this.otherEnd(link) ?? [];
    return peer === undefined ? undefined : this.guardAt(place!, peer.name);
  }

  private guardAt(inode: number, name: string): Guard | undefined {
    return this.guards.get(keyOf(inode, name));
  }

  private otherEnd({ link, linkedTo }: SeenLink): [inode: number, other: SeenLink] | undefined {
    if (link === undefined || typeof linkedTo !== 'number') return undefined;
    const other = this.links.get(keyOf(linkedTo, link));
    return other === undefined ? undefined : [linkedTo, other];
  }

  private openWay(namespace: SeenNamespace, link: SeenLink): OpenWay[] {
    const { inode } = namespace;
    const make = (why: string, to: number | undefined, more: Partial<Way> = {}): OpenWay[] => [
      { from: inode, to, way: { ...wayOf(namespace, link), why, ...more } },
    ];
    const daemon = this.facts.holders.find((one) => one.isDaemon && one.netns === inode);
    if (daemon !== undefined) {
      const why = `a secgroupd that was not asked is there: ${ownerText(daemon.owner)}`;
      return make(why, undefined, { verdict: 'unknown' });
    }
    if (link.kind === 'tun') return make(...this.heldBy(inode, link));
    if (link.kind === '') return make('is a card of the host, or passed through', undefined);
    const isPair = link.kind === 'veth';
    if (!isPair && !INNER_KINDS.has(link.kind)) return make(`a ${link.kind} leads out`, undefined);
    const to = link.linkedTo;
    if (to === inode || (to === undefined && !isPair)) return [];
    if (typeof to !== 'number') return make(NO_LOOK, undefined);
    const where = to === this.facts.here ? 'on the host' : `in ${this.nameOf(to)}`;
    const [, other] = this.otherEnd(link) ?? [];
    const hostEnd = this.outside.has(to) && isPair && other !== undefined;
    return make(
      `${isPair ? 'leads to' : 'is on top of'} ${other?.name ?? 'something'} ${where}`,
      to,
      hostEnd ? { hostEnd: other.name } : {},
    );
  }

  /** What can be said of the process behind a TUN or TAP that no daemon has. */
  private heldBy(inode: number, link: SeenLink): [why: string, to: undefined, more: Partial<Way>] {
    const holders = this.holdersOf(inode, link.name);
    if (holders.some(({ isDaemon }) => isDaemon))
      return ['is held by a secgroupd that was not asked', undefined, { verdict: 'unknown' }];
    const names = holders.map(({ owner }) => ownerText(owner)).join(' or ');
    return [names === '' ? 'another process holds it' : `is held by ${names}`, undefined, {}];
  }

  /** Those in the device's own namespace, if there are any: the kernel tells no more than a name. */
  private holdersOf(inode: number, name: string): readonly Holder[] {
    const all = this.facts.holders.filter(({ device }) => device === name);
    const near = all.filter(({ netns }) => netns === inode);
    return near.length > 0 ? near : all;
  }

  private nameOf(inode: number): string {
    const namespace = this.namespaces.get(inode);
    return namespace === undefined ? `net:[${inode}]` : ownerText(namespace.owner);
  }

  /** On the host, and where uplinks lead: ends of pairs whose other end nobody saw, and interfaces of machines. */
  onHost(): Way[] {
    return [...this.outside].flatMap((inode) => {
      const namespace = this.namespaces.get(inode);
      return (namespace?.links ?? []).flatMap((link) =>
        link.isLive ? this.onHostOne(namespace!, link) : [],
      );
    });
  }

  private onHostOne(namespace: SeenNamespace, link: SeenLink): Way[] {
    const guard = this.guardAt(namespace.inode, link.name);
    if (guard?.isUplink === true) return [];
    const isPair = link.kind === 'veth' && typeof link.linkedTo !== 'number';
    const isTap = link.tun === 'tap';
    if (guard?.isHostEnd === true) return this.attachedWay(namespace, link, guard);
    if (!isPair && !isTap && !TAPS_OF_PARENT.has(link.kind)) return [];
    if (guard !== undefined) return [guardedWay(namespace, link, guard)];
    const [why, , more] = isTap ? this.heldBy(namespace.inode, link) : [NO_LOOK, undefined, {}];
    const holders = isTap ? this.holdersOf(namespace.inode, link.name) : [];
    const owner = holders.length === 1 ? holders[0].owner : NOT_TOLD;
    const way = { ...wayOf(namespace, link), owner, why, ...more };
    return TAPS_OF_PARENT.has(link.kind)
      ? [{ ...way, why: 'sends by the interface below it, past the host' }]
      : [{ ...way, hostEnd: link.name }];
  }

  /** A machine in another namespace sends by that one's interfaces. */
  machine({ owner, netns, isSameMount, netdevs }: Machine): Way[] {
    if (!this.outside.has(netns)) return [];
    return netdevs.flatMap(({ type, path }): Way[] => {
      const way = { owner, kind: `qemu-${type}`, netnsInode: netns };
      const guard = this.facts.guards.find((one) => one.isStream && one.device === path);
      if (type === 'stream' && guard !== undefined && isSameMount)
        return [{ ...way, ...guardedBy(guard) }];
      if (type === 'stream') return [{ ...way, why: 'its socket is no daemon’s that was asked' }];
      if (type === 'vfio')
        return [{ ...way, verdict: 'unknown', why: 'has a device of the host, maybe a card' }];
      return [{ ...way, why: `its network (${type}) is sockets of its own process` }];
    });
  }
}

/** Of whom nothing is known. */
const NOT_TOLD: Owner = { kind: 'namespace', name: '(unknown)' };
const NO_LOOK = 'leads to where sgctl could not look';

function wayOf(namespace: SeenNamespace, link: SeenLink): Omit<Way, 'why'> {
  const { inode, path, owner } = namespace;
  return {
    owner,
    device: link.name,
    kind: link.tun ?? (link.kind === '' ? 'card' : link.kind),
    netnsInode: inode,
    ...(path === undefined ? {} : { netnsPath: path }),
  };
}

function guardedWay(namespace: SeenNamespace, link: SeenLink, guard: Guard): Way {
  return { ...wayOf(namespace, link), ...guardedBy(guard) };
}

function guardedBy(guard: Guard): Pick<Way, 'guardedBy' | 'why'> {
  return {
    guardedBy: { interface: guard.name, daemon: guard.daemon },
    why: `is ${guard.name} of the daemon`,
  };
}

function keyOf(inode: number, device: string | number): string {
  return `${inode} ${device}`;
}

/** Which namespaces are joined (union-find). */
class Islands {
  private readonly parents = new Map<number | 'out', number | 'out'>();

  of(one: number | 'out'): number | 'out' {
    let root = one;
    for (let next = this.parents.get(root); next !== undefined; next = this.parents.get(root))
      root = next;
    if (root !== one) this.parents.set(one, root);
    return root;
  }

  join(one: number | 'out', other: number | 'out'): void {
    const [a, b] = [this.of(one), this.of(other)];
    if (a !== b) this.parents.set(a, b);
  }
}
