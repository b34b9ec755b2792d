/**
 * This file reads a template with the values of a stack into what the stack is to be made of.
 *
 * Theory of operation. The loader of templates does the work: what it makes of a file, a stack is made of here. Ids are
 * given out before it evaluates anything, so that Ref and GetAtt give the ids that the resources will have: a resource
 * that the stack has keeps its id, and a new one gets a random one. A resource with a property that can't be changed is
 * a new one. Who refers to it may be a new one too. So the template is read again until no further one is replaced.
 */
import { randomBytes } from 'node:crypto';
import { findEntry, readProperty } from '../../cloudformation/calls.ts';
import { ExportDirectory } from '../../cloudformation/exports.ts';
import { KIND_PREFIX_LIST, KIND_RESTRICT_DEFAULT } from '../../cloudformation/kinds.ts';
import {
  buildTemplate,
  openTemplate,
  surveyTemplate,
  type LoadedTemplate,
  type SurveyedTemplate,
} from '../../cloudformation/load-template.ts';
import { decideCondition } from '../../cloudformation/conditions.ts';
import type { Scope } from '../../cloudformation/scope.ts';
import type { Estate } from '../../estate/estate.ts';
import { randomId } from '../../estate/calls.ts';
import type { Rule } from '../../policy/model.ts';
import { DEFAULT_GROUP_NAME } from '../../policy/texts.ts';
import type { Problem } from '../../source/problem.ts';
import { fingerprintOf } from './fingerprint.ts';
import {
  Properties,
  readSpec,
  readTags,
  type DesiredResource,
  type Spec,
} from './resource-specs.ts';
import type { StackOrder, StackOutput, StackResource } from './stack-rows.ts';
import { checkServed, invalid, refuseErrors, summarize, TEMPLATE_FILE } from './template-checks.ts';

export interface StackPlace {
  readonly name: string;
  readonly id: string;
  readonly accountId: string;
  readonly region: string;
}

/** What is there already. */
export interface Surroundings {
  readonly estate: Estate;
  /** The values of the exports of other stacks, by name. */
  readonly exports: ReadonlyMap<string, string>;
  readonly previous: readonly StackResource[];
}

export interface DesiredStack {
  readonly description: string | undefined;
  readonly resources: readonly DesiredResource[];
  readonly outputs: readonly StackOutput[];
  /** Exports of other stacks that it uses. */
  readonly imports: readonly string[];
}

const NOTE_CHARS_MAX = 500;
const SUFFIX_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
const SUFFIX_LENGTH = 12;
const IMPORT = 'import:';
/** What AWS calls the name of a group that the template does not name. */
export const MADE_NAME = 'made';

/** @throws ApiError if no stack can be made of it */
export function readStack(
  place: StackPlace,
  order: StackOrder,
  around: Surroundings,
): DesiredStack {
  const { description, ...summary } = summarize(order.template);
  checkServed({ description, ...summary });
  const known = new Map(around.previous.map((one) => [one.logicalId, one]));
  const ids = new PhysicalIds(place, known);
  for (;;) {
    const read = readOnce(place, order, around, ids);
    const replaced = read.resources.filter((one) => isReplaced(known.get(one.logicalId), one));
    const fresh = replaced.filter(({ logicalId }) => ids.replace(logicalId));
    if (fresh.length === 0) return { description, ...read };
  }
}

/** Whether a resource of the stack can't become what is wanted: it has another type, or other fixed properties. */
function isReplaced(before: StackResource | undefined, { type, facts }: DesiredResource): boolean {
  if (before === undefined) return false;
  return before.type !== type || Object.keys(facts).some((key) => before.facts[key] !== facts[key]);
}

/** Gives out physical ids: those that the stack has, and random ones for what is new. */
class PhysicalIds {
  private readonly place: StackPlace;
  private readonly known: ReadonlyMap<string, StackResource>;
  private readonly replaced = new Set<string>();
  private readonly made = new Map<string, string>();

  constructor(place: StackPlace, known: ReadonlyMap<string, StackResource>) {
    this.place = place;
    this.known = known;
  }

  /** @returns whether it was not replaced before */
  replace(logicalId: string): boolean {
    if (this.replaced.has(logicalId)) return false;
    this.replaced.add(logicalId);
    return true;
  }

  idOf(logicalId: string, prefix: string): string {
    const known = this.keptOf(logicalId)?.physicalId;
    return known?.startsWith(`${prefix}-`) === true
      ? known
      : this.make(`${prefix} ${logicalId}`, () => randomId(prefix));
  }

  /** `STACK-LOGICALID-RANDOM`: for groups without a name, and for what nothing is made of. */
  nameOf(logicalId: string, kind: 'group' | 'other'): string {
    const kept = this.keptOf(logicalId);
    const known = kind === 'other' ? kept?.physicalId : kept?.facts['madeName'];
    const name = (): string => `${this.place.name}-${logicalId}-${randomSuffix()}`;
    return known ?? this.make(`${kind} ${logicalId}`, name);
  }

  defaultGroupOf(logicalId: string): string {
    const known = this.keptOf(logicalId)?.facts['defaultGroupId'];
    return known ?? this.make(`default ${logicalId}`, () => randomId('sg'));
  }

  private keptOf(logicalId: string): StackResource | undefined {
    return this.replaced.has(logicalId) ? undefined : this.known.get(logicalId);
  }

  private make(key: string, make: () => string): string {
    const known = this.made.get(key);
    if (known !== undefined) return known;
    const fresh = make();
    this.made.set(key, fresh);
    return fresh;
  }
}

interface Reading {
  readonly scope: Scope;
  readonly survey: SurveyedTemplate;
  readonly loaded: LoadedTemplate;
  readonly problems: readonly Problem[];
  readonly ids: PhysicalIds;
}

function readOnce(
  place: StackPlace,
  order: StackOrder,
  around: Surroundings,
  ids: PhysicalIds,
): Omit<DesiredStack, 'description'> {
  const problems: Problem[] = [];
  const askedKeys = new Set<string>();
  const exports = new ExportDirectory();
  const { estate } = around;
  const vpcIds = new Map<string, string>();
  const defaultIds = new Set<string>();
  const open = openTemplate(
    TEMPLATE_FILE,
    order.template,
    {
      stackName: place.name,
      account: { accountId: place.accountId, region: place.region },
      parameters: givenParameters(order),
      exports,
      supplied: new Map([...around.exports].map(([name, value]) => [IMPORT + name, value])),
      askedKeys,
      acceptsOutsideRules: true,
      physical: {
        idOf: (logicalId, prefix) => {
          const id = ids.idOf(logicalId, prefix);
          if (prefix === 'vpc') vpcIds.set(id, logicalId);
          return id;
        },
        groupName: (logicalId) => ids.nameOf(logicalId, 'group'),
        stackId: place.id,
      },
      resolveGroup: (text) => (defaultIds.has(text) ? text : findGroup(estate, text)),
      resolvePrefixList: (text) => estate.prefixList(text)?.list.id,
      defaultGroupOf: (vpcId) => {
        const logicalId = vpcIds.get(vpcId);
        const known = estate.groupByName(vpcId, DEFAULT_GROUP_NAME)?.group.id;
        const id = known ?? (logicalId === undefined ? vpcId : ids.defaultGroupOf(logicalId));
        defaultIds.add(id);
        return id;
      },
    },
    problems,
  );
  refuseErrors(problems);
  if (open === undefined) throw invalid('Template format error: there is no template');
  const survey = surveyTemplate(open);
  const loaded = buildTemplate(survey);
  const { scope } = open;
  const outputs = readOutputs(scope);
  refuseErrors(problems);
  const resources = readResources({ scope, survey, loaded, problems: [...problems], ids }, order);
  const imports = [...askedKeys].flatMap((key) =>
    key.startsWith(IMPORT) ? [key.slice(IMPORT.length)] : [],
  );
  const missing = imports.find((name) => !around.exports.has(name));
  if (missing !== undefined) throw invalid(`No export named ${missing} found`);
  return { resources, outputs, imports };
}

function givenParameters({ parameters }: StackOrder): Map<string, never> | Map<string, Given> {
  return new Map(
    parameters.map(({ key, value }) => [
      key,
      { text: value, at: { file: 'Parameters', line: 0, column: 0 }, path: key },
    ]),
  );
}

interface Given {
  readonly text: string;
  readonly at: Problem['at'] & object;
  readonly path: string;
}

function findGroup(estate: Estate, text: string): string | undefined {
  const vpc = estate.defaultVpc();
  const named = vpc === undefined ? undefined : estate.groupByName(vpc.id, text);
  return (estate.group(text) ?? named)?.group.id;
}

function readResources(reading: Reading, order: StackOrder): readonly DesiredResource[] {
  const { scope, survey } = reading;
  const rules = rulesByResource(reading);
  const notes = notesByResource(reading.problems);
  const uncertain = new Set(survey.uncertain);
  return [...scope.template.resources.values()].flatMap((resource): DesiredResource[] => {
    const { logicalId, type } = resource;
    if (uncertain.has(resource)) return [];
    const condition =
      resource.condition === undefined ? undefined : decideCondition(scope, resource.condition);
    if (condition?.kind === 'truth' && !condition.value) return [];
    const properties = new Properties(scope, resource);
    const spec = specOf(reading, properties, resource);
    const tags = spec.kind === 'none' ? [] : readTags(properties);
    const physicalId = physicalIdOf(reading, resource, spec);
    const unserved = `nothing is made of ${type} here`;
    const said = [
      ...(spec.kind === 'none' ? [unserved] : []),
      ...(typeof tags === 'string' ? [tags] : []),
      ...(notes.get(logicalId) ?? []),
    ];
    const policy = findEntry(resource.node, 'DeletionPolicy');
    return [
      {
        logicalId,
        type,
        physicalId,
        fingerprint: fingerprintOf(scope, resource, order.parameters),
        note: said.length === 0 ? undefined : said.join('; ').slice(0, NOTE_CHARS_MAX),
        facts: factsOf(reading, resource, spec),
        spec,
        rules: rules.get(logicalId) ?? [],
        tags: [...order.tags, ...(typeof tags === 'string' ? [] : tags)],
        isRetained: policy?.kind === 'scalar' && /^Retain/.test(policy.text),
      },
    ];
  });
}

type AnyResource = Parameters<typeof readSpec>[1];

function specOf(reading: Reading, properties: Properties, resource: AnyResource): Spec {
  const { survey, loaded, ids } = reading;
  const { logicalId, type } = resource;
  const draft = [...survey.groups.values()].find((one) => one.resource === resource);
  if (draft !== undefined) {
    const vpcId = survey.vpcs.ofGroups.get(draft.id);
    if (typeof vpcId === 'object')
      return { kind: 'unreadable', reason: `VpcId can't be known here: ${vpcId.reason}` };
    return { kind: 'group', name: draft.name, description: draft.description, vpcId };
  }
  if (type === KIND_PREFIX_LIST) {
    const list = loaded.prefixLists.find(({ origin }) => origin.logicalId === logicalId);
    const reason = 'AddressFamily is not known here';
    return list === undefined ? { kind: 'unreadable', reason } : { kind: 'prefixList', list };
  }
  if (/^AWS::EC2::SecurityGroup(Ingress|Egress)$/.test(type)) return { kind: 'rule' };
  if (type === KIND_RESTRICT_DEFAULT) {
    return { kind: 'emptied', groupIds: [...loaded.emptied] };
  }
  return readSpec(properties, resource, () => ids.defaultGroupOf(logicalId));
}

const PREFIXES = {
  group: 'sg',
  prefixList: 'pl',
  vpc: 'vpc',
  vpcBlock: 'vpc-cidr-assoc',
  subnet: 'subnet',
  interface: 'eni',
} as const;

function physicalIdOf({ ids }: Reading, { logicalId }: AnyResource, spec: Spec): string {
  if (spec.kind in PREFIXES)
    return ids.idOf(logicalId, PREFIXES[spec.kind as keyof typeof PREFIXES]);
  return ids.nameOf(logicalId, 'other');
}

/** Properties that can't be changed. Source: CloudFormation Template Reference, "Update requires: Replacement". */
function factsOf(
  { scope, ids }: Reading,
  { properties, logicalId }: AnyResource,
  spec: Spec,
): Record<string, string> {
  switch (spec.kind) {
    case 'group': {
      const isMade = readProperty(scope, properties, 'GroupName') === undefined;
      return {
        name: isMade ? MADE_NAME : spec.name,
        ...(isMade ? { madeName: ids.nameOf(logicalId, 'group') } : {}),
        description: spec.description,
        vpcId: spec.vpcId ?? '',
      };
    }
    case 'prefixList':
      return { family: String(spec.list.family) };
    case 'vpc':
      return { cidr: spec.cidr ?? '', defaultGroupId: spec.defaultGroupId };
    case 'vpcBlock':
      return { vpcId: spec.vpcId, cidr: spec.cidr ?? '' };
    case 'subnet':
      return {
        vpcId: spec.vpcId,
        cidr: spec.cidr ?? '',
        ipv6Cidr: spec.ipv6Cidr ?? '',
        zone: spec.zone ?? '',
      };
    case 'interface':
      return {
        subnetId: spec.subnetId,
        addresses: spec.addresses.join(),
        ipv6Addresses: spec.ipv6Addresses.join(),
      };
    default:
      return {};
  }
}

/** The rules that each resource says. A group's own are those that are written in it, and AWS's. */
function rulesByResource({ loaded }: Reading): Map<string, { groupId: string; rule: Rule }[]> {
  const all = [
    ...loaded.groups.flatMap(({ id, ingress, egress }) =>
      [...ingress, ...egress].map((rule) => ({ groupId: id, rule })),
    ),
    ...loaded.outsideRules,
  ];
  const found = new Map<string, { groupId: string; rule: Rule }[]>();
  for (const { groupId, rule } of all) {
    const logicalId = rule.origin.logicalId ?? '';
    found.set(logicalId, [...(found.get(logicalId) ?? []), { groupId, rule }]);
  }
  return found;
}

function notesByResource(problems: readonly Problem[]): Map<string, string[]> {
  const notes = new Map<string, string[]>();
  for (const { severity, path, message } of problems) {
    const logicalId = /^Resources\.([A-Za-z0-9]+)/.exec(path)?.[1];
    if (severity !== 'warning' || logicalId === undefined) continue;
    notes.set(logicalId, [...(notes.get(logicalId) ?? []), message]);
  }
  return notes;
}

function readOutputs(scope: Scope): readonly StackOutput[] {
  return scope.template.outputs.flatMap(({ name, node }): StackOutput[] => {
    const condition = findEntry(node, 'Condition');
    const truth = condition === undefined ? undefined : decideCondition(scope, condition);
    if (truth !== undefined && !(truth.kind === 'truth' && truth.value)) return [];
    const value = readProperty(scope, node, 'Value');
    // What only AWS knows has no value here.
    if (value?.kind !== 'text') return [];
    const description = readProperty(scope, node, 'Description');
    const exported = findEntry(node, 'Export');
    const exportName = exported === undefined ? undefined : readProperty(scope, exported, 'Name');
    return [
      {
        key: name,
        value: value.text,
        ...(description?.kind === 'text' ? { description: description.text } : {}),
        ...(exportName?.kind === 'text' ? { exportName: exportName.text } : {}),
      },
    ];
  });
}

function randomSuffix(): string {
  const bytes = randomBytes(SUFFIX_LENGTH);
  return [...bytes].map((byte) => SUFFIX_LETTERS[byte % SUFFIX_LETTERS.length]).join('');
}
