/**
 * Plans the network of `sgctl run`: of the user's file only what says who may reach whom, with one interface, in the
 * groups that were given, and an uplink.
 *
 * The file may be the one that the service runs with. Its interfaces, its uplink, metrics and flow logs are for that
 * host and are left out. So its groups have no members but the command: a rule to or from another group admits
 * nothing here. That closes, and opens nothing.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { buildConfig } from '../config/load-config.ts';
import type { Problem } from '../source/problem.ts';
import { get, parseDocument, readDocument, toPlain, type Node } from '../source/yaml.ts';

/** The namespace with the way out, and that of the command. */
export const ROUTER = 'router';
export const COMMAND = 'command';
export const UPLINK_DEVICE = 'sgup';
export const INTERFACE = 'run';

/** AWS's resolver, which pasta translates to the first one of the host. */
export const DNS4 = '169.254.169.253';
export const DNS6 = 'fd00:ec2::253';

const ADDRESS4 = '10.0.2.100';
const ADDRESS6 = 'fd00:2::100';
/** That of pasta's device. Its own sockets send what the path takes. */
const MTU = 65_520;
/** Sections that say who may reach whom. `vpc` only says which addresses interfaces have. */
const KEPT = [
  ...['vpcs', 'prefixLists', 'securityGroups', 'revocation', 'classE', 'conntrack', 'quotas'],
  'names',
] as const;
const DNS = 'dns';

export interface Families {
  readonly has4: boolean;
  readonly has6: boolean;
}

export interface RunPlan {
  /** A configuration of the daemon, as JSON. */
  readonly config: string;
  /** As they were given. */
  readonly groups: readonly string[];
  /** What the command finds as /etc/resolv.conf. */
  readonly resolvConf: string;
  /** In which families there is a way out. */
  readonly families: Families;
}

export interface RunWish {
  /** It has been loaded without an error. */
  readonly file: string;
  readonly groups: readonly string[];
  /** None: one for each family that has a way out. */
  readonly addresses: readonly string[];
  readonly families: Families;
  /** The host's /etc/resolv.conf; empty if there is none. */
  readonly hostResolvConf: string;
}

/** @returns the plan, or what is wrong with the groups and addresses that were given */
export function planRun(
  wish: RunWish,
): { readonly plan: RunPlan } | { readonly problems: readonly Problem[] } {
  const { file, groups, families } = wish;
  const problems: Problem[] = [];
  const root = readDocument(file, problems);
  if (root === undefined) return { problems };
  const hasDns = isDnsWanted(root);
  const own = families.has6 ? [ADDRESS4, ADDRESS6] : [ADDRESS4];
  const config = JSON.stringify({
    ...pick(root, KEPT),
    ...templatesOf(root, dirname(resolve(file))),
    platformServices: hasDns ? [DNS] : [],
    uplink: { tun: UPLINK_DEVICE, mtu: MTU },
    interfaces: {
      [INTERFACE]: {
        device: { kind: 'tun', netns: COMMAND, name: 'eth0', mtu: MTU },
        addresses: wish.addresses.length > 0 ? wish.addresses : own,
        securityGroups: groups,
      },
    },
  });
  const built = parseDocument(file, config, problems);
  if (built !== undefined)
    problems.push(...buildConfig(file, built, { netnsDirectory: '/run/netns' }).problems);
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) return { problems: errors };
  const resolvConf = resolvConfOf(wish.hostResolvConf, hasDns, families);
  return { plan: { config, groups, resolvConf, families } };
}

function pick(root: Node, keys: readonly string[]): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  for (const key of keys) {
    const node = get(root, key);
    if (node !== undefined) picked[key] = toPlain(node);
  }
  return picked;
}

/** The templates, by paths that hold in every directory. */
function templatesOf(root: Node, directory: string): Record<string, unknown> {
  const node = get(root, 'templates');
  if (node?.kind !== 'list') return {};
  const templates = node.items.map((item) => {
    if (item.kind !== 'mapping') return resolve(directory, String(toPlain(item)));
    const plain = toPlain(item) as Record<string, unknown>;
    for (const key of ['file', 'parametersFile'])
      if (typeof plain[key] === 'string') plain[key] = resolve(directory, plain[key]);
    return plain;
  });
  return { templates };
}

/**
 * As in AWS the resolver is a service of the platform, which no group filters. A file that lists services and not
 * this one has none: names are then not resolved at all. No other service is there: the metadata service that pasta
 * would reach is the host's own, with the host's credentials.
 */
function isDnsWanted(root: Node): boolean {
  const node = get(root, 'platformServices');
  if (node?.kind !== 'list') return true;
  return node.items.some((item) => item.kind === 'scalar' && item.value === DNS);
}

/** The host's, with our resolver in place of its own, in the families in which pasta finds one. */
export function resolvConfOf(host: string, hasDns: boolean, { has4, has6 }: Families): string {
  const lines = host.split('\n');
  const servers = lines.flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
  const isNeeded4 = hasDns && has4 && servers.some((server) => !server.includes(':'));
  const isNeeded6 = hasDns && has6 && servers.some((server) => server.includes(':'));
  const others = lines.filter((line) => /^\s*(search|domain|options)\s/.test(line));
  return [
    ...(isNeeded4 ? [`nameserver ${DNS4}`] : []),
    ...(isNeeded6 ? [`nameserver ${DNS6}`] : []),
    ...others,
    '',
  ].join('\n');
}

/** In which families this network namespace has a default route. */
export function familiesHere(process = 'self'): Families {
  return {
    has4: lines(`/proc/${process}/net/route`).some((line) =>
      /^\S+\t00000000\t\S+\t0003\t/.test(line),
    ),
    has6: lines(`/proc/${process}/net/ipv6_route`).some(
      (line) => /^0{32} 00 /.test(line) && !/\slo$/.test(line),
    ),
  };
}

function lines(path: string): readonly string[] {
  try {
    return readFileSync(path, 'latin1').split('\n');
  } catch {
    return [];
  }
}
