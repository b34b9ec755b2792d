/** This file has the part of the configuration's schema for DNS names that rules have as peers. */
import { NAMES_LIMITS } from './limits.ts';
import { integer, mapping } from './schema-parts.ts';

export const TLS_NAME = {
  enum: ['required'],
  title: 'Server name of TLS',
  description:
    'For tcp rules whose peers are DNS names: the connection must begin with TLS, and its ClientHello must have one of the names. Otherwise it is closed.',
};

export const NAMES = mapping(
  {
    minLifetime: integer(NAMES_LIMITS.minLifetime, {
      title: 'Shortest lifetime',
      description:
        'Seconds that an address counts at least, however short the answer says that it is good for.',
    }),
    maxLifetime: integer(NAMES_LIMITS.maxLifetime, {
      title: 'Longest lifetime',
      description: 'Seconds that an address counts at most after an answer.',
    }),
    maxAddresses: integer(NAMES_LIMITS.maxAddresses, {
      title: 'Most addresses',
      description:
        'How many addresses of names an interface has at once. Further ones are not learnt.',
    }),
    privateAddresses: {
      enum: ['refuse', 'accept'],
      default: 'refuse',
      title: 'Private addresses',
      description:
        'Whether a name may stand for an address of a private network (RFC 1918, RFC 6598, fc00::/7). refuse: whoever owns the name can not point an instance at hosts inside.',
    },
  },
  {
    title: 'DNS names',
    description: "How the addresses of names are learnt that egress rules have as peers, 'dns:'.",
  },
);
