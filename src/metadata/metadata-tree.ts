/**
 * This file makes what instance metadata says of an instance, as a tree of categories, with AWS's names. What is not
 * known here is left out, and answered with 404. Source: Amazon EC2 User Guide, "Instance metadata categories".
 */
import type { InstanceView } from '../queries/instance-view.ts';

/** A value, or a category with more below it. */
export type Category = string | ReadonlyMap<string, Category>;

/** Tag keys that AWS allows where tags are in the metadata; others are left out. */
const TAG_KEY = /^[\w+\-=.,:@]+$/;
const NO_TAG_KEYS: ReadonlySet<string> = new Set(['.', '..', '_index']);

/** @param hasTags as InstanceMetadataTags: they are told only where that is asked for */
export function metadataOf(instance: InstanceView, hasTags: boolean): Category {
  const { macAddress, addresses, groups, vpc } = instance;
  const ipv4s = addresses.filter((one) => !one.includes(':'));
  const ipv6s = addresses.filter((one) => one.includes(':'));
  const hostname = hostnameOf(instance, ipv4s[0]);
  const blocks = (isIpv6: boolean, from: readonly string[]): string =>
    from.filter((one) => one.includes(':') === isIpv6).join('\n');
  const names = groups.map(({ name }) => name).join('\n');
  const interfaces = category([
    ['device-number', String(instance.deviceIndex ?? 0)],
    ['interface-id', instance.id],
    ['ipv6s', ipv6s.join('\n')],
    ['local-hostname', hostname],
    ['local-ipv4s', ipv4s.join('\n')],
    ['mac', macAddress],
    ['security-group-ids', groups.map(({ id }) => id).join('\n')],
    ['security-groups', names],
    ['subnet-id', instance.subnetId ?? ''],
    ['subnet-ipv4-cidr-block', blocks(false, instance.subnets)],
    ['subnet-ipv6-cidr-blocks', blocks(true, instance.subnets)],
    ['vpc-id', vpc?.id ?? ''],
    ['vpc-ipv4-cidr-block', blocks(false, vpc?.cidrBlocks ?? []).split('\n')[0]],
    ['vpc-ipv4-cidr-blocks', blocks(false, vpc?.cidrBlocks ?? [])],
    ['vpc-ipv6-cidr-blocks', blocks(true, vpc?.cidrBlocks ?? [])],
  ]);
  const macs = category([[macAddress, interfaces]]);
  const metadata = category([
    ['hostname', hostname],
    ['instance-id', instanceId(instance)],
    ['ipv6', ipv6s[0] ?? ''],
    ['local-hostname', hostname],
    ['local-ipv4', ipv4s[0] ?? ''],
    ['mac', macAddress],
    ['network', category([['interfaces', category([['macs', macs]])]])],
    ['placement', placementOf(instance)],
    ['security-groups', names],
    ...(hasTags ? ([['tags', category([['instance', tagsOf(instance)]])]] as const) : []),
  ]);
  return category([
    ['dynamic', dynamicOf(instance, ipv4s[0])],
    ['meta-data', metadata],
  ]);
}

/** The answer to a GET below a version; undefined: there is nothing of the kind. */
export function lookUp(root: Category, steps: readonly string[]): string | undefined {
  let found: Category | undefined = root;
  // A slash at the end is as good as none, also behind a value: botocore asks for its zone so.
  for (const step of steps.at(-1) === '' ? steps.slice(0, -1) : steps) {
    if (typeof found === 'string') return undefined;
    found = found?.get(step);
  }
  if (found === undefined || typeof found === 'string') return found;
  return [...found].map(([name, one]) => (typeof one === 'string' ? name : `${name}/`)).join('\n');
}

/** Without a call that says it, an interface is all that is known of an instance, so its id makes the instance's. */
function instanceId({ id, instanceId: told }: InstanceView): string {
  return told ?? id.replace(/^eni-/, 'i-');
}

/** A zone is called as its Region, with a letter behind it; a local zone has a name of its own in between. */
function regionOf({ zone }: InstanceView): string {
  return /^[a-z]+(?:-[a-z]+)+-\d+(?=[a-z]$|-)/.exec(zone ?? '')?.[0] ?? '';
}

function placementOf(instance: InstanceView): Category {
  return category([
    ['availability-zone', instance.zone ?? ''],
    ['region', regionOf(instance)],
  ]);
}

/**
 * The identity document, as far as it is known: clients read the Region in it. AWS signs it; here nobody vouches for
 * it, so there is no signature beside it. Without a Region there is none.
 */
function dynamicOf(instance: InstanceView, ipv4: string | undefined): Category {
  const region = regionOf(instance);
  if (region === '') return '';
  const document = {
    availabilityZone: instance.zone,
    instanceId: instanceId(instance),
    ...(ipv4 === undefined ? {} : { privateIp: ipv4 }),
    region,
    version: '2017-09-30',
  };
  const identity = category([['document', JSON.stringify(document, null, 2)]]);
  return category([['instance-identity', identity]]);
}

/** As AWS names an instance by its address; one without IPv4 by its interface. */
function hostnameOf({ name, id }: InstanceView, ipv4: string | undefined): string {
  if (ipv4 !== undefined) return `ip-${ipv4.replaceAll('.', '-')}`;
  const host = name
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-')
    .slice(0, 63);
  return /^[a-z0-9](.*[a-z0-9])?$/.test(host) ? host : id;
}

function tagsOf({ tags }: InstanceView): Category {
  return new Map(
    Object.entries(tags).filter(([key]) => TAG_KEY.test(key) && !NO_TAG_KEYS.has(key)),
  );
}

/** Without what is empty. */
function category(entries: readonly (readonly [string, Category])[]): Category {
  return new Map(
    entries.filter(([, one]) => one !== '' && (typeof one === 'string' || one.size > 0)),
  );
}
