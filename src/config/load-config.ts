/**
 * This file turns a YAML file, and the templates that it names, into a Config, or into all problems at once.
 *
 * Theory of operation. The loader reads all sections, whatever is wrong with any of them. Each reader takes what it
 * understands, reports mistakes and continues. Then the tree is checked against the published schema, for unknown keys
 * and values of the wrong kind. If both report a problem at the same node, the reader's report is kept, since it is
 * more precise. A value that a reader skipped and the schema accepted is an error too, so no value is ever ignored.
 *
 * One order matters. Groups may name each other, including those of templates. So all names are collected first: prefix
 * lists, the groups of the file, and those of the templates. Then the rules are read, the templates' first, and then
 * the interfaces.
 */
import { makeDefaultGroup } from '../policy/default-group.ts';
import type { PolicyModel, PrefixList, PrefixListId, SecurityGroup } from '../policy/model.ts';
import { unknownGroupText, unknownPrefixListText } from '../policy/permissions.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import {
  defaultGroupIdOf,
  findForeignReferences,
  foreignReferenceText,
  ownGroupId,
} from '../policy/vpcs.ts';
import { NO_KIND, type PortKindName } from '../ports/port-kind.ts';
import { hasErrors, type Problem } from '../source/problem.ts';
import { DOCUMENT_BYTES_MAX, get, parseDocument, readText, type Node } from '../source/yaml.ts';
import { foreignFolder, foreignTemplate, foreignText, foreignTree } from './foreign-input.ts';
import { AddressRegistry } from './config-addresses.ts';
import { DeviceRegistry } from './config-devices.ts';
import { checkNames, readNames } from './config-dns-names.ts';
import {
  placeGroups,
  readGroup,
  readGroupHeads,
  readRevocation,
  type GroupHead,
  type PlacedGroup,
} from './config-groups.ts';
import {
  readInterfaces,
  readUplink,
  refuseStreams,
  type InterfaceParts,
} from './config-interfaces.ts';
import { makeGroupDirectory, makePrefixListDirectory, type Directory } from './config-names.ts';
import { readPlatformPort } from './config-platform-port.ts';
import {
  addressesOfServices,
  makeSpecialAddresses,
  readClassE,
  readServices,
  reservedAddresses,
} from './config-platform.ts';
import { readPrefixLists } from './config-prefix-lists.ts';
import { checkQuotas, readQuotas } from './config-quotas.ts';
import { fail, kindProblem, makeReader, placeOf, type Reader } from './config-reader.ts';
import { readFlowLogs } from './config-flow-logs.ts';
import { warnOfGroupAudit } from './config-audit.ts';
import { readConntrack } from './config-conntrack.ts';
import { readBusyPoll, readMetrics, readOffload, readWorkers } from './config-service.ts';
import { addShapeProblems } from './config-shape.ts';
import {
  addOutsideRules,
  buildTemplates,
  surveyTemplates,
  type TemplateParts,
} from './config-templates.ts';
import { refuseSharedBlocks } from './config-interface-vpc.ts';
import { VpcDirectory } from './config-vpc-directory.ts';
import { readDhcpOptions } from './config-dhcp.ts';
import { readVpcs } from './config-vpcs.ts';
import type { Config } from './config.ts';

export interface LoadOptions {
  /** The directory of named namespaces, `/run/netns`. */
  readonly netnsDirectory: string;
  /** Of devices of interfaces that say none; absent: NO_KIND. */
  readonly deviceKind?: PortKindName;
}

export interface LoadedConfig {
  /** Undefined if any problem is an error. */
  readonly config: Config | undefined;
  /** In the order of the text. Those of the configuration come before those of its templates. */
  readonly problems: Problem[];
  /** All files that the configuration names, and itself, even after an error: a missing file may be created later. */
  readonly files: readonly string[];
}

/** Reads and checks a configuration. Never throws because of the content of files, or because files are missing. */
export function loadConfig(file: string, options: LoadOptions): LoadedConfig {
  const problems: Problem[] = [];
  const folder = foreignFolder(file, 'configuration');
  if (folder !== undefined) return finish(file, undefined, options, [folder]);
  const text = readText(file, problems, DOCUMENT_BYTES_MAX);
  if (text === undefined) return finish(file, undefined, options, problems);
  const foreign = foreignText(file, text, 'configuration');
  if (foreign !== undefined) return finish(file, undefined, options, [foreign]);
  const root = parseDocument(file, text, problems);
  const template = foreignTemplate(file, text, root, 'configuration');
  if (template !== undefined) return finish(file, undefined, options, [template]);
  return finish(file, root, options, problems);
}

/** Does the same with a tree that has been read already. */
export function buildConfig(file: string, root: Node, options: LoadOptions): LoadedConfig {
  return finish(file, root, options, []);
}

function finish(
  file: string,
  root: Node | undefined,
  options: LoadOptions,
  problems: Problem[],
): LoadedConfig {
  const foreign = root === undefined ? undefined : foreignTree(file, root, 'configuration');
  if (foreign !== undefined) problems.push(foreign);
  const config =
    root === undefined || foreign !== undefined
      ? undefined
      : readConfig(file, root, options, problems);
  sortProblems(file, problems);
  return {
    config: hasErrors(problems) ? undefined : config,
    problems,
    files: [...new Set([file, ...(config?.otherFiles ?? [])])],
  };
}

function readConfig(file: string, root: Node, options: LoadOptions, problems: Problem[]): Config {
  const reader = makeReader(problems);
  const section = (key: string): Node | undefined => get(root, key);
  const vpcs = new VpcDirectory(readVpcs(reader, file, root));
  const policy = readPolicy(reader, file, root, vpcs);
  const vpcAddresses = vpcs.addNetworks(policy.templates.networks);
  const allowsClassE = readClassE(reader, root);
  const context = {
    reader,
    groups: policy.directory,
    vpcs,
    vpcsOfSubnets: new Map(
      policy.templates.networks.flatMap(({ vpcsOfSubnets }) => [...vpcsOfSubnets]),
    ),
    place: policy.templates.place,
    addresses: new AddressRegistry(reservedAddresses(vpcAddresses), allowsClassE),
    devices: new DeviceRegistry(),
    netnsDirectory: options.netnsDirectory,
    deviceKind: options.deviceKind ?? NO_KIND,
    subnets: vpcAddresses.subnets,
  };
  const uplink = readUplink(context, section('uplink'));
  const instances = readInterfaces(context, section('interfaces'));
  refuseSharedBlocks(reader, vpcs, instances);
  const services = readServices(reader, section('platformServices'));
  const serviceAddresses = addressesOfServices(services, vpcAddresses);
  const platform = readPlatformPort(context, section('platform'), serviceAddresses, instances);
  const interfaces = platform === undefined ? instances : [...instances, platform];
  const workers = readWorkers(reader, root);
  refuseStreams(reader, interfaces, workers);
  const conntrack = readConntrack(reader, section('conntrack'));
  const config: Config = {
    file,
    otherFiles: policy.templates.files,
    model: {
      ...policy.model,
      interfaces: new Map(interfaces.map(({ network }) => [network.id, network])),
      vpcs: vpcs.toModel(),
    },
    interfaces: interfaces.flatMap((parts: InterfaceParts) => parts.config ?? []),
    uplink,
    special: makeSpecialAddresses(reader, services, {
      vpc: vpcAddresses,
      uplink,
      hasPort: platform !== undefined,
      allowsClassE,
    }),
    dhcpOptions: readDhcpOptions(reader, section('dhcpOptions')),
    workers,
    busyPollUs: readBusyPoll(reader, root),
    offload: readOffload(reader, root),
    conntrack,
    names: readNames(reader, section('names')),
    flowLogs: readFlowLogs(
      reader,
      section('flowLogs'),
      conntrack,
      instances.map(({ network }) => network.name),
    ),
    quotas: readQuotas(reader, section('quotas')),
    metrics: readMetrics(reader, section('metrics')),
  };
  problems.push(...checkQuotas(config.model, config.quotas), ...checkNames(config.model));
  addShapeProblems(root, problems);
  addMisses(reader);
  return config;
}

interface Policy {
  readonly model: Omit<PolicyModel, 'interfaces' | 'vpcs'>;
  readonly directory: Directory;
  readonly templates: TemplateParts;
}

function readPolicy(reader: Reader, file: string, root: Node, vpcs: VpcDirectory): Policy {
  const groups = makeGroupDirectory();
  const prefixLists = makePrefixListDirectory();
  const ownLists = readPrefixLists(reader, get(root, 'prefixLists'), prefixLists);
  const context = { reader, configFile: file, groups, prefixLists, vpcs };
  const surveyed = surveyTemplates(context, get(root, 'templates'));
  const placed = placeGroups(reader, get(root, 'securityGroups'), vpcs);
  const implicit = addDefaultGroups(reader, file, placed, groups, vpcs);
  const heads = readGroupHeads(reader, placed, groups, vpcs);
  for (const [id, vpc] of vpcs.ids) {
    const found = groups.resolve(DEFAULT_GROUP_NAME, vpc.id);
    if (found.ok) groups.addAlias(defaultGroupIdOf(id), found.value);
  }
  const templates = buildTemplates(context, surveyed);
  const listsById = new Map<PrefixListId, PrefixList>(
    [...ownLists, ...templates.prefixLists].map((list) => [list.id, list]),
  );
  const withoutRules = [...heads.map(stripHead), ...templates.groups, ...implicit];
  const names = {
    groups: new Map(withoutRules.map((group) => [group.id, group])),
    prefixLists: listsById,
  };
  const own = heads.map((head) => readGroup({ reader, groups, prefixLists, names }, head));
  const written = [...implicit, ...own, ...templates.groups];
  const revocation = readRevocation(reader, root);
  const all = addOutsideRules(written, templates.outside).map((group) =>
    revocation === undefined ? group : { revocation, ...group },
  );
  const model = { groups: new Map(all.map((group) => [group.id, group])), prefixLists: listsById };
  refuseLooseEnds(reader, all, model);
  warnOfGroupAudit(reader, all);
  return { model, directory: groups, templates };
}

/** The default groups of those VPCs for which the file has none. */
function addDefaultGroups(
  reader: Reader,
  file: string,
  placed: readonly PlacedGroup[],
  groups: Directory,
  vpcs: VpcDirectory,
): readonly SecurityGroup[] {
  return vpcs.all
    .filter((vpc) => !placed.some((one) => one.vpc === vpc && one.name === DEFAULT_GROUP_NAME))
    .map((vpc) => {
      const ref = vpcs.refOf(vpc);
      const group = makeDefaultGroup(file, ownGroupId(DEFAULT_GROUP_NAME, ref), ref);
      groups.add(reader, group, { at: group.origin, path: '' }, { vpcId: vpc.id, vpc: ref });
      return group;
    });
}

function stripHead({ node: _, ...head }: GroupHead): SecurityGroup {
  return { ...head, ingress: [], egress: [] };
}

/** Reports ids in rules that nothing has. A template is read alone, so only the whole configuration can tell. */
function refuseLooseEnds(
  reader: Reader,
  groups: readonly SecurityGroup[],
  model: Pick<PolicyModel, 'groups' | 'prefixLists'>,
): void {
  for (const { rule, ...reference } of findForeignReferences(model.groups)) {
    const { message, hint } = foreignReferenceText(reference);
    fail(reader, placeOf(rule.origin), 'other-vpc', message, hint);
  }
  for (const { ingress, egress, audited = [] } of groups) {
    for (const { peer, origin } of [...ingress, ...egress, ...audited]) {
      if (peer.kind === 'group' && !model.groups.has(peer.groupId)) {
        fail(
          reader,
          placeOf(origin),
          'unknown-group',
          unknownGroupText(peer.groupId),
          'define it in the configuration, with this id',
        );
      }
      if (peer.kind === 'prefixList' && !model.prefixLists.has(peer.prefixListId)) {
        fail(
          reader,
          placeOf(origin),
          'unknown-prefix-list',
          unknownPrefixListText(peer.prefixListId),
          'define it in the configuration under prefixLists, with this id',
        );
      }
    }
  }
}

/** Reports values that readers skipped and the schema accepted, so that a gap in the schema can't hide a value. */
function addMisses({ problems, misses }: Reader): void {
  const objected = new Set(
    problems.flatMap(({ severity, path }) => (severity === 'error' ? path : [])),
  );
  for (const { node, expected } of misses) {
    if (!objected.has(node.path)) problems.push(kindProblem(node, expected));
    objected.add(node.path);
  }
}

function sortProblems(file: string, problems: Problem[]): void {
  const files = [file, ...new Set(problems.flatMap(({ at }) => at?.file ?? []))];
  const rank = ({ at }: Problem): number => (at === undefined ? 0 : files.indexOf(at.file));
  problems.sort((a, b) => {
    return (
      rank(a) - rank(b) ||
      (a.at?.line ?? 0) - (b.at?.line ?? 0) ||
      (a.at?.column ?? 0) - (b.at?.column ?? 0)
    );
  });
}
