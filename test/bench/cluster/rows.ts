/**
 * The estate of the benchmark "cluster": rows as calls would leave them.
 *
 * A service is a group; it is on ten hosts, with five interfaces on each, and admits two other services and itself. So a
 * host with 100 interfaces has 20 services, and needs the members of some 40 more.
 */
import { parseAddress, type Address } from '../../../src/addr/address.ts';
import { indexRows } from '../../../src/estate/index-rows.ts';
import { addressKey, LAYOUT_KEY, nameKey, valueKey } from '../../../src/estate/keys.ts';
import type { EstateGroup, EstateInterface } from '../../../src/estate/model.ts';
import { estateOrigin, ROW_FORMS, vpcRef } from '../../../src/estate/rows.ts';
import type { Rule } from '../../../src/policy/model.ts';
import { ONLY_VPC_ID } from '../../../src/policy/vpcs.ts';
import { idOf } from '../api/fill.ts';

export const PER_HOST = 100;
const SERVICES_PER_HOST = 20;
/** Who is in a group of so many members, which one host alone names. */
export const MANY = 10_000;
/** The groups of the real daemons' probes, and those that memory is measured by. */
export const WEB = idOf('sg', 0xa0001);
export const APP = idOf('sg', 0xa0002);
const CROWD = idOf('sg', 0xa0003);
const NAMES_CROWD = idOf('sg', 0xa0004);
const NAMES_NOBODY = idOf('sg', 0xa0005);
const NOBODY = idOf('sg', 0xa0006);

export interface Row {
  readonly key: string;
  readonly value: string;
}

/** An interface, as far as the benchmark knows it. */
export interface Place {
  readonly number: number;
  readonly host: string;
  readonly groupIds: readonly string[];
  /** On this host, in this namespace; absent: on a host that is simulated. */
  readonly device?: { readonly name: string; readonly netns: string; readonly configure: boolean };
}

export class Size {
  readonly hosts: number;
  readonly services: number;
  readonly interfaces: number;

  constructor(hosts: number) {
    this.hosts = hosts;
    this.services = 2 * hosts;
    this.interfaces = PER_HOST * hosts;
  }

  /** The services of the interface with a number; now and then the crowd, too. */
  groupsOf(number: number): readonly string[] {
    const host = Math.floor(number / PER_HOST);
    const step = this.services / SERVICES_PER_HOST;
    const service = (host + step * (number % SERVICES_PER_HOST)) % this.services;
    const isCrowd = number % Math.max(1, this.interfaces / MANY) === 0;
    return [serviceId(service), ...(isCrowd ? [CROWD] : [])];
  }
}

export const hostName = (host: number): string => `h${host}`;
export const serviceId = (service: number): string => idOf('sg', service);

/** The hosts whose part differs in the crowd alone. */
export const MEMORY_HOSTS = { without: 'memory-0', with: 'memory-1' } as const;

/** All rows. @param real where the real daemons have their interfaces, by number */
export function* estateRows(size: Size, real: ReadonlyMap<number, Place>): Generator<Row> {
  yield { key: LAYOUT_KEY, value: '{"layout":2}' };
  yield {
    key: valueKey('vpcs', ONLY_VPC_ID),
    value: textOf('vpcs', {
      ...{ id: ONLY_VPC_ID, blocks: [], isDefault: true, enableDnsHostnames: true },
      ...{ enableDnsSupport: true, enableNetworkAddressUsageMetrics: false, tags: [] },
    }),
  };
  for (let service = 0; service < size.services; service++)
    yield* groupRows(serviceId(service), serviceRules(service, size, 443));
  yield* groupRows(WEB, []);
  yield* groupRows(APP, []);
  yield* groupRows(CROWD, []);
  yield* groupRows(NOBODY, []);
  yield* groupRows(NAMES_CROWD, [admit(0xb0001, CROWD, 443)]);
  yield* groupRows(NAMES_NOBODY, [admit(0xb0002, NOBODY, 443)]);
  for (let number = 0; number < size.interfaces; number++) {
    const host = hostName(Math.floor(number / PER_HOST));
    yield* interfaceRows(real.get(number) ?? { number, host, groupIds: size.groupsOf(number) });
  }
  const last = size.interfaces;
  yield* interfaceRows({ number: last, host: MEMORY_HOSTS.without, groupIds: [NAMES_NOBODY] });
  yield* interfaceRows({ number: last + 1, host: MEMORY_HOSTS.with, groupIds: [NAMES_CROWD] });
}

export function serviceRules(service: number, { services }: Size, port: number): readonly Rule[] {
  return [0, 1, 7].map((far, i) =>
    admit(service * 4 + i, serviceId((service + far) % services), port + i),
  );
}

/** What the probes' server admits from their client: the steady port, and one that says which revision this is. */
export function appRules(steady: number, marker: number): readonly Rule[] {
  return [steady, marker].map((port, i) => ({ ...admit(0xc0000 + i, WEB, port), protocol: 17 }));
}

export function groupRow(id: string, ingress: readonly Rule[]): Row {
  return { key: valueKey('groups', id), value: textOf('groups', groupOf(id, ingress)) };
}

/** An interface with the rows that follow from it. */
export function* interfaceRows(place: Place): Generator<Row> {
  const value = interfaceOf(place);
  yield { key: valueKey('interfaces', value.id), value: textOf('interfaces', value) };
  yield {
    key: addressKey(ONLY_VPC_ID, addressText(place.number)),
    value: JSON.stringify({ interfaceId: value.id }),
  };
  for (const [key, text] of indexRows(value)) yield { key, value: text };
}

export function interfaceOf({ number, host, groupIds, device }: Place): EstateInterface {
  const id = idOf('eni', number);
  return {
    ...{ id, vpcId: ONLY_VPC_ID, subnetId: undefined, addresses: [addressOf(number)], groupIds },
    ...{ description: '', sourceDestCheck: true, connectionTracking: undefined, tags: [] },
    macAddress: `02:${id.slice(-10).replace(/(..)(?=.)/g, '$1:')}`,
    attachment: {
      ...{ id: idOf('eni-attach', number), host, instanceId: idOf('i', number), deviceIndex: 0 },
      ...{ attachedAt: '2026-01-01T00:00:00.000Z', isByTags: false },
      device: {
        ...{ kind: 'tun', mtu: 1500, persist: false },
        ...(device ?? { name: `t${number}`, netns: undefined, configure: false }),
      },
    },
  };
}

export function addressText(number: number): string {
  return `10.${100 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
}

function* groupRows(id: string, ingress: readonly Rule[]): Generator<Row> {
  yield groupRow(id, ingress);
  yield { key: nameKey(ONLY_VPC_ID, `group-${id}`), value: JSON.stringify({ groupId: id }) };
}

function groupOf(id: string, ingress: readonly Rule[]): EstateGroup {
  const out: Rule = {
    ...{ id: `sgr-0${id.slice(4)}`, direction: 'egress', protocol: -1, fromPort: -1, toPort: -1 },
    peer: { kind: 'cidr', cidr: { family: 4, words: [0], length: 0 } },
    ...{ description: '', origin: estateOrigin(id) },
  };
  return {
    group: {
      ...{
        id,
        name: `group-${id}`,
        vpc: vpcRef(ONLY_VPC_ID),
        description: 'made by the benchmark',
      },
      ...{ ingress, egress: [out], origin: estateOrigin(id) },
    },
    ...{ ruleTags: new Map(), tags: [] },
  };
}

function admit(number: number, groupId: string, port: number): Rule {
  return {
    ...{ id: idOf('sgr', number), direction: 'ingress', protocol: 6, fromPort: port, toPort: port },
    peer: { kind: 'group', groupId },
    ...{ description: '', origin: estateOrigin('') },
  };
}

function textOf<F extends keyof typeof ROW_FORMS>(
  folder: F,
  value: ReturnType<(typeof ROW_FORMS)[F]['decode']>,
): string {
  const { encode } = ROW_FORMS[folder] as { encode: (one: typeof value) => object };
  return JSON.stringify(encode(value));
}

function addressOf(number: number): Address {
  const parsed = parseAddress(addressText(number));
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}
