import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseCidr, type Cidr } from '../../src/addr/address.ts';
import { makeDefaultGroup, ruleId } from '../../src/policy/default-group.ts';
import { isId, stableId } from '../../src/policy/ids.ts';
import { ANY, PROTOCOL_ALL, type Peer } from '../../src/policy/model.ts';
import { parseAwsProtocol, parseProtocol, protocolName } from '../../src/policy/protocols.ts';
import { normalizeRange, peerText, ruleText, type Names } from '../../src/policy/rules.ts';

function cidr(text: string): Cidr {
  const parsed = parseCidr(text, 'refuse');
  assert.ok(parsed.ok);
  return parsed.value;
}

describe('ids', () => {
  test('look like those of AWS and depend on every part', () => {
    assert.match(stableId('sg', 'web'), /^sg-[0-9a-f]{17}$/);
    assert.equal(stableId('sg', 'web'), stableId('sg', 'web'));
    const ids = [
      stableId('sg', 'web'),
      stableId('sgr', 'web'),
      stableId('sg', 'we', 'b'),
      stableId('sg', 'w', 'eb'),
      stableId('sg', 'web', ''),
    ];
    assert.equal(new Set(ids.map((id) => id.replace(/^[a-z]+-/, ''))).size, ids.length);
  });

  test('stay the same from release to release', () => {
    assert.deepEqual(
      [stableId('sg', 'default'), stableId('eni', 'eni-web-1')],
      ['sg-9fc7f7ca66ccb6bcd', 'eni-9462d20508725dbc8'],
    );
  });

  test('are told from other texts', () => {
    for (const id of ['sg-0123456789abcdef0', 'sg-01234567', stableId('sg', 'x')])
      assert.equal(isId('sg', id), true, id);
    for (const text of [
      'sg-',
      'sg-0123456',
      'sg-012345678',
      'sg-0123456789ABCDEF0',
      'sgr-01234567',
      'SG-01234567',
      'sg-01234567 ',
      'web',
    ]) {
      assert.equal(isId('sg', text), false, text);
    }
  });
});

describe('protocols', () => {
  test('are names in any case, numbers, or -1', () => {
    const cases: readonly (readonly [string | number, number])[] = [
      ['tcp', 6],
      ['TCP', 6],
      ['Udp', 17],
      ['icmp', 1],
      ['icmpv6', 58],
      ['6', 6],
      [6, 6],
      ['58', 58],
      [0, 0],
      ['255', 255],
      [-1, PROTOCOL_ALL],
      ['-1', PROTOCOL_ALL],
    ];
    for (const [text, number] of cases) {
      assert.deepEqual(parseProtocol(text), { ok: true, value: number });
      assert.deepEqual(parseAwsProtocol(text), { ok: true, value: number });
    }
  });

  test("the word 'all' is ours, and refused by AWS", () => {
    assert.deepEqual(parseProtocol('ALL'), { ok: true, value: PROTOCOL_ALL });
    const refused = parseAwsProtocol('all');
    assert.equal(
      refused.ok ? '' : refused.message,
      "Invalid value 'all' for IP protocol. Unknown protocol.",
    );
  });

  test('anything else is refused in the words of AWS', () => {
    for (const text of [
      'esp',
      '',
      '256',
      256,
      '06',
      '0x6',
      '6.0',
      6.5,
      -2,
      '1e1',
      ' tcp',
      'null',
      Number.NaN,
    ]) {
      const parsed = parseProtocol(text);
      assert.equal(
        parsed.ok ? parsed.value : parsed.message,
        `Invalid value '${text}' for IP protocol. Unknown protocol.`,
      );
    }
  });

  test('have the names AWS shows', () => {
    assert.deepEqual([6, 17, 1, 58, -1, 50].map(protocolName), [
      'tcp',
      'udp',
      'icmp',
      'icmpv6',
      'all',
      '50',
    ]);
  });
});

describe('ranges', () => {
  const check = (protocol: number, from: number | undefined, to: number | undefined): unknown => {
    const range = normalizeRange(protocol, from, to);
    return range.ok ? [range.value.fromPort, range.value.toPort] : range.message;
  };

  test('of ports and of ICMP', () => {
    const both = 'Invalid value for portRange. Must specify both from and to ports with';
    const cases: readonly (readonly [number, number | undefined, number | undefined, unknown])[] = [
      [6, 22, 25, [22, 25]],
      [17, 0, 65535, [0, 65535]],
      [6, 80, 80, [80, 80]],
      [6, undefined, 80, `${both} TCP/UDP.`],
      [17, 80, undefined, `${both} TCP/UDP.`],
      [6, -1, -1, 'TCP/UDP (from) port (-1) out of range'],
      [6, 0, 65536, 'TCP/UDP (to) port (65536) out of range'],
      [6, 1.5, 2, 'TCP/UDP (from) port (1.5) out of range'],
      [6, 80, 79, 'the port range is reversed: it goes from 80 down to 79'],
      // Type and code are no range: 8/0 is echo request, and CDK writes 252/86 for a rule that never matches.
      [1, 8, 0, [8, 0]],
      [1, 252, 86, [252, 86]],
      [1, 8, -1, [8, ANY]],
      [1, -1, -1, [ANY, ANY]],
      [1, -1, 0, 'ICMP code (0) is given for all types'],
      [1, 256, 0, 'ICMP type (256) out of range'],
      [1, 3, 65535, 'ICMP code (65535) out of range'],
      [1, undefined, undefined, `${both} ICMP.`],
      [1, 8, undefined, `${both} ICMP.`],
      [58, undefined, undefined, [ANY, ANY]],
      [58, 128, -1, [128, ANY]],
      [58, 128, undefined, `${both} ICMP.`],
      // Whatever is written, the rule covers all of the protocol.
      [-1, 0, 0, [ANY, ANY]],
      [-1, 80, 443, [ANY, ANY]],
      [50, undefined, undefined, [ANY, ANY]],
      [132, 9, 5, [ANY, ANY]],
    ];
    for (const [protocol, from, to, expected] of cases)
      assert.deepEqual(check(protocol, from, to), expected, `${protocol} ${from} ${to}`);
  });

  test('keep what the model promises', () => {
    const number = fc.option(
      fc.oneof(fc.integer({ min: -2, max: 300 }), fc.integer({ min: -2, max: 70000 }), fc.double()),
      { nil: undefined },
    );
    fc.assert(
      fc.property(
        fc.constantFrom(-1, 0, 1, 6, 17, 47, 58, 255),
        number,
        number,
        (protocol, from, to) => {
          const range = normalizeRange(protocol, from, to);
          if (!range.ok) return;
          const { fromPort, toPort } = range.value;
          if (protocol === 6 || protocol === 17)
            assert.ok(fromPort >= 0 && fromPort <= toPort && toPort <= 65535);
          else if (protocol === 1 || protocol === 58)
            assert.ok(
              fromPort >= -1 &&
                fromPort <= 255 &&
                toPort >= -1 &&
                toPort <= 255 &&
                (fromPort !== ANY || toPort === ANY),
            );
          else assert.deepEqual(range.value, { fromPort: ANY, toPort: ANY });
        },
      ),
    );
  });
});

describe('texts of rules', () => {
  const group = { ...makeDefaultGroup('f'), id: 'sg-1', name: 'web' };
  const list = {
    id: 'pl-1',
    name: 'office',
    family: 4 as const,
    maxEntries: 1,
    entries: [],
    origin: group.origin,
  };
  const names: Names = {
    groups: new Map([[group.id, group]]),
    prefixLists: new Map([[list.id, list]]),
  };
  const peers: readonly (readonly [Peer, string])[] = [
    [{ kind: 'cidr', cidr: cidr('10.0.0.0/8') }, '10.0.0.0/8'],
    [{ kind: 'cidr', cidr: cidr('fd00:0:0::/48') }, 'fd00::/48'],
    [{ kind: 'group', groupId: 'sg-1' }, 'sg:web'],
    [{ kind: 'group', groupId: 'sg-2' }, 'sg:sg-2'],
    [{ kind: 'prefixList', prefixListId: 'pl-1' }, 'pl:office'],
  ];

  test('name the peer', () => {
    for (const [peer, text] of peers) assert.equal(peerText(peer, names), text);
  });

  test('name protocol, range and direction', () => {
    const peer: Peer = { kind: 'group', groupId: 'sg-1' };
    const cases: readonly (readonly [number, number, number, string])[] = [
      [6, 5432, 5432, 'tcp 5432 from sg:web'],
      [17, 8000, 8010, 'udp 8000-8010 from sg:web'],
      [1, 8, ANY, 'icmp type 8 from sg:web'],
      [58, 1, 4, 'icmpv6 type 1 code 4 from sg:web'],
      [1, ANY, ANY, 'icmp from sg:web'],
      [PROTOCOL_ALL, ANY, ANY, 'all from sg:web'],
      [50, ANY, ANY, '50 from sg:web'],
    ];
    for (const [protocol, fromPort, toPort, text] of cases) {
      assert.equal(
        ruleText({ direction: 'ingress', protocol, fromPort, toPort, peer }, names),
        text,
      );
      assert.equal(
        ruleText({ direction: 'egress', protocol, fromPort, toPort, peer }, names),
        text.replace(' from ', ' to '),
      );
    }
  });

  test('rule ids differ by group, direction, range and peer, and by nothing else', () => {
    const rule = {
      direction: 'ingress' as const,
      protocol: 6,
      fromPort: 1,
      toPort: 2,
      peer: peers[0][0],
    };
    const ids = [
      ruleId('sg-1', rule),
      ruleId('sg-2', rule),
      ruleId('sg-1', { ...rule, direction: 'egress' }),
      ruleId('sg-1', { ...rule, protocol: 17 }),
      ruleId('sg-1', { ...rule, toPort: 3 }),
      ruleId('sg-1', { ...rule, peer: peers[1][0] }),
    ];
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(ruleId('sg-1', { ...rule, peer: { ...rule.peer } }), ids[0]);
  });
});
