/**
 * The rules that both firewalls enforce, written once.
 *
 * No peer is the literal /0: such flows would be untracked here, and the kernel tracks everything.
 */
import type { ModelText } from '../support/policy.ts';
import { INSTANCE_4, INSTANCE_6 } from './play.ts';

const PEERS_4 = '198.18.0.0/15';
const PEERS_6 = '2001:db8::/32';

interface OracleRule {
  readonly direction: 'ingress' | 'egress';
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6' | number;
  /** Ports, or the ICMP type with any code. */
  readonly what?: string;
}

const RULES: readonly OracleRule[] = [
  { direction: 'egress', protocol: 'tcp', what: '1000-1999' },
  { direction: 'ingress', protocol: 'tcp', what: '443' },
  { direction: 'egress', protocol: 'udp', what: '1000-1999' },
  { direction: 'ingress', protocol: 'udp', what: '53' },
  { direction: 'egress', protocol: 'icmp', what: '8' },
  { direction: 'ingress', protocol: 'icmp', what: '8' },
  { direction: 'egress', protocol: 'icmp', what: '13' },
  { direction: 'egress', protocol: 'icmpv6', what: '128' },
  { direction: 'ingress', protocol: 'icmpv6', what: '128' },
  { direction: 'egress', protocol: 112 },
  { direction: 'ingress', protocol: 99 },
];

/** As a policy of ours: one interface in one group. */
export function modelOfRules(): ModelText {
  const lines = (direction: OracleRule['direction']): string[] =>
    RULES.filter((rule) => rule.direction === direction).flatMap(({ protocol, what }) => {
      const isIcmp = protocol === 'icmp' || protocol === 'icmpv6';
      const words = what === undefined ? [] : [isIcmp ? `${what}/-1` : what];
      const way = direction === 'ingress' ? 'from' : 'to';
      const peers =
        protocol === 'icmp' ? [PEERS_4] : protocol === 'icmpv6' ? [PEERS_6] : [PEERS_4, PEERS_6];
      return peers.map((peer) => [String(protocol), ...words, way, peer].join(' '));
    });
  return {
    groups: { oracle: { ingress: lines('ingress'), egress: lines('egress') } },
    interfaces: { instance: { addresses: [INSTANCE_4, INSTANCE_6], groups: ['oracle'] } },
  };
}

/** As an nftables rule set for a router between two devices. */
export function nftRules(names: {
  readonly inside: string;
  readonly outside: string;
  readonly tickPort: number;
}): string {
  const lines = RULES.map(({ direction, protocol, what }) => {
    const device = direction === 'egress' ? names.inside : names.outside;
    return `iifname "${device}" ${nftMatch(protocol, what)} accept`;
  });
  return `
table inet oracle {
  chain early {
    type filter hook prerouting priority raw;
    udp dport ${names.tickPort} notrack
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    udp dport ${names.tickPort} accept
    ct state invalid drop
    ct state established,related accept
    ${lines.join('\n    ')}
  }
}
`;
}

function nftMatch(protocol: OracleRule['protocol'], what: string | undefined): string {
  switch (protocol) {
    case 'tcp':
    case 'udp':
      return `${protocol} dport ${what}`;
    case 'icmp':
    case 'icmpv6':
      return `${protocol} type ${what}`;
    default:
      return `meta l4proto ${protocol}`;
  }
}
