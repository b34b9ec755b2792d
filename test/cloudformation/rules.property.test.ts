/** Random groups written as YAML with short forms, as JSON, inline and as resources: always the rules that were meant. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { load } from './helpers.ts';

interface Meant {
  readonly direction: 'Ingress' | 'Egress';
  readonly service: readonly [properties: Record<string, string | number>, text: string];
  readonly peer: readonly [property: string, value: string, text: string];
  readonly isInline: boolean;
}

const port = fc.oneof(fc.constantFrom(0, 22, 80, 443, 65535), fc.integer({ min: 0, max: 65535 }));
const icmp = fc.constantFrom(-1, 0, 3, 8, 255);

const service: fc.Arbitrary<Meant['service']> = fc.oneof(
  fc
    .tuple(
      fc.constantFrom<[string | number, string]>(
        ['tcp', 'tcp'],
        [6, 'tcp'],
        ['17', 'udp'],
        ['UDP', 'udp'],
      ),
      port,
      port,
      fc.boolean(),
    )
    .map(([[name, shown], a, b, asText]) => {
      const [from, to] = a < b ? [a, b] : [b, a];
      const ports = { FromPort: asText ? String(from) : from, ToPort: asText ? String(to) : to };
      return [
        { IpProtocol: name, ...ports },
        from === to ? `${shown} ${from}` : `${shown} ${from}-${to}`,
      ] as const;
    }),
  fc
    .tuple(fc.constantFrom<[string | number, string]>(['icmp', 'icmp'], [58, 'icmpv6']), icmp, icmp)
    .map(([[name, shown], type, code]) => {
      const used = type === -1 ? -1 : code;
      const text =
        type === -1
          ? shown
          : used === -1
            ? `${shown} type ${type}`
            : `${shown} type ${type} code ${used}`;
      return [{ IpProtocol: name, FromPort: type, ToPort: used }, text] as const;
    }),
  fc.constantFrom<Meant['service']>(
    [{ IpProtocol: -1 }, 'all'],
    [{ IpProtocol: '-1', FromPort: 0, ToPort: 65535 }, 'all'],
    [{ IpProtocol: 50 }, '50'],
  ),
);

const peer: fc.Arbitrary<Meant['peer']> = fc.oneof(
  fc.tuple(fc.integer({ min: 0, max: 255 }), fc.constantFrom(8, 16)).map(([n, length]) => {
    const cidr = length === 8 ? `${n}.0.0.0/8` : `10.${n}.0.0/16`;
    return ['CidrIp', cidr, cidr] as const;
  }),
  fc.integer({ min: 1, max: 0xffff }).map((n) => {
    const cidr = `2001:db8:${n.toString(16)}::/48`;
    return ['CidrIpv6', cidr, cidr] as const;
  }),
  fc.constant(['SecurityGroupId', '@Other', 'sg:st-Other'] as const),
  fc.constant(['PrefixListId', '@List', 'pl:list'] as const),
);

const meant: fc.Arbitrary<Meant[]> = fc.uniqueArray(
  fc.record({
    direction: fc.constantFrom('Ingress' as const, 'Egress' as const),
    service,
    peer,
    isInline: fc.boolean(),
  }),
  { maxLength: 20, selector: (rule) => `${rule.direction} ${rule.service[1]} ${rule.peer[2]}` },
);

/** The rule's properties; references as `reference` writes them. */
function write(
  rule: Meant,
  reference: (name: string, attribute: string) => unknown,
): Record<string, unknown> {
  const [property, value] = rule.peer;
  const prefix = property.startsWith('Cidr')
    ? ''
    : rule.direction === 'Ingress'
      ? 'Source'
      : 'Destination';
  const written =
    value === '@Other'
      ? reference('Other', 'GroupId')
      : value === '@List'
        ? reference('List', 'PrefixListId')
        : value;
  return { ...rule.service[0], [`${prefix}${property}`]: written };
}

function writeTemplate(
  rules: readonly Meant[],
  reference: (name: string, attribute: string) => unknown,
): object {
  const inline = (direction: Meant['direction']): object => ({
    [`SecurityGroup${direction}`]: rules
      .filter((rule) => rule.isInline && rule.direction === direction)
      .map((rule) => write(rule, reference)),
  });
  const separate = rules
    .filter((rule) => !rule.isInline)
    .map((rule, i) => {
      const Properties = { GroupId: reference('G', 'GroupId'), ...write(rule, reference) };
      return [`R${i}`, { Type: `AWS::EC2::SecurityGroup${rule.direction}`, Properties }] as const;
    });
  const group = (more: object): object => ({
    Type: 'AWS::EC2::SecurityGroup',
    Properties: { GroupDescription: 'd', ...more },
  });
  const List = {
    Type: 'AWS::EC2::PrefixList',
    Properties: { AddressFamily: 'IPv4', PrefixListName: 'list', MaxEntries: 1 },
  };
  return {
    Resources: {
      Other: group({}),
      List,
      G: group({ ...inline('Ingress'), ...inline('Egress'), VpcId: 'vpc-1' }),
      ...Object.fromEntries(separate),
    },
  };
}

test('what was meant is what is loaded, however it was written', () => {
  fc.assert(
    fc.property(meant, (rules) => {
      const inOrder = [
        ...rules.filter((rule) => rule.isInline),
        ...rules.filter((rule) => !rule.isInline),
      ];
      const lines = (direction: Meant['direction'], sign: string, word: string): string[] =>
        inOrder
          .filter((rule) => rule.direction === direction)
          .map((rule) => `st-G ${sign} ${rule.service[1]} ${word} ${rule.peer[2]}`);
      const egress = lines('Egress', '>', 'to');
      const defaults = ['st-G > all to 0.0.0.0/0', 'st-G > all to ::/0'];
      const expected = [
        ...lines('Ingress', '<', 'from'),
        ...(egress.length > 0 ? egress : defaults),
      ];
      const full = writeTemplate(rules, (name, attribute) => ({ 'Fn::GetAtt': [name, attribute] }));
      const short = JSON.stringify(
        writeTemplate(rules, (name, attribute) => `@@${name}.${attribute}@@`),
      ).replaceAll(/"@@(.*?)@@"/g, '!GetAtt $1');
      for (const text of [JSON.stringify(full), JSON.stringify(full, undefined, 2), short]) {
        const loaded = load(text);
        assert.deepEqual(loaded.problems, []);
        assert.deepEqual(
          loaded.rules.filter((line) => line.startsWith('st-G ')),
          expected,
        );
      }
    }),
    { numRuns: 300 },
  );
});
