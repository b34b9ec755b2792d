/**
 * Plans which cases are tried with real packets and from where to where, or says why a case can't be tried.
 *
 * Only what was really tried may pass. So every doubt ends in a reason to skip: a packet that the kernel would
 * deliver by itself, an address that nobody in the lab has, a protocol that no program speaks.
 */
import { formatAddress, sameAddress, type Address } from '../addr/address.ts';
import type { Config } from '../config/config.ts';
import { namespacesOf } from '../lab/up.ts';
import type { Offer, Probe } from './agent-messages.ts';
import type { Judge } from './judge.ts';
import type { Case, CaseEnd } from './suite.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP } from '../policy/protocols.ts';

const ICMP_ECHO = 8;
const ICMPV6_ECHO = 128;

/** One attempt: a probe in one namespace, and the server that it needs in the other. */
export interface Attempt {
  readonly one: Case;
  readonly from: string;
  readonly to: string;
  readonly probe: Omit<Probe, 'timeoutMs'>;
  /** Undefined for a ping, which the kernel answers. */
  readonly offer: Offer | undefined;
}

export interface Skip {
  readonly one: Case;
  readonly why: string;
}

export interface Plan {
  readonly attempts: readonly Attempt[];
  readonly skips: readonly Skip[];
}

export function planLive(config: Config, cases: readonly Case[], judge: Judge): Plan {
  const planner = new Planner(config, judge);
  const attempts: Attempt[] = [];
  const skips: Skip[] = [];
  for (const one of cases) {
    const planned = planner.plan(one);
    if (typeof planned === 'string') skips.push({ one, why: planned });
    else attempts.push(planned);
  }
  return { attempts, skips };
}

interface Place {
  readonly namespace: string;
  readonly address: Address;
}

class Planner {
  private readonly config: Config;
  private readonly judge: Judge;
  private readonly namespaces: ReadonlySet<string>;

  constructor(config: Config, judge: Judge) {
    this.config = config;
    this.judge = judge;
    this.namespaces = new Set(namespacesOf(config));
  }

  /** Returns the attempt, or why there can be none. */
  plan(one: Case): Attempt | string {
    const wire = wireOf(one);
    if (typeof wire === 'string') return wire;
    const from = this.placeOf(one.from);
    if (typeof from === 'string') return from;
    const to = this.placeOf(one.to);
    if (typeof to === 'string') return to;
    if (from.namespace === to.namespace)
      return `both ends are in the namespace ${from.namespace}: the kernel delivers that by itself`;
    const standIn = this.checkStandIn(one, from.address, to.address);
    if (standIn !== undefined) return standIn;
    const { kind, port } = wire;
    const { family } = one;
    const address = formatAddress(to.address);
    const source = formatAddress(from.address);
    return {
      one,
      from: from.namespace,
      to: to.namespace,
      probe: { kind, family, source, address, port },
      offer: kind === 'ping' ? undefined : { kind, family, address, port },
    };
  }

  private placeOf(end: CaseEnd): Place | string {
    return end.interfaceId === undefined ? this.outsidePlace(end) : this.insidePlace(end);
  }

  private insidePlace({ interfaceId, address, name }: CaseEnd): Place | string {
    const own = this.config.interfaces.find(({ id }) => id === interfaceId);
    if (own === undefined) return `${name} has no device`;
    const { netns, configure } = own.device;
    const namespace = this.ours(netns);
    if (namespace === undefined) return `${name} ${notOurs(netns)}`;
    if (!configure) return `the device of ${name} is configured by someone else (configure: false)`;
    const sharing = this.config.interfaces.filter(({ device }) => device.netns === netns);
    const isShared = sharing.length > 1 || this.config.uplink?.device.netns === netns;
    // The kernel would choose the device by its routes, whatever the source address.
    if (isShared) return `${name} is not alone in the namespace ${namespace}`;
    return { namespace, address };
  }

  private outsidePlace({ address, isAnyone }: CaseEnd): Place | string {
    const { uplink } = this.config;
    if (uplink === undefined) return 'there is no uplink';
    const { netns, configure } = uplink.device;
    if (!configure) return 'the uplink is configured by someone else (configure: false)';
    const namespace = this.ours(netns);
    if (namespace === undefined) return `the uplink ${notOurs(netns)}`;
    const own = uplink.addresses.map((one) => one.address);
    const found =
      own.find((one) => sameAddress(one, address)) ??
      (isAnyone ? own.find(({ family }) => family === address.family) : undefined);
    if (found !== undefined) return { namespace, address: found };
    return isAnyone
      ? `the uplink's namespace has no IPv${address.family} address`
      : `the uplink's namespace does not have the address ${formatAddress(address)}`;
  }

  private ours(netns: string | undefined): string | undefined {
    return netns !== undefined && this.namespaces.has(netns) ? netns : undefined;
  }

  /** If the uplink's own address stands for any stranger's, both must get the same verdict. */
  private checkStandIn(one: Case, from: Address, to: Address): string | undefined {
    const ends = { from: standIn(one.from, from), to: standIn(one.to, to) };
    if (ends.from === one.from && ends.to === one.to) return undefined;
    const own = this.judge.judge({ ...one, ...ends }).verdict;
    const anyone = this.judge.judge(one).verdict;
    if (own === anyone) return undefined;
    const address = formatAddress(ends.from === one.from ? to : from);
    return `the uplink's own address ${address} is ${own} by the rules, another stranger ${anyone}`;
  }
}

function notOurs(netns: string | undefined): string {
  return netns === undefined
    ? 'has no namespace of its own'
    : `is in the namespace ${netns}, which the lab does not make`;
}

function standIn(end: CaseEnd, address: Address): CaseEnd {
  if (sameAddress(end.address, address)) return end;
  return { ...end, address, endpoint: { kind: 'address', address } };
}

/** What is sent, or why nothing here can send it. */
function wireOf({ check }: Case): Pick<Probe, 'kind' | 'port'> | string {
  const { service, text } = check.service;
  switch (service.kind) {
    case 'ports':
      if (service.port === 0) return 'nobody can listen on port 0';
      return { kind: service.protocol === PROTOCOL_TCP ? 'tcp' : 'udp', port: service.port };
    case 'icmp': {
      const echo = service.protocol === PROTOCOL_ICMP ? ICMP_ECHO : ICMPV6_ECHO;
      const isEcho = service.type === echo && service.code === 0;
      return isEcho ? { kind: 'ping', port: 0 } : `${text}: only echo can be sent for real`;
    }
    case 'protocol':
      return `${text}: only TCP, UDP and ICMP echo can be sent for real`;
    default:
      return service satisfies never;
  }
}
