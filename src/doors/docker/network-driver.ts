/**
 * NetworkDriver answers what Docker asks of a network driver (libnetwork's remote driver protocol).
 *
 * Theory of operation. For each endpoint the daemon opens a TUN, or makes a veth pair, in the namespace that dockerd
 * is in too, and the groups hold for it before Docker hears of it. Docker moves the device into the container and
 * gives it its address. Join sets a gateway and DisableGatewayService: else Docker would add a second interface, on a
 * bridge that no group guards.
 *
 * An interface that a call of the EC2 API made is attached in place of making one; all else is the same. Docker gives
 * the address in either case, and the daemon refuses one that such an interface does not have.
 *
 * Docker repeats calls, and takes things away twice: each call may come again. The ids of interfaces follow from those
 * of Docker, so an interface is found again whatever was lost here. An endpoint of a network that isn't known is
 * refused: its default groups and its translation would be guessed.
 *
 * Calls for one endpoint are taken in turn, since Docker gives up waiting after a while and then deletes.
 *
 * Docker asks once to delete an endpoint, and forgets it whatever the answer is. So what can't be taken away, since the
 * daemon is away or busy with others, is noted, and tried again until it is gone.
 *
 * A dockerd that was killed takes its containers' endpoints away when it starts again, and does not call us for that:
 * it has not loaded its plugins yet. So an endpoint may be left over. It is, if Docker gives its address to another, or
 * gives it back to our IPAM driver. One from before dockerd started that stands in the way by a port, or by an address
 * that Docker does not know of, is, if its device is in no container any more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NO_KIND, type PortKindName } from '../../ports/port-kind.ts';
import { listWords } from '../../source/suggest.ts';
import { hostDeviceName, interfaceId, isIpv6 } from '../names.ts';
import { DoorError, type Selection } from '../selection.ts';
import { readEndpoint, readId, readNetwork, type EndpointRequest } from './docker-requests.ts';
import type { HostNat } from './host-nat.ts';
import type { Members } from './members.ts';
import type { DockerState, Endpoint, Network, PublishedPort } from './state.ts';

export const OWNER = 'docker';
/** In every container, as Docker's own drivers call it. */
const NAME_PREFIX = 'eth';
const LEFT_OVER_MS = 5000;
const AGAIN_MS = 2000;
const INTERVAL_MS = 50;

/** What is asked of the daemon. */
export interface Interfaces {
  add(question: {
    readonly id: string;
    readonly kind: PortKindName;
    readonly name: string;
    readonly addresses: readonly string[];
    /** Whether they were leased. */
    readonly leased: boolean;
    readonly selection: Selection;
  }): Promise<void>;
  /** Takes away what was added by this id, whichever interface it is. */
  remove(id: string): Promise<void>;
  /** The ids of interfaces whose devices are in other namespaces than those that they were made in. */
  moved(): Promise<ReadonlySet<string>>;
}

export interface NetworkDriverOptions {
  readonly state: DockerState;
  readonly nat: Pick<HostNat, 'apply'>;
  readonly interfaces: Interfaces;
  /** How long the devices of containers that dockerd killed may take to go. */
  readonly leftOverMs?: number;
  /** After what time an interface that could not be taken away is tried again. */
  readonly againMs?: number;
}

type Answer = Readonly<Record<string, unknown>>;
const DONE: Answer = {};

export class NetworkDriver {
  private readonly state: DockerState;
  private readonly nat: Pick<HostNat, 'apply'>;
  private readonly interfaces: Interfaces;
  private readonly leftOverMs: number;
  private readonly againMs: number;
  private readonly turns = new Map<string, Promise<unknown>>();
  /** Endpoints that were there when dockerd started: it may have forgotten them. */
  private former: ReadonlySet<string>;
  /** By the method's name in the protocol. */
  readonly methods: ReadonlyMap<string, (request: Members) => Answer | Promise<Answer>>;

  constructor({
    state,
    nat,
    interfaces,
    leftOverMs = LEFT_OVER_MS,
    againMs = AGAIN_MS,
  }: NetworkDriverOptions) {
    this.leftOverMs = leftOverMs;
    this.againMs = againMs;
    this.state = state;
    this.nat = nat;
    this.interfaces = interfaces;
    this.former = new Set(state.endpoints.keys());
    const forEndpoint =
      (work: (request: Members, networkId: string, endpointId: string) => Promise<Answer>) =>
      (request: Members): Promise<Answer> => {
        const endpointId = readId(request, 'EndpointID');
        return this.inTurn(endpointId, () =>
          work(request, readId(request, 'NetworkID'), endpointId),
        );
      };
    this.methods = new Map<string, (request: Members) => Answer | Promise<Answer>>([
      ['GetCapabilities', () => ({ Scope: 'local', ConnectivityScope: 'local' })],
      ['CreateNetwork', (request) => this.createNetwork(request)],
      ['DeleteNetwork', (request) => this.deleteNetwork(request)],
      ['CreateEndpoint', forEndpoint((request, id) => this.createEndpoint(request, id))],
      ['DeleteEndpoint', forEndpoint((_, __, endpointId) => this.deleteEndpoint(endpointId))],
      ['EndpointOperInfo', () => ({ Value: {} })],
      ['Join', forEndpoint((_, id, endpointId) => Promise.resolve(this.join(id, endpointId)))],
      ['Leave', forEndpoint((_, __, endpointId) => this.leave(endpointId))],
      ['DiscoverNew', () => DONE],
      ['DiscoverDelete', () => DONE],
    ]);
    for (const [id, { isGoing }] of state.endpoints) if (isGoing) this.deleteAgain(id);
  }

  /** A dockerd has started. */
  activate(): void {
    this.former = new Set(this.state.endpoints.keys());
  }

  private async createNetwork(request: Members): Promise<Answer> {
    const id = readId(request, 'NetworkID');
    this.state.networks.set(id, readNetwork(request));
    try {
      this.state.save();
      await this.nat.apply();
    } catch (error) {
      this.state.networks.delete(id);
      throw error;
    }
    return DONE;
  }

  private async deleteNetwork(request: Members): Promise<Answer> {
    if (!this.state.networks.delete(readId(request, 'NetworkID'))) return DONE;
    this.state.save();
    await this.nat.apply();
    return DONE;
  }

  private async createEndpoint(request: Members, networkId: string): Promise<Answer> {
    const network = this.networkOf(networkId);
    const asked = readEndpoint(request, network);
    const { endpointId, addresses, selection, ports } = asked;
    await this.makeWay(asked, network);
    const before = this.state.endpoints.get(endpointId);
    const eni = selection.kind === 'interface' ? { eni: selection.id } : {};
    this.state.endpoints.set(endpointId, { networkId, addresses, ports, ...eni });
    const id = interfaceId(OWNER, endpointId);
    try {
      this.state.save();
      const leased = network.isLeased === true;
      const { kind = NO_KIND } = network;
      const name = hostDeviceName(id);
      await this.interfaces.add({ id, kind, name, addresses, leased, selection });
      if (ports.length > 0) await this.nat.apply();
    } catch (error) {
      // The caller hears of the first failure.
      if (before === undefined || before.isGoing === true)
        await this.deleteEndpoint(endpointId).catch(() => undefined);
      throw error;
    }
    return { Interface: {} };
  }

  private async deleteEndpoint(endpointId: string): Promise<Answer> {
    try {
      await this.interfaces.remove(interfaceId(OWNER, endpointId));
    } catch (error) {
      await this.noteGoing(endpointId);
      throw error;
    }
    const endpoint = this.state.endpoints.get(endpointId);
    if (endpoint === undefined) return DONE;
    this.state.endpoints.delete(endpointId);
    this.state.save();
    if (endpoint.ports.length > 0) await this.nat.apply();
    return DONE;
  }

  /** What is to go can't be taken away now. */
  private async noteGoing(endpointId: string): Promise<void> {
    const endpoint = this.state.endpoints.get(endpointId);
    if (endpoint === undefined) return;
    this.deleteAgain(endpointId);
    if (endpoint.isGoing) return;
    this.state.endpoints.set(endpointId, { ...endpoint, isGoing: true });
    try {
      this.state.save();
      await this.unpublish(endpointId);
    } catch {
      // The caller hears of the first failure. It is noted here at least.
    }
  }

  private deleteAgain(endpointId: string): void {
    const again = (): Promise<Answer> =>
      // Unless Docker has made it anew meanwhile.
      this.state.endpoints.get(endpointId)?.isGoing === true
        ? this.deleteEndpoint(endpointId)
        : Promise.resolve(DONE);
    setTimeout(
      () => void this.inTurn(endpointId, again).catch(() => undefined),
      this.againMs,
    ).unref();
  }

  private join(networkId: string, endpointId: string): Answer {
    const endpoint = this.state.endpoints.get(endpointId);
    if (endpoint === undefined)
      throw new DoorError(`nobody made the endpoint ${endpointId} here: start the container again`);
    const { subnets } = this.networkOf(networkId);
    const gateway = (wantsIpv6: boolean): string | undefined =>
      endpoint.addresses.some((address) => isIpv6(address) === wantsIpv6)
        ? subnets.find(({ cidr }) => isIpv6(cidr) === wantsIpv6)?.gateway
        : undefined;
    const [ipv4, ipv6] = [gateway(false), gateway(true)];
    return {
      InterfaceName: {
        SrcName: hostDeviceName(interfaceId(OWNER, endpointId)),
        DstPrefix: NAME_PREFIX,
      },
      ...(ipv4 === undefined ? {} : { Gateway: ipv4 }),
      ...(ipv6 === undefined ? {} : { GatewayIPv6: ipv6 }),
      DisableGatewayService: true,
    };
  }

  private async leave(endpointId: string): Promise<Answer> {
    await this.unpublish(endpointId);
    return DONE;
  }

  /** Nothing comes to its ports any more: its address may be another container's soon. */
  private async unpublish(endpointId: string): Promise<void> {
    const endpoint = this.state.endpoints.get(endpointId);
    if (endpoint === undefined || endpoint.ports.length === 0) return;
    this.state.endpoints.set(endpointId, { ...endpoint, ports: [] });
    this.state.save();
    await this.nat.apply();
  }

  private networkOf(networkId: string): Network {
    const network = this.state.networks.get(networkId);
    if (network !== undefined) return network;
    throw new DoorError(
      `the network ${networkId} is not known here, so what was written about it is lost: remove it, and create it again`,
    );
  }

  /**
   * Takes away what is left over and has an address or a port that is asked for.
   * @throws DoorError if another container has one of the ports of the host
   */
  private async makeWay(asked: EndpointRequest, network: Network): Promise<void> {
    // Who has a leased address, the IPAM driver has asked already.
    if (network.isLeased !== true)
      for (const id of this.othersWith(asked, (other) => hasAddressOf(other, asked)))
        await this.deleteEndpoint(id);
    const taken = (other: Endpoint): readonly PublishedPort[] =>
      asked.ports.filter((one) => other.ports.some((port) => isSamePort(one, port)));
    const deadline = performance.now() + this.leftOverMs;
    for (;;) {
      const rivals = this.othersWith(asked, (other) => taken(other).length > 0);
      if (rivals.length === 0) return;
      const isTooLate = performance.now() > deadline;
      const moved = await this.interfaces.moved();
      for (const id of rivals) {
        if (isTooLate || !this.former.has(id)) {
          const ports = taken(this.state.endpoints.get(id)!);
          const names = ports.map(({ hostPort, protocol }) => `${hostPort}/${protocol}`);
          throw new DoorError(
            `another container has ${listWords([...new Set(names)])} of the host`,
          );
        }
        if (!moved.has(this.interfaceOf(id))) await this.deleteEndpoint(id);
      }
      await sleep(INTERVAL_MS);
    }
  }

  /**
   * Takes away endpoints with leased addresses of a subnet that are left over from before dockerd started.
   * @returns their addresses
   */
  async removeLeftOvers(cidr: string): Promise<readonly string[]> {
    const former = this.leasedEndpoints(cidr).filter(([id]) => this.former.has(id));
    if (former.length === 0) return [];
    const moved = await this.interfaces.moved();
    const gone = former.filter(([id]) => !moved.has(this.interfaceOf(id)));
    for (const [id] of gone) await this.inTurn(id, () => this.deleteEndpoint(id));
    return gone.flatMap(([, { addresses }]) => addresses);
  }

  /** Docker gives a leased address back, after its endpoint is gone: whichever has it still is left over. */
  async forgetAddress(address: string, cidr: string): Promise<void> {
    for (const [id, { addresses }] of this.leasedEndpoints(cidr))
      if (addresses.includes(address)) await this.inTurn(id, () => this.deleteEndpoint(id));
  }

  private leasedEndpoints(cidr: string): readonly (readonly [id: string, Endpoint])[] {
    return [...this.state.endpoints].filter(([, { networkId }]) => {
      const network = this.state.networks.get(networkId);
      return network?.isLeased === true && network.subnets.some((one) => one.cidr === cidr);
    });
  }

  private interfaceOf(endpointId: string): string {
    return this.state.endpoints.get(endpointId)?.eni ?? interfaceId(OWNER, endpointId);
  }

  private othersWith(
    { endpointId }: EndpointRequest,
    what: (endpoint: Endpoint) => boolean,
  ): readonly string[] {
    return [...this.state.endpoints].flatMap(([id, endpoint]) =>
      id !== endpointId && what(endpoint) ? [id] : [],
    );
  }

  private inTurn<T>(endpointId: string, work: () => Promise<T>): Promise<T> {
    const done = (this.turns.get(endpointId) ?? Promise.resolve()).then(work);
    const settled = done.then(
      () => undefined,
      () => undefined,
    );
    this.turns.set(endpointId, settled);
    void settled.then(() => {
      if (this.turns.get(endpointId) === settled) this.turns.delete(endpointId);
    });
    return done;
  }
}

/** Docker gives an address of a network to one endpoint at a time. */
function hasAddressOf(other: Endpoint, { networkId, addresses }: EndpointRequest): boolean {
  return (
    other.networkId === networkId && other.addresses.some((address) => addresses.includes(address))
  );
}

function isSamePort(a: PublishedPort, b: PublishedPort): boolean {
  return (
    a.protocol === b.protocol &&
    a.hostPort === b.hostPort &&
    isIpv6(a.address) === isIpv6(b.address) &&
    (a.hostAddress === '' || b.hostAddress === '' || a.hostAddress === b.hostAddress)
  );
}
