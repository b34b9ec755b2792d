/** This file fills a store with an estate of a given size, row by row as calls would leave it. */
import { parseAddress, parseCidr, type Address, type Cidr } from '../../../src/addr/address.ts';
import { nameKey, valueKey, type ValueFolder } from '../../../src/estate/keys.ts';
import type { EstateGroup, EstateInterface } from '../../../src/estate/model.ts';
import { estateOrigin, ROW_FORMS, vpcRef } from '../../../src/estate/rows.ts';
import type { Rule } from '../../../src/policy/model.ts';
import { ONLY_VPC_ID } from '../../../src/policy/vpcs.ts';
import { openSqliteStore } from '../../../src/store/sqlite-store.ts';

export interface Size {
  readonly groups: number;
  readonly rulesPerGroup: number;
  readonly interfaces: number;
  /** So many of the interfaces have a device on the host. */
  readonly attached: number;
}

const COMMIT_ROWS = 100;
const HEX_DIGITS = 17;

export function idOf(prefix: string, number: number): string {
  return `${prefix}-${number.toString(16).padStart(HEX_DIGITS, '0')}`;
}

/** The groups of an interface: two neighbours, so that each group has about as many interfaces as any other. */
export function groupsOf(number: number, { groups }: Size): readonly number[] {
  return [number % groups, (number + 1) % groups];
}

/** @param place has the devices of interfaces, in the namespace `netns` of the host */
export async function fillStore(
  file: string,
  size: Size,
  place: { readonly host: string; readonly netns: string },
): Promise<void> {
  const store = await openSqliteStore(file);
  let puts: { key: string; value: string }[] = [];
  const flush = async (): Promise<void> => {
    await store.commit({ conditions: [], puts, deletes: [] });
    puts = [];
  };
  const put = async (key: string, value: string): Promise<void> => {
    puts.push({ key, value });
    if (puts.length >= COMMIT_ROWS) await flush();
  };
  for (let number = 0; number < size.groups; number++) {
    const value = makeGroup(number, size);
    const { id, name } = value.group;
    await put(valueKey('groups', id), textOf('groups', value));
    await put(nameKey(ONLY_VPC_ID, name), JSON.stringify({ groupId: id }));
  }
  for (let number = 0; number < size.interfaces; number++) {
    const value = makeInterface(number, size, place);
    await put(valueKey('interfaces', value.id), textOf('interfaces', value));
  }
  await flush();
  await store.close();
}

function textOf(folder: ValueFolder, value: object): string {
  const { encode } = ROW_FORMS[folder] as { encode: (one: object) => object };
  return JSON.stringify(encode(value));
}

function makeGroup(number: number, { groups, rulesPerGroup }: Size): EstateGroup {
  const id = idOf('sg', number);
  const rules = Array.from({ length: rulesPerGroup }, (_, i): Rule => ({
    id: idOf('sgr', number * rulesPerGroup + i),
    direction: 'ingress',
    protocol: 6,
    fromPort: 1000 + i,
    toPort: 1000 + i,
    peer:
      i === 0
        ? { kind: 'group', groupId: idOf('sg', (number + 1) % groups) }
        : { kind: 'cidr', cidr: cidrOf(`10.${number >> 8}.${number & 255}.${16 * i}/28`) },
    description: '',
    origin: estateOrigin(id),
  }));
  return {
    group: {
      id,
      name: `group-${number}`,
      vpc: vpcRef(ONLY_VPC_ID),
      description: 'made by the benchmark',
      ingress: rules,
      egress: [],
      origin: estateOrigin(id),
    },
    ruleTags: new Map(),
    tags: [{ key: 'team', value: `team-${number % 100}` }],
  };
}

function makeInterface(
  number: number,
  size: Size,
  { host, netns }: { readonly host: string; readonly netns: string },
): EstateInterface {
  const id = idOf('eni', number);
  return {
    id,
    vpcId: ONLY_VPC_ID,
    subnetId: undefined,
    addresses: [addressOf(`10.${100 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`)],
    groupIds: groupsOf(number, size).map((group) => idOf('sg', group)),
    description: '',
    sourceDestCheck: true,
    connectionTracking: undefined,
    macAddress: `02:${id.slice(-10).replace(/(..)(?=.)/g, '$1:')}`,
    attachment:
      number >= size.attached
        ? undefined
        : {
            id: idOf('eni-attach', number),
            host,
            instanceId: idOf('i', number),
            deviceIndex: 0,
            attachedAt: '2026-01-01T00:00:00.000Z',
            isByTags: false,
            device: {
              kind: 'tun',
              name: `t${number}`,
              netns,
              mtu: 1500,
              configure: false,
              persist: false,
            },
          },
    tags: [],
  };
}

function cidrOf(text: string): Cidr {
  const parsed = parseCidr(text, 'refuse');
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}

function addressOf(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}
