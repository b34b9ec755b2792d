/** This file has the part of the configuration's schema for the other side that a rule names. */

const PEERS =
  "A CIDR block, 'sg:' and a group's name or id, 'pl:' and a prefix list's name or id, or 'self' for the group itself; or a list of these, one rule each.";
const NAMES =
  " 'dns:' and a DNS name, or '*.' in front of it, stands for the addresses that the instance learns from the answers of its resolver.";

export function peers(key: 'from' | 'to'): object {
  const isEgress = key === 'to';
  return {
    type: ['string', 'array'],
    items: { type: 'string' },
    title: isEgress ? 'Destination' : 'Source',
    description: isEgress ? PEERS + NAMES : PEERS,
    examples: [
      ...['sg:web', 'self', 'pl:office', '0.0.0.0/0'],
      ...(isEgress ? ['dns:api.example.com'] : []),
      ['10.0.0.0/8', 'fd00:10::/64'],
    ],
  };
}
