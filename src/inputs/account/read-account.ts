/**
 * Reads what the `describe` calls of EC2 answered, as the aws CLI prints it, into a draft of the model: one file, or a
 * folder with a file for each call. Which file has what is told by its content. Source: EC2 API Reference, the answers
 * of the calls in commands.ts.
 *
 * A file that is missing makes what it would say unknown: without interfaces nobody knows the members of a group.
 */
import { isAuditTagged } from '../../policy/audit-tags.ts';
import type { Direction, Origin } from '../../policy/model.ts';
import { IDLE_TIMEOUTS } from '../../policy/idle-timeouts.ts';
import type { PeerText, ServiceText } from '../../policy/permissions.ts';
import type { Tag } from '../../policy/tags.ts';
import {
  isObject,
  numberOf,
  objectsOf,
  own,
  textOf,
  type JsonObject,
} from '../../source/json-values.ts';
import type { Problem } from '../../source/problem.ts';
import { ModelDraft } from '../draft.ts';
import type { DraftInterface } from '../draft-parts.ts';
import type { JsonFile } from '../read-json.ts';
import { AccountFilters } from './subnet-filters.ts';

/** The top-level keys of the answers that are read. */
const ANSWERS = [
  'SecurityGroups',
  'SecurityGroupRules',
  'PrefixLists',
  'Entries',
  'NetworkInterfaces',
  'Reservations',
  'Subnets',
  'Vpcs',
  'NetworkAcls',
  'RouteTables',
] as const;
type Answer = (typeof ANSWERS)[number];

const DIRECTIONS = ['ingress', 'egress'] as const;
/** A name that a question can have. */
const PLAIN_NAME = /^[A-Za-z0-9][A-Za-z0-9._:/@+=-]{0,99}$/;

/** Whether the JSON is an answer of EC2's that is read here. */
export function isAccount(value: unknown): boolean {
  return isObject(value) && ANSWERS.some((key) => Array.isArray(own(value, key)));
}

/** A thing of an answer, and the file that has it. */
interface Listed {
  readonly json: JsonFile;
  readonly value: JsonObject;
}

export function readAccount(files: readonly JsonFile[], problems: Problem[]): ModelDraft {
  const draft = new ModelDraft(files.length === 1 ? 'the file' : 'the folder');
  new Account(draft, files, problems).read();
  return draft;
}

class Account {
  private readonly draft: ModelDraft;
  private readonly files: readonly JsonFile[];
  private readonly problems: Problem[];

  constructor(draft: ModelDraft, files: readonly JsonFile[], problems: Problem[]) {
    this.draft = draft;
    this.files = files;
    this.problems = problems;
  }

  read(): void {
    for (const one of this.all('Vpcs')) this.readNetwork(one, 'VpcId', this.draft.vpcs);
    for (const one of this.all('Subnets')) this.readNetwork(one, 'SubnetId', this.draft.subnets);
    for (const one of this.all('PrefixLists')) this.readList(one);
    this.readEntries();
    for (const one of this.all('SecurityGroups')) this.enterGroup(one);
    // They have ids, which the rules in groups lack; of two equal ones the first is kept.
    for (const one of this.all('SecurityGroupRules')) this.readRule(one);
    for (const one of this.all('SecurityGroups')) this.readPermissions(one);
    const filters = new AccountFilters(
      this.all('NetworkAcls').map(({ value }) => value),
      this.all('RouteTables').map(({ value }) => value),
      this.draft.lists,
    );
    for (const one of this.all('NetworkInterfaces')) this.readInterface(one, filters);
    this.tellMissing();
  }

  private all(key: Answer): readonly Listed[] {
    return this.files.flatMap((json) =>
      objectsOf(own(json.value, key)).map((value) => ({ json, value })),
    );
  }

  private has(key: Answer): boolean {
    return this.files.some(({ value }) => Array.isArray(own(value, key)));
  }

  private originOf({ json }: Listed, id: string): Origin {
    return { ...json.find(id), path: id };
  }

  private readNetwork(one: Listed, key: string, into: ModelDraft['vpcs']): void {
    const { value } = one;
    const id = textOf(own(value, key));
    if (id === undefined) return;
    const lists = ['CidrBlockAssociationSet', 'Ipv6CidrBlockAssociationSet'];
    const more = lists.flatMap((list) => objectsOf(own(value, list)));
    const blocks = [value, ...more].flatMap((from) =>
      ['CidrBlock', 'Ipv6CidrBlock'].flatMap((name) => textOf(own(from, name)) ?? []),
    );
    const name = plainName(nameTag(value)) ?? id;
    const isTaken = [...into.values()].some((other) => other.name === name);
    const origin = this.originOf(one, id);
    const vpcId = textOf(own(value, 'VpcId'));
    into.set(id, { id, name: isTaken ? id : name, vpcId, blocks: [...new Set(blocks)], origin });
  }

  private readList(one: Listed): void {
    const { value } = one;
    const id = textOf(own(value, 'PrefixListId'));
    if (id === undefined) return;
    this.draft.lists.set(id, {
      ...{ id, entries: [], origin: this.originOf(one, id) },
      name: textOf(own(value, 'PrefixListName')) ?? id,
      family: own(value, 'AddressFamily') === 'IPv6' ? 6 : 4,
      maxEntries: numberOf(own(value, 'MaxEntries')),
      gaps: [`its entries are not in ${this.draft.what}`],
    });
  }

  /** An answer with entries does not say of which list they are: the name of the file does. */
  private readEntries(): void {
    for (const json of this.files) {
      const entries = own(json.value, 'Entries');
      if (!Array.isArray(entries)) continue;
      const id = /pl-[0-9a-f]+/.exec(json.file.slice(json.file.lastIndexOf('/') + 1))?.[0];
      if (id === undefined) {
        const message = 'nothing says of which prefix list these entries are';
        const hint = 'give the file the name of the list: prefix-list-pl-0123456789abcdef0.json';
        const at = { file: json.file, line: 1, column: 1 };
        this.problems.push({
          severity: 'warning',
          code: 'unnamed-entries',
          at,
          path: '',
          message,
          hint,
        });
        continue;
      }
      const list = this.draft.list(id, { ...json.find(id), path: id });
      list.gaps.length = 0;
      for (const entry of objectsOf(entries)) {
        const cidr = textOf(own(entry, 'Cidr'));
        const description = textOf(own(entry, 'Description')) ?? '';
        if (cidr === undefined) list.gaps.push('an entry has no block');
        else list.entries.push({ cidr, description });
      }
    }
  }

  private enterGroup(one: Listed): void {
    const { value } = one;
    const id = textOf(own(value, 'GroupId'));
    if (id === undefined) return;
    this.draft.groups.set(id, {
      ...{ id, rules: [], gaps: { ingress: [], egress: [] }, memberGaps: [] },
      name: textOf(own(value, 'GroupName')) ?? id,
      description: textOf(own(value, 'Description')) ?? '',
      vpcId: textOf(own(value, 'VpcId')),
      origin: this.originOf(one, id),
      ...(isAuditTagged(tagsOf(value)) ? { audit: true } : {}),
    });
  }

  private readPermissions(one: Listed): void {
    const { value } = one;
    const group = this.draft.groups.get(textOf(own(value, 'GroupId')) ?? '');
    if (group === undefined) return;
    const lists = { ingress: 'IpPermissions', egress: 'IpPermissionsEgress' } as const;
    const isListed = this.has('SecurityGroupRules');
    for (const direction of DIRECTIONS) {
      const list = own(value, lists[direction]);
      if (!Array.isArray(list) && !isListed)
        group.gaps[direction].push(`${lists[direction]} is missing`);
      for (const permission of objectsOf(list))
        for (const peer of peersOf(permission))
          group.rules.push({
            ...{ direction, origin: group.origin },
            text: { ...serviceOf(permission), peers: [peer] },
          });
    }
  }

  private readRule(one: Listed): void {
    const { value } = one;
    const [groupId, id] = [
      textOf(own(value, 'GroupId')),
      textOf(own(value, 'SecurityGroupRuleId')),
    ];
    if (groupId === undefined) return;
    const origin = this.originOf(one, id ?? groupId);
    const direction: Direction = own(value, 'IsEgress') === true ? 'egress' : 'ingress';
    const description = textOf(own(value, 'Description'));
    const named = own(value, 'ReferencedGroupInfo');
    const given = [
      { kind: 'cidrIpv4', text: textOf(own(value, 'CidrIpv4')) },
      { kind: 'cidrIpv6', text: textOf(own(value, 'CidrIpv6')) },
      { kind: 'prefixList', text: textOf(own(value, 'PrefixListId')) },
      { kind: 'group', text: textOf(own(named, 'GroupId')) },
    ] as const;
    const peers = given.flatMap(({ kind, text }): PeerText[] =>
      text === undefined ? [] : [{ kind, text, description }],
    );
    const group = this.draft.group(groupId, origin);
    if (peers.length === 0) {
      group.gaps[direction].push(`the rule ${id ?? ''} names nobody`);
      return;
    }
    const text = { ...serviceOf(value), peers };
    group.rules.push({ direction, text, origin, ...(id === undefined ? {} : { id }) });
  }

  private readInterface(one: Listed, filters: AccountFilters): void {
    const { value } = one;
    const id = textOf(own(value, 'NetworkInterfaceId'));
    if (id === undefined) return;
    const origin = this.originOf(one, id);
    const primary = textOf(own(value, 'PrivateIpAddress'));
    const addresses = [
      ...(primary === undefined ? [] : [primary]),
      ...objectsOf(own(value, 'PrivateIpAddresses')).flatMap(
        (each) => textOf(own(each, 'PrivateIpAddress')) ?? [],
      ),
      ...objectsOf(own(value, 'Ipv6Addresses')).flatMap(
        (each) => textOf(own(each, 'Ipv6Address')) ?? [],
      ),
    ];
    const groups = objectsOf(own(value, 'Groups')).flatMap(
      (each) => textOf(own(each, 'GroupId')) ?? [],
    );
    for (const group of groups) this.draft.group(group, origin);
    this.draft.interfaces.set(id, {
      ...{ id, name: this.nameOf(value, id), origin, doubtGroups: new Map() },
      vpcId: textOf(own(value, 'VpcId')),
      subnetId: textOf(own(value, 'SubnetId')),
      addresses: [...new Set(addresses)],
      groupIds: new Set(groups),
      gaps: groups.length > 0 ? [] : [`${id} has no security groups, so AWS filters nothing there`],
      sourceDestCheck: own(value, 'SourceDestCheck') !== false,
      connectionTracking: timeoutsOf(value),
      filters: filtersOf(value, filters),
      ...(isAuditTagged(tagsOf(value)) ? { audit: true } : {}),
    });
  }

  /** Its Name, that of its instance, or its id: whichever nobody else has. */
  private nameOf(value: JsonObject, id: string): string {
    const instanceId = textOf(own(own(value, 'Attachment'), 'InstanceId'));
    const instance = this.all('Reservations')
      .flatMap(({ value: reservation }) => objectsOf(own(reservation, 'Instances')))
      .find((each) => instanceId !== undefined && own(each, 'InstanceId') === instanceId);
    const names = [nameTag(value), nameTag(instance), instanceId].map(plainName);
    const taken = new Set([...this.draft.interfaces.values()].map(({ name }) => name));
    return names.find((name) => name !== undefined && !taken.has(name)) ?? id;
  }

  private tellMissing(): void {
    const [first] = this.files;
    const at = { file: first?.file ?? '', line: 0, column: 0 };
    if (!this.has('NetworkInterfaces')) {
      for (const { memberGaps } of this.draft.groups.values())
        memberGaps.push(`the interfaces are not in ${this.draft.what}`);
      const message = `${this.draft.what} has no network interfaces: nobody knows who is in a group`;
      const hint = '`sgctl import aws --print-commands` tells how to get them';
      this.problems.push({
        severity: 'notice',
        code: 'missing-answer',
        at,
        path: '',
        message,
        hint,
      });
    }
    const missing = (['NetworkAcls', 'RouteTables'] as const).filter((key) => !this.has(key));
    if (missing.length === 0) return;
    const message = `${missing.join(' and ')} are not in ${this.draft.what}, and are not judged`;
    const hint = 'a network ACL may refuse what the groups admit, and a route may lead nowhere';
    this.problems.push({ severity: 'notice', code: 'missing-answer', at, path: '', message, hint });
  }
}

/** What AWS asks beside groups for an interface. */
function filtersOf(
  value: JsonObject,
  filters: AccountFilters,
): NonNullable<DraftInterface['filters']> {
  const subnet = filters.of(textOf(own(value, 'SubnetId')), textOf(own(value, 'VpcId')));
  if (subnet === undefined) return {};
  const associations = [value, ...objectsOf(own(value, 'PrivateIpAddresses'))];
  const isPublic = associations.some(
    (one) => textOf(own(own(one, 'Association'), 'PublicIp')) !== undefined,
  );
  return { subnet, hasPublicAddress: isPublic };
}

function serviceOf(value: JsonObject): ServiceText {
  const protocol = own(value, 'IpProtocol');
  return {
    protocol: textOf(protocol) ?? numberOf(protocol),
    fromPort: numberOf(own(value, 'FromPort')),
    toPort: numberOf(own(value, 'ToPort')),
  };
}

function peersOf(permission: JsonObject): readonly PeerText[] {
  const read = (list: string, key: string, kind: PeerText['kind']): readonly PeerText[] =>
    objectsOf(own(permission, list)).flatMap((each): PeerText[] => {
      const text = textOf(own(each, key));
      return text === undefined
        ? []
        : [{ kind, text, description: textOf(own(each, 'Description')) }];
    });
  return [
    ...read('IpRanges', 'CidrIp', 'cidrIpv4'),
    ...read('Ipv6Ranges', 'CidrIpv6', 'cidrIpv6'),
    ...read('PrefixListIds', 'PrefixListId', 'prefixList'),
    ...read('UserIdGroupPairs', 'GroupId', 'group'),
  ];
}

function timeoutsOf(value: JsonObject): DraftTimeouts {
  const given = own(value, 'ConnectionTrackingConfiguration');
  const read = (key: string, limit: keyof typeof IDLE_TIMEOUTS): number => {
    const seconds = numberOf(own(given, key));
    const { min, max, otherwise } = IDLE_TIMEOUTS[limit];
    return seconds === undefined || seconds < min || seconds > max ? otherwise : seconds;
  };
  return {
    tcpEstablishedTimeoutSec: read('TcpEstablishedTimeout', 'tcpEstablishedTimeoutSec'),
    udpTimeoutSec: read('UdpTimeout', 'udpTimeoutSec'),
    udpStreamTimeoutSec: read('UdpStreamTimeout', 'udpStreamTimeoutSec'),
  };
}

type DraftTimeouts = NonNullable<DraftInterface['connectionTracking']>;

function nameTag(value: JsonObject | undefined): string | undefined {
  return tagsOf(value).find(({ key }) => key === 'Name')?.value;
}

function tagsOf(value: JsonObject | undefined): readonly Tag[] {
  return [...objectsOf(own(value, 'Tags')), ...objectsOf(own(value, 'TagSet'))].flatMap((tag) => {
    const [key, text] = [textOf(own(tag, 'Key')), textOf(own(tag, 'Value'))];
    return key === undefined || text === undefined ? [] : [{ key, value: text }];
  });
}

function plainName(text: string | undefined): string | undefined {
  return text !== undefined && PLAIN_NAME.test(text) ? text : undefined;
}
