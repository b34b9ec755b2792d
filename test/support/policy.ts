/**
 * Writes policy models the short way that tests use: `tcp 80-90 from 10.0.0.0/8`, `icmp 8/-1 from sg:web`, `all to
 * ::/0`. It does not use the configuration loader, so that neither hides a mistake of the other.
 */
import { parseAddress, parseCidr } from '../../src/addr/address.ts';
import { makeAuditAll } from '../../src/policy/audit.ts';
import { MemberSet } from '../../src/policy/member-set.ts';
import type {
  Direction,
  NetworkInterface,
  Peer,
  PolicyModel,
  PrefixList,
  RemoteMember,
  Revocation,
  Rule,
  SecurityGroup,
} from '../../src/policy/model.ts';
import type { SpecialAddresses } from '../../src/policy/special-addresses.ts';

export interface ModelText {
  readonly groups: Readonly<
    Record<
      string,
      {
        readonly ingress?: readonly string[];
        readonly egress?: readonly string[];
        readonly revocation?: Revocation;
        /** Rules that only audit. */
        readonly audited?: readonly string[];
        /** The group is in audit mode. */
        readonly audit?: boolean;
      }
    >
  >;
  readonly prefixLists?: Readonly<Record<string, readonly string[]>>;
  readonly interfaces: Readonly<
    Record<
      string,
      {
        readonly addresses: readonly string[];
        readonly groups: readonly string[];
        readonly sourceDestCheck?: boolean;
        readonly alwaysTracked?: boolean;
        readonly isPlatform?: boolean;
        readonly audit?: boolean;
      }
    >
  >;
  readonly remote?: Readonly<
    Record<string, { readonly addresses: readonly string[]; readonly groups: readonly string[] }>
  >;
}

export const ALLOW_ALL_EGRESS: readonly string[] = ['all to 0.0.0.0/0', 'all to ::/0'];

const PROTOCOLS: Readonly<Record<string, number>> = {
  all: -1,
  icmp: 1,
  tcp: 6,
  udp: 17,
  icmpv6: 58,
};
const ORIGIN = { file: 'test', line: 1, column: 1, path: '' };

/** Groups without `egress` get AWS's default. Ids are the names with their prefix: `sg-web`, `eni-a`. */
export function model(text: ModelText): PolicyModel {
  const groups = new Map(
    Object.entries(text.groups).map(([name, text]): [string, SecurityGroup] => {
      const { ingress = [], egress = ALLOW_ALL_EGRESS, revocation } = text;
      const id = `sg-${name}`;
      const rules = (direction: Direction, lines: readonly string[]): Rule[] =>
        lines.map((line) => rule(`sgr-${name}-${direction}-${line}`, direction, line));
      const audited = [
        ...(text.audited ?? []).map((line) => auditRule(`sgr-${name}-audit-${line}`, line)),
        ...(text.audit === true ? makeAuditAll(id, ORIGIN) : []),
      ];
      return [
        id,
        {
          id,
          name,
          description: name,
          ingress: rules('ingress', ingress),
          egress: rules('egress', egress),
          ...(revocation === undefined ? {} : { revocation }),
          ...(audited.length === 0 ? {} : { audited }),
          origin: ORIGIN,
        },
      ];
    }),
  );
  const prefixLists = new Map(
    Object.entries(text.prefixLists ?? {}).map(([name, cidrs]): [string, PrefixList] => {
      const entries = cidrs.map((cidr) => ({ cidr: mustCidr(cidr), description: '' }));
      return [
        `pl-${name}`,
        {
          id: `pl-${name}`,
          name,
          family: entries[0].cidr.family,
          maxEntries: entries.length,
          entries,
          origin: ORIGIN,
        },
      ];
    }),
  );
  const interfaces = new Map(
    Object.entries(text.interfaces).map(([name, spec]): [string, NetworkInterface] => {
      const id = `eni-${name}`;
      return [
        id,
        {
          id,
          name,
          addresses: spec.addresses.map(mustAddress),
          groupIds: spec.groups.map((group) => `sg-${group}`),
          sourceDestCheck: spec.sourceDestCheck ?? true,
          alwaysTracked: spec.alwaysTracked ?? false,
          isPlatform: spec.isPlatform ?? false,
          ...(spec.audit === true ? { audit: true as const } : {}),
          connectionTracking: {
            tcpEstablishedTimeoutSec: 432000,
            udpTimeoutSec: 30,
            udpStreamTimeoutSec: 180,
          },
          origin: ORIGIN,
        },
      ];
    }),
  );
  if (text.remote === undefined) return { groups, prefixLists, interfaces };
  const remoteMembers = new Map<string, MemberSet<RemoteMember>>();
  for (const [name, spec] of Object.entries(text.remote))
    for (const group of spec.groups) {
      const member = { id: `eni-${name}`, name, host: 'elsewhere', addresses: spec.addresses.map(mustAddress) }; // prettier-ignore
      const known = remoteMembers.get(`sg-${group}`) ?? MemberSet.of<RemoteMember>([]);
      remoteMembers.set(`sg-${group}`, known.withAll([member]));
    }
  return { groups, prefixLists, interfaces, remoteMembers };
}

export function mustAddress(text: string): NetworkInterface['addresses'][number] {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}

/**
 * Special addresses as tests write them: `169.254.169.254` is reserved for the platform, and `169.254.169.254/tcp/80`
 * is a service there that is exempt.
 */
export function specialAddresses(
  platform: readonly string[],
  rest: { readonly uplink?: readonly string[]; readonly allowsClassE?: boolean } = {},
): SpecialAddresses {
  const parts = platform.map((text) => text.split('/'));
  return {
    reserved: [...new Set(parts.map(([address]) => address))].map(mustAddress),
    uplink: (rest.uplink ?? []).map(mustAddress),
    exempt: parts.flatMap(([address, protocol, port]) =>
      protocol === undefined
        ? []
        : [
            {
              address: mustAddress(address),
              protocol: protocol === 'tcp' ? 6 : 17,
              port: Number(port),
            } as const,
          ],
    ),
    allowsClassE: rest.allowsClassE ?? false,
  };
}

function auditRule(id: string, line: string): Rule {
  const direction = line.includes(' from ') ? 'ingress' : 'egress';
  return { ...rule(id, direction, line), audit: true };
}

function rule(id: string, direction: Direction, line: string): Rule {
  const match = /^(\S+)(?: (\S+))? (from|to) (\S+)( by TLS)?$/.exec(line);
  if (match === null) throw new Error(`not a rule: ${line}`);
  const protocol = PROTOCOLS[match[1]] ?? Number(match[1]);
  const [fromPort, toPort] = range(protocol, match[2]);
  return {
    id,
    direction,
    protocol,
    fromPort,
    toPort,
    peer: peer(match[4], match[5] !== undefined),
    description: '',
    origin: ORIGIN,
  };
}

function range(protocol: number, text: string | undefined): [number, number] {
  if (protocol === 6 || protocol === 17) {
    const [from, to] = (text ?? '0-65535').split('-').map(Number);
    return [from, to ?? from];
  }
  if ((protocol === 1 || protocol === 58) && text !== undefined) {
    const [type, code] = text.split('/').map(Number);
    return [type, code];
  }
  return [-1, -1];
}

function peer(text: string, isStrict: boolean): Peer {
  if (text.startsWith('sg:')) return { kind: 'group', groupId: `sg-${text.slice(3)}` };
  if (text.startsWith('pl:')) return { kind: 'prefixList', prefixListId: `pl-${text.slice(3)}` };
  if (text.startsWith('dns:'))
    return { kind: 'dns', name: text.slice(4), ...(isStrict ? { tlsName: true as const } : {}) };
  return { kind: 'cidr', cidr: mustCidr(text) };
}

export function mustCidr(text: string): Extract<Peer, { kind: 'cidr' }>['cidr'] {
  const parsed = parseCidr(text, 'refuse');
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}
