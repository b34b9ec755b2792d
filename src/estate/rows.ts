/**
 * This file turns values of the estate into the JSON of their rows and back.
 *
 * Members have AWS's names where AWS has one, so that a row read with the sqlite3 program needs no key. Reading throws
 * RowError; what is written can always be read (test/estate/rows.test.ts).
 */
import { formatAddress, formatCidr, parseAddress, parseCidr } from '../addr/address.ts';
import { MTU_LIMITS } from '../config/limits.ts';
import { parseDnsName } from '../policy/dns-names.ts';
import { IDLE_TIMEOUTS } from '../policy/idle-timeouts.ts';
import type { Direction, Origin, Peer, Rule, RuleId, VpcId, VpcRef } from '../policy/model.ts';
import { ONLY_VPC_ID, ONLY_VPC_NAME } from '../policy/vpcs.ts';
import type { PrefixListEntry } from '../policy/prefix-lists.ts';
import { parseAwsProtocol, protocolName } from '../policy/protocols.ts';
import { PROTOCOL_ALL } from '../policy/model.ts';
import { normalizeRange } from '../policy/rules.ts';
import { PORT_KIND_NAMES } from '../ports/port-kind.ts';
import { HELD, LIST_CHANGES } from './model.ts';
import type {
  AliveState,
  AppliedState,
  Arrival,
  AttachedDevice,
  Attachment,
  DeclaredAt,
  EstateFlowLog,
  EstateGroup,
  EstateInterface,
  EstatePrefixList,
  EstateSubnet,
  EstateVpc,
  InsightsAnalysis,
  InsightsPath,
  Tags,
  VpcBlock,
} from './model.ts';
import { RowReader } from './row-reader.ts';

/** Explanations name this in place of a file. */
export const ESTATE_FILE = 'api';

/** Where a thing that a call made "was written". */
/** Whether a call made it, and no file declares it. */
export function isOfEstate({ origin }: { readonly origin: Pick<Origin, 'file'> }): boolean {
  return origin.file === ESTATE_FILE;
}

export function estateOrigin(path: string): Origin {
  return { file: ESTATE_FILE, line: 0, column: 0, path };
}

/** A VPC has no name in AWS; the default one is called what files call it. */
export function vpcRef(id: VpcId): VpcRef {
  return { id, name: id === ONLY_VPC_ID ? ONLY_VPC_NAME : id };
}

/** Values that have a row of their own, by the folder of their rows. */
export interface FolderValues {
  readonly vpcs: EstateVpc;
  readonly subnets: EstateSubnet;
  readonly groups: EstateGroup;
  readonly 'prefix-lists': EstatePrefixList;
  readonly interfaces: EstateInterface;
  readonly 'flow-logs': EstateFlowLog;
  readonly 'insights-paths': InsightsPath;
  readonly 'insights-analyses': InsightsAnalysis;
}

interface RowForm<T> {
  readonly encode: (value: T) => object;
  readonly decode: (id: string, row: RowReader) => T;
}

const parseBlock = (text: string): ReturnType<typeof parseCidr> => parseCidr(text, 'refuse');

export const ROW_FORMS: { readonly [F in keyof FolderValues]: RowForm<FolderValues[F]> } = {
  vpcs: {
    encode: ({ id: _, blocks, declaredAt, ...vpc }) => ({
      ...vpc,
      blocks: blocks.map(encodeBlock),
      ...declared(declaredAt),
    }),
    decode: (id, row) => ({
      id,
      blocks: row.objects('blocks').map(decodeBlock),
      isDefault: row.flag('isDefault'),
      enableDnsHostnames: row.flag('enableDnsHostnames'),
      enableDnsSupport: row.flag('enableDnsSupport'),
      enableNetworkAddressUsageMetrics: row.flag('enableNetworkAddressUsageMetrics'),
      ...decodeOwned(row),
    }),
  },
  subnets: {
    encode: ({ id: _, cidr, ipv6, declaredAt, ...subnet }) => ({
      ...subnet,
      cidr: formatCidr(cidr),
      ...(ipv6 === undefined ? {} : { ipv6: encodeBlock(ipv6) }),
      ...declared(declaredAt),
    }),
    decode: (id, row) => {
      const ipv6 = row.optionalObject('ipv6');
      return {
        id,
        vpcId: row.text('vpcId'),
        cidr: row.parsed('cidr', parseBlock),
        ipv6: ipv6 === undefined ? undefined : decodeBlock(ipv6),
        zone: row.text('zone'),
        isDefault: row.flag('isDefault'),
        mapPublicIpOnLaunch: row.flag('mapPublicIpOnLaunch'),
        assignIpv6AddressOnCreation: row.flag('assignIpv6AddressOnCreation'),
        ...decodeOwned(row),
      };
    },
  },
  groups: { encode: encodeGroup, decode: decodeGroup },
  'prefix-lists': { encode: encodePrefixList, decode: decodePrefixList },
  interfaces: { encode: encodeInterface, decode: decodeInterface },
  'flow-logs': { encode: encodeBare, decode: decodeFlowLog },
  'insights-paths': { encode: encodeBare, decode: decodePath },
  'insights-analyses': { encode: encodeBare, decode: decodeAnalysis },
};

export function encodeApplied(state: AppliedState): string {
  return JSON.stringify(state);
}

/** @throws RowError */
export function decodeApplied(key: string, text: string): AppliedState {
  const row = RowReader.parse(key, text);
  const at = row.optionalText('at');
  const refused = row.optionalObject('refused');
  const leftOut = row.optionalObject('leftOut');
  const arrivals = row.optionalObject('arrivals');
  // Whatever else it says there promises nothing that is known here.
  const isFencing = row.optionalText('fence') === 'lease';
  return {
    revision: row.integer('revision'),
    ...(at === undefined ? {} : { at }),
    ...(refused === undefined
      ? {}
      : { refused: { revision: refused.integer('revision'), message: refused.text('message') } }),
    ...(leftOut === undefined ? {} : { leftOut: leftOut.allTexts() }),
    ...(isFencing ? { fence: 'lease' } : {}),
    ...(arrivals === undefined ? {} : { arrivals: decodeArrivals(arrivals) }),
  };
}

export function encodeAlive(state: AliveState): string {
  return JSON.stringify(state);
}

/** @throws RowError */
export function decodeAlive(key: string, text: string): AliveState {
  const row = RowReader.parse(key, text);
  const ttlSec = row.optionalInteger('ttlSec');
  return {
    startId: row.text('startId'),
    version: row.text('version'),
    since: row.text('since'),
    holds: row.word('holds', HELD),
    ...(ttlSec === undefined ? {} : { ttlSec }),
  };
}

function decodeArrivals(row: RowReader): Readonly<Record<string, Arrival>> {
  const decode = (one: RowReader): Arrival => ({
    generation: one.integer('generation'),
    flows: one.integer('flows'),
    refused: one.integer('refused'),
    ...(one.has('why') ? { why: one.text('why') } : {}),
  });
  return Object.fromEntries(row.names().map((id) => [id, decode(row.object(id))]));
}

/** A value whose members are JSON as they are; its id is in the key. */
function encodeBare({ id: _, ...value }: { readonly id: string }): object {
  return value;
}

function decodeFlowLog(id: string, row: RowReader): EstateFlowLog {
  return {
    id,
    resourceId: row.text('resourceId'),
    traffic: row.word('traffic', ['ALL', 'ACCEPT', 'REJECT']),
    format: row.text('format'),
    aggregationSec: row.integer('aggregationSec') === 60 ? 60 : 600,
    destinationType: row.text('destinationType'),
    destination: row.optionalText('destination'),
    logGroupName: row.optionalText('logGroupName'),
    accountId: row.text('accountId'),
    region: row.text('region'),
    createdAt: row.text('createdAt'),
    ...decodeOwned(row),
  };
}

function decodePath(id: string, row: RowReader): InsightsPath {
  return {
    id,
    source: row.text('source'),
    destination: row.optionalText('destination'),
    sourceIp: row.optionalText('sourceIp'),
    destinationIp: row.optionalText('destinationIp'),
    protocol: row.word('protocol', ['tcp', 'udp']),
    sourcePort: row.optionalInteger('sourcePort'),
    destinationPort: row.optionalInteger('destinationPort'),
    createdAt: row.text('createdAt'),
    ...decodeOwned(row),
  };
}

function decodeAnalysis(id: string, row: RowReader): InsightsAnalysis {
  return {
    id,
    pathId: row.text('pathId'),
    startedAt: row.text('startedAt'),
    isFound: row.flag('isFound'),
    output: row.json('output') as object,
    ...decodeOwned(row),
  };
}

function encodeGroup({ group, ruleTags, tags, declaredAt }: EstateGroup): object {
  const { vpc, name, description, ingress, egress, revocation } = group;
  return {
    vpcId: vpc.id,
    name,
    description,
    ...(revocation === undefined ? {} : { revocation }),
    rules: [...ingress, ...egress].map((rule) => encodeRule(rule, ruleTags.get(rule.id))),
    tags,
    ...declared(declaredAt),
  };
}

function decodeGroup(id: string, row: RowReader): EstateGroup {
  const vpcId = row.text('vpcId');
  const origin = estateOrigin(id);
  const ruleTags = new Map<RuleId, Tags>();
  const rules = row.objects('rules').map((rule) => {
    const decoded = decodeRule(rule, origin);
    const own = decodeTags(rule);
    if (own.length > 0) ruleTags.set(decoded.id, own);
    return decoded;
  });
  const ofDirection = (direction: Direction): readonly Rule[] =>
    rules.filter((rule) => rule.direction === direction);
  const group = {
    id,
    name: row.text('name'),
    vpc: vpcRef(vpcId),
    description: row.text('description'),
    ingress: ofDirection('ingress'),
    egress: ofDirection('egress'),
    ...(row.has('revocation')
      ? { revocation: row.word('revocation', ['aws', 'recheck', 'cut']) }
      : {}),
    origin,
  };
  return { group, ruleTags, ...decodeOwned(row) };
}

function encodeRule(rule: Rule, tags: Tags | undefined): object {
  const { id, direction, protocol, fromPort, toPort, peer, description, implied } = rule;
  return {
    id,
    direction,
    protocol: protocol === PROTOCOL_ALL ? '-1' : protocolName(protocol),
    fromPort,
    toPort,
    ...encodePeer(peer),
    ...(description === '' ? {} : { description }),
    ...(implied === undefined ? {} : { implied }),
    ...(tags === undefined || tags.length === 0 ? {} : { tags }),
  };
}

function encodePeer(peer: Peer): object {
  switch (peer.kind) {
    case 'cidr':
      return { cidr: formatCidr(peer.cidr) };
    case 'prefixList':
      return { prefixListId: peer.prefixListId };
    case 'group':
      return { groupId: peer.groupId };
    case 'dns':
      return { dnsName: peer.name, ...(peer.tlsName === true ? { tlsName: true } : {}) };
    default:
      return peer satisfies never;
  }
}

function decodeRule(row: RowReader, group: Origin): Rule {
  const id = row.text('id');
  const protocol = row.parsed('protocol', parseAwsProtocol);
  const given = { fromPort: row.integer('fromPort'), toPort: row.integer('toPort') };
  const range = normalizeRange(protocol, given.fromPort, given.toPort);
  if (!range.ok) return row.fail('fromPort', `right: ${range.message}`);
  // What compiles rules takes this form alone.
  if (range.value.fromPort !== given.fromPort || range.value.toPort !== given.toPort)
    return row.fail('fromPort', '-1 for a protocol without ports');
  return {
    id,
    direction: row.word('direction', ['ingress', 'egress']),
    protocol,
    ...given,
    peer: decodePeer(row),
    description: row.optionalText('description') ?? '',
    ...(row.has('implied') && row.flag('implied') ? { implied: true as const } : {}),
    origin: { ...group, path: `${group.path}/${id}` },
  };
}

function decodePeer(row: RowReader): Peer {
  if (row.has('cidr')) return { kind: 'cidr', cidr: row.parsed('cidr', parseBlock) };
  if (row.has('prefixListId')) return { kind: 'prefixList', prefixListId: row.id('prefixListId') };
  if (row.has('dnsName')) {
    const tlsName = row.has('tlsName') && row.flag('tlsName') ? { tlsName: true as const } : {};
    return { kind: 'dns', name: row.parsed('dnsName', parseDnsName), ...tlsName };
  }
  return { kind: 'group', groupId: row.id('groupId') };
}

function encodePrefixList({
  list,
  lastChange,
  former,
  tags,
  declaredAt,
}: EstatePrefixList): object {
  return {
    name: list.name,
    addressFamily: `IPv${list.family}`,
    maxEntries: list.maxEntries,
    version: list.version,
    lastChange,
    entries: list.entries.map(encodeEntry),
    former: [...former].map(([version, entries]) => ({
      version,
      entries: entries.map(encodeEntry),
    })),
    tags,
    ...declared(declaredAt),
  };
}

function decodePrefixList(id: string, row: RowReader): EstatePrefixList {
  const list = {
    id,
    name: row.text('name'),
    family: row.word('addressFamily', ['IPv4', 'IPv6']) === 'IPv4' ? (4 as const) : (6 as const),
    maxEntries: row.integer('maxEntries'),
    version: row.integer('version'),
    entries: row.objects('entries').map(decodeEntry),
    origin: estateOrigin(id),
  };
  const former = new Map(
    row
      .objects('former')
      .map((one) => [one.integer('version'), one.objects('entries').map(decodeEntry)] as const),
  );
  const lastChange = row.word('lastChange', LIST_CHANGES);
  return { list, lastChange, former, ...decodeOwned(row) };
}

function encodeEntry({ cidr, description }: PrefixListEntry): object {
  return { cidr: formatCidr(cidr), ...(description === '' ? {} : { description }) };
}

function decodeEntry(row: RowReader): PrefixListEntry {
  return {
    cidr: row.parsed('cidr', parseBlock),
    description: row.optionalText('description') ?? '',
  };
}

function encodeInterface({ id: _, addresses, declaredAt, ...one }: EstateInterface): object {
  return { ...one, addresses: addresses.map(formatAddress), ...declared(declaredAt) };
}

function decodeInterface(id: string, row: RowReader): EstateInterface {
  const idle = row.optionalObject('connectionTracking');
  const attachment = row.optionalObject('attachment');
  return {
    id,
    vpcId: row.text('vpcId'),
    subnetId: row.has('subnetId') ? row.id('subnetId') : undefined,
    addresses: row.texts('addresses').map((text) => {
      const parsed = parseAddress(text);
      return parsed.ok ? parsed.value : row.fail('addresses', `right: ${parsed.message}`);
    }),
    groupIds: row.ids('groupIds'),
    description: row.text('description'),
    sourceDestCheck: row.flag('sourceDestCheck'),
    connectionTracking: idle === undefined ? undefined : decodeTracking(idle),
    macAddress: row.text('macAddress'),
    attachment: attachment === undefined ? undefined : decodeAttachment(attachment),
    ...(row.has('generation') ? { generation: row.integer('generation') } : {}),
    ...(row.has('owner') ? { owner: row.text('owner') } : {}),
    ...decodeOwned(row),
  };
}

const TIMEOUTS = ['tcpEstablishedTimeoutSec', 'udpTimeoutSec', 'udpStreamTimeoutSec'] as const;

function decodeTracking(row: RowReader): NonNullable<EstateInterface['connectionTracking']> {
  return Object.fromEntries(
    TIMEOUTS.filter((name) => row.has(name)).map((name) => [
      name,
      row.integerWithin(name, IDLE_TIMEOUTS[name]),
    ]),
  );
}

function decodeAttachment(row: RowReader): Attachment {
  const moved = row.optionalObject('moved');
  return {
    id: row.text('id'),
    host: row.text('host'),
    instanceId: row.text('instanceId'),
    deviceIndex: row.integer('deviceIndex'),
    attachedAt: row.text('attachedAt'),
    isByTags: row.flag('isByTags'),
    ...(row.has('owner') ? { owner: row.text('owner') } : {}),
    ...(moved === undefined
      ? {}
      : { moved: { from: moved.text('from'), isHeld: moved.flag('isHeld') } }),
    device: decodeDevice(row.object('device')),
  };
}

/** @throws RowError */
export function decodeDevice(device: RowReader): AttachedDevice {
  return {
    kind: device.word('kind', PORT_KIND_NAMES),
    name: device.text('name'),
    netns: device.optionalText('netns'),
    mtu: device.integerWithin('mtu', MTU_LIMITS),
    configure: device.flag('configure'),
    persist: device.flag('persist'),
  };
}

function encodeBlock({ associationId, cidr }: VpcBlock): object {
  return { associationId, cidr: formatCidr(cidr) };
}

function decodeBlock(row: RowReader): VpcBlock {
  return { associationId: row.text('associationId'), cidr: row.parsed('cidr', parseBlock) };
}

/** Members that every value has. */
function decodeOwned(row: RowReader): { readonly tags: Tags; readonly declaredAt?: DeclaredAt } {
  const at = row.optionalObject('declaredAt');
  const tags = decodeTags(row);
  if (at === undefined) return { tags };
  const place = { host: at.text('host'), file: at.text('file'), line: at.integer('line') };
  return { tags, declaredAt: place };
}

function declared(declaredAt: DeclaredAt | undefined): { readonly declaredAt?: DeclaredAt } {
  return declaredAt === undefined ? {} : { declaredAt };
}

function decodeTags(row: RowReader): Tags {
  return row.objects('tags').map((tag) => ({ key: tag.text('key'), value: tag.text('value') }));
}
