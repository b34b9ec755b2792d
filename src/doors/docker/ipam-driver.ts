/**
 * IpamDriver answers what Docker asks of a driver that manages addresses (libnetwork's remote IPAM protocol): a network
 * has the addresses of a subnet of the EC2 API, and no container gets one that an interface of a call has.
 *
 * Theory of operation. It keeps nothing. A pool is a subnet's block, and its id says all that is asked about it later.
 * An address is leased from the daemon, in the store, where calls see it (estate/leases.ts). CreateEndpoint makes it an
 * interface's. The address of an interface that a call made and that nobody has is answered without a lease: a
 * container is to be that interface (`eni=`), and CreateEndpoint refuses any other.
 *
 * A lease that dockerd never gives back, since it was killed, ends by itself. So nothing has to be replayed when
 * dockerd starts again. An address that an endpoint has which such a dockerd left over is free again as soon as that
 * is gone: when Docker gives it back, and when there is none to be had else.
 *
 * The gateway is the subnet's router, as in AWS, which is no interface's and needs no lease. Docker may not choose the
 * block: it would ask again and again for another one while the host has a route to the subnet.
 */
import { formatAddress, formatCidr, parseAddress, parseCidr } from '../../addr/address.ts';
import type { LeaseQuestion, PoolQuestion, PoolView } from '../../queries/owned-interfaces.ts';
import { printable } from '../../source/excerpt.ts';
import { listWords } from '../../source/suggest.ts';
import { DoorError } from '../selection.ts';
import { ADDRESS_SPACE } from './docker-requests.ts';
import type { Members } from './members.ts';
import type { NetworkDriver } from './network-driver.ts';

/** libnetwork's netlabel.Gateway: in the data of a pool, and as the type of an address that is asked for. */
const GATEWAY = 'com.docker.network.gateway';
const ADDRESS_TYPE = 'RequestAddressType';
const POOL_KEYS = ['subnet', 'vpc'];
const SHOWN_MAX = 64;

/** What is asked of the daemon. */
export interface Addresses {
  findSubnet(question: PoolQuestion): Promise<PoolView>;
  /** @returns the address */
  lease(question: Omit<LeaseQuestion, 'owner'>): Promise<string>;
  release(vpc: string, address: string): Promise<void>;
}

export interface IpamDriverOptions {
  readonly addresses: Addresses;
  readonly endpoints: Pick<NetworkDriver, 'removeLeftOvers' | 'forgetAddress'>;
}

type Answer = Readonly<Record<string, unknown>>;

/** What the id of a pool says. */
type PoolId = Pick<PoolView, 'subnet' | 'vpc' | 'cidr'> & { readonly range?: string };

export class IpamDriver {
  private readonly addresses: Addresses;
  private readonly endpoints: IpamDriverOptions['endpoints'];
  /** By the method's name in the protocol. */
  readonly methods: ReadonlyMap<string, (request: Members) => Answer | Promise<Answer>>;

  constructor({ addresses, endpoints }: IpamDriverOptions) {
    this.addresses = addresses;
    this.endpoints = endpoints;
    this.methods = new Map<string, (request: Members) => Answer | Promise<Answer>>([
      ['GetCapabilities', () => ({ RequiresMACAddress: false, RequiresRequestReplay: false })],
      [
        'GetDefaultAddressSpaces',
        () => ({
          LocalDefaultAddressSpace: ADDRESS_SPACE,
          GlobalDefaultAddressSpace: ADDRESS_SPACE,
        }),
      ],
      ['RequestPool', (request) => this.requestPool(request)],
      ['ReleasePool', () => ({})],
      ['RequestAddress', (request) => this.requestAddress(request)],
      ['ReleaseAddress', (request) => this.releaseAddress(request)],
    ]);
  }

  private async requestPool(request: Members): Promise<Answer> {
    const pool = request.text('Pool');
    if (pool === '')
      throw new DoorError(
        'the network is to have the addresses of a subnet of the EC2 API: say which by its block, --subnet 172.31.0.0/20',
      );
    const part = request.text('SubPool');
    const range = part === '' ? {} : { range: blockText(part, 'the range') };
    const found = await this.addresses.findSubnet({
      cidr: blockText(pool, 'the subnet'),
      ...readPoolOptions(request.object('Options')),
      ...range,
    });
    const { cidr, router } = found;
    return {
      PoolID: poolIdText({ ...found, ...range }),
      Pool: cidr,
      Data: { [GATEWAY]: withLength(router, cidr) },
    };
  }

  private async requestAddress(request: Members): Promise<Answer> {
    const { vpc, subnet, cidr, range } = readPoolId(request.text('PoolID'));
    const given = request.text('Address');
    const address = given === '' ? undefined : addressText(given);
    if (request.object('Options').text(ADDRESS_TYPE) === GATEWAY) {
      const { router } = await this.addresses.findSubnet({ cidr, subnet });
      if (address !== undefined && address !== router)
        throw new DoorError(
          `the gateway of ${cidr} is ${router}, the subnet's router: leave --gateway out`,
        );
      return { Address: withLength(router, cidr), Data: {} };
    }
    const question = {
      ...{ cidr, subnet },
      ...(range === undefined ? {} : { range }),
      ...(address === undefined ? {} : { address }),
    };
    return { Address: withLength(await this.lease(question, vpc), cidr), Data: {} };
  }

  private async lease(question: Omit<LeaseQuestion, 'owner'>, vpc: string): Promise<string> {
    try {
      return await this.addresses.lease(question);
    } catch (error) {
      const freed = await this.endpoints.removeLeftOvers(question.cidr);
      if (freed.length === 0) throw error;
      for (const address of freed) await this.addresses.release(vpc, address);
      return this.addresses.lease(question);
    }
  }

  private async releaseAddress(request: Members): Promise<Answer> {
    const { vpc, cidr } = readPoolId(request.text('PoolID'));
    const address = addressText(request.text('Address'));
    await this.endpoints.forgetAddress(address, cidr);
    await this.addresses.release(vpc, address);
    return {};
  }
}

function readPoolOptions(options: Members): Pick<PoolQuestion, 'subnet' | 'vpc'> {
  const own = options.names.filter((name) => !name.startsWith('com.docker.'));
  const unknown = own.filter((name) => !POOL_KEYS.includes(name));
  if (unknown.length > 0)
    throw new DoorError(
      `${listWords(unknown.map((name) => printable(name.slice(0, SHOWN_MAX))))} is no option of the IPAM driver secgroupd: there are subnet=subnet-… and vpc=vpc-…`,
    );
  return Object.fromEntries(own.map((name) => [name, options.text(name)]));
}

function poolIdText({ vpc, subnet, cidr, range }: PoolId): string {
  return [vpc, subnet, cidr, ...(range === undefined ? [] : [range])].join(' ');
}

function readPoolId(text: string): PoolId {
  const [vpc, subnet, cidr, range, ...more] = text.split(' ');
  if (cidr === undefined || more.length > 0)
    throw new DoorError(`'${printable(text.slice(0, SHOWN_MAX))}' is no pool of secgroupd`);
  return { vpc, subnet, cidr, ...(range === undefined ? {} : { range }) };
}

/** As Docker writes addresses: with the length of the block. */
function withLength(address: string, cidr: string): string {
  return `${address}${cidr.slice(cidr.indexOf('/'))}`;
}

function blockText(text: string, what: string): string {
  const parsed = parseCidr(text, 'mask');
  if (parsed.ok) return formatCidr(parsed.value);
  throw new DoorError(`${what}: ${printable(parsed.message.slice(0, 200))}`);
}

function addressText(text: string): string {
  const parsed = parseAddress(text);
  if (parsed.ok) return formatAddress(parsed.value);
  throw new DoorError(`the address: ${printable(parsed.message.slice(0, 200))}`);
}
