/** The addresses and the rules of the fuzzer's worlds. */
import type { ModelText } from '../support/policy.ts';

export const WEB = '10.0.0.11';
export const APP = '10.0.0.12';
export const DB = '10.0.0.13';
export const WEB6 = 'fd00:10::11';
export const APP6 = 'fd00:10::12';
export const DB6 = 'fd00:10::13';
/** Two hosts and a router behind the uplink, and the platform's metadata service. */
export const OUT = '198.51.100.7';
export const FAR = '203.0.113.9';
export const ROUTER = '192.0.2.1';
export const OUT6 = '2001:db8:51::7';
export const FAR6 = '2001:db8:113::9';
export const ROUTER6 = '2001:db8:2::1';
export const PLATFORM = '169.254.169.254';
export const PLATFORM6 = 'fd00:ec2::254';

const INTERFACES = {
  web: { addresses: [WEB, WEB6], groups: ['web'] },
  app: { addresses: [APP, APP6], groups: ['app', 'admin'] },
  // Forwards for others, as a NAT instance does.
  db: { addresses: [DB, DB6], groups: ['db'], sourceDestCheck: false },
};

/** Groups, prefix lists, ranges, ICMP types, other protocols; what a group lets out, in one family untracked. */
const TRACKED = {
  web: {
    ingress: [
      'tcp 80 from 0.0.0.0/0',
      'tcp 80 from ::/0',
      'tcp 22 from 203.0.113.0/24',
      'icmp -1/-1 from 0.0.0.0/0',
      'icmpv6 -1/-1 from ::/0',
    ],
  },
  app: {
    ingress: [
      'tcp 8080 from sg:web',
      'udp 53 from sg:web',
      'icmp 8/-1 from sg:web',
      'icmpv6 128/0 from sg:web',
      '47 from sg:web',
      '50 from pl:partners6',
    ],
  },
  admin: {
    ingress: ['tcp 1000-2000 from pl:partners', 'udp 5353 from pl:partners6'],
    egress: [],
  },
  db: {
    ingress: ['tcp 5432 from sg:app', 'tcp 5432 from sg:web'],
    egress: ['tcp 443 to 0.0.0.0/0'],
  },
};

/** Nearly everything is open, and much of it untracked. */
const OPEN = {
  web: {
    ingress: ['all from 0.0.0.0/0', 'tcp 0-65535 from ::/0'],
    egress: ['udp 53 to 0.0.0.0/0', 'tcp 80-90 to ::/0', 'tcp 8080 to sg:app', 'all to sg:db'],
  },
  app: {
    ingress: [
      'tcp 8080 from 0.0.0.0/1',
      'tcp 8080 from 128.0.0.0/1',
      'udp 53 from 0.0.0.0/0',
      'udp 53 from ::/0',
      '47 from 10.0.0.0/24',
    ],
    egress: ['all to ::/0'],
  },
  admin: {
    ingress: ['icmp 3/4 from 0.0.0.0/0', 'icmp 8/0 from 10.0.0.0/8', 'icmpv6 2/-1 from ::/0'],
    egress: ['udp 0-65535 to 0.0.0.0/0'],
  },
  db: {
    ingress: ['all from sg:app', 'all from sg:web'],
    egress: ['all to 10.0.0.0/24', 'all to fd00:10::/32', '132 to 0.0.0.0/0'],
  },
};

/** No packet is admitted by two rules: a connection came by one that can be named (`cut`). */
const DISJOINT = {
  web: {
    ingress: ['tcp 80 from 0.0.0.0/0', 'tcp 80 from ::/0', 'icmp 8/-1 from 10.0.0.0/24'],
    egress: ['tcp 8080 to sg:app', 'udp 53 to sg:app', 'icmp 8/-1 to sg:app', '47 to sg:app'],
  },
  app: {
    ingress: [
      'tcp 8080 from sg:web',
      'udp 53 from sg:web',
      'icmp 8/-1 from sg:web',
      '47 from sg:web',
    ],
    egress: ['all to ::/0', 'udp 53 to 0.0.0.0/0'],
  },
  db: { ingress: ['tcp 5432 from sg:app'], egress: ['tcp 443 to 0.0.0.0/0'] },
};

/** Much of what others let in only audits: by rules, by a group, and at an interface (INTERFACES_AUDITED). */
const AUDITED = {
  web: {
    ingress: ['tcp 80 from 198.51.100.0/24', 'icmp 0/-1 from 0.0.0.0/0'],
    egress: ['udp 53 to 0.0.0.0/0', 'tcp 8080 to 10.0.0.0/24'],
    audited: [
      'tcp 80 from 0.0.0.0/0',
      'tcp 0-65535 from ::/0',
      'icmp 8/-1 from 10.0.0.0/8',
      'tcp 1-9000 to sg:app',
      'icmpv6 -1/-1 to ::/0',
    ],
  },
  app: {
    ingress: ['udp 53 from sg:web'],
    egress: ['udp 53 to 0.0.0.0/0'],
    audited: ['tcp 8080 from pl:partners', 'udp 0-65535 from 0.0.0.0/0', '47 from sg:web'],
  },
  admin: { ingress: [], egress: ['icmp 8/-1 to 10.0.0.0/8'], audit: true },
  db: { ingress: ['tcp 5432 from sg:app'], egress: [] },
};
const INTERFACES_AUDITED = { ...INTERFACES, db: { ...INTERFACES.db, audit: true } };

const LISTS = {
  partners: ['203.0.113.0/24', '198.51.100.7/32'],
  partners6: ['2001:db8:113::/48'],
};

type Groups = ModelText['groups'];

function revoking(groups: Groups, revocation: 'aws' | 'recheck' | 'cut'): Groups {
  return Object.fromEntries(
    Object.entries(groups).map(([name, group]) => [name, { ...group, revocation }]),
  );
}

function world(groups: Groups, interfaces: ModelText['interfaces'] = INTERFACES): ModelText {
  return { groups, prefixLists: LISTS, interfaces };
}

/** The platform answers in place of db. */
const BEHIND_PLATFORM = {
  ...INTERFACES,
  db: { addresses: [PLATFORM, PLATFORM6], groups: [], isPlatform: true },
};

/** By world: the rules it begins with, and those that a reload may bring. */
export const POLICIES: readonly (readonly ModelText[])[] = [
  [
    world(revoking(TRACKED, 'recheck')),
    // Less of what web lets in and out, of ICMP the replies alone; app answers fewer.
    world(
      revoking(
        {
          ...TRACKED,
          web: {
            ingress: [
              'tcp 80 from 198.51.100.0/24',
              'icmp 0/-1 from 0.0.0.0/0',
              'icmpv6 129/0 from ::/0',
            ],
            egress: [],
          },
          app: {
            ingress: ['tcp 8080 from sg:web', 'icmp 13/-1 from sg:web', '50 from pl:partners6'],
          },
        },
        'recheck',
      ),
    ),
    world(revoking(OPEN, 'recheck')),
  ],
  [
    world(OPEN),
    world(TRACKED),
    world(OPEN, {
      ...INTERFACES,
      web: { ...INTERFACES.web, alwaysTracked: true },
      app: { ...INTERFACES.app, alwaysTracked: true },
    }),
  ],
  [
    world(revoking({ ...DISJOINT, admin: { egress: [] } }, 'cut')),
    // The same packets by other rules, and some not at all.
    world(
      revoking(
        {
          admin: { egress: [] },
          ...DISJOINT,
          app: {
            ingress: ['tcp 8080 from 10.0.0.0/24', 'udp 53 from sg:web', 'icmp 8/0 from sg:web'],
            egress: ['tcp 443 to ::/0', 'udp 53 to 0.0.0.0/0'],
          },
          web: {
            ingress: ['tcp 80 from 0.0.0.0/0'],
            egress: ['tcp 8080 to sg:app', 'udp 0-100 to sg:app'],
          },
        },
        'cut',
      ),
    ),
  ],
  [
    world(revoking(OPEN, 'recheck'), BEHIND_PLATFORM),
    world(revoking(TRACKED, 'recheck'), BEHIND_PLATFORM),
  ],
  // What is open begins to audit, is enforced, and is open again; flows that were untracked among it.
  ...(['aws', 'recheck'] as const).map((revocation) => [
    world(revoking(AUDITED, revocation), INTERFACES_AUDITED),
    world(revoking(OPEN, revocation)),
    world(revoking(AUDITED, revocation)),
    world(revoking(TRACKED, revocation), INTERFACES_AUDITED),
  ]),
  [
    world(revoking({ ...DISJOINT, admin: { egress: [] } }, 'cut'), INTERFACES_AUDITED),
    world(revoking({ ...DISJOINT, admin: { egress: [], audit: true } }, 'cut')),
    world(
      revoking(
        {
          admin: { egress: [] },
          web: { egress: ['udp 53 to sg:app'], audited: ['tcp 8080 to sg:app', '47 to sg:app'] },
          app: { ingress: ['tcp 8080 from sg:web'], audited: ['udp 53 from sg:web'], audit: true },
          db: { ingress: ['tcp 5432 from sg:app'], egress: [] },
        },
        'cut',
      ),
    ),
  ],
];
