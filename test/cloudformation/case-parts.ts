/** Groups and problems of a configuration, also where errors keep it from coming into force. */
import { readFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { loadTemplateText } from '../../src/cloudformation/load-template.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { lint } from '../../src/lint/lint.ts';
import type { PolicyModel, SecurityGroup } from '../../src/policy/model.ts';
import { ruleText } from '../../src/policy/rules.ts';
import type { Problem } from '../../src/source/problem.ts';
import { get, readDocument, type Node } from '../../src/source/yaml.ts';

export interface CaseParts {
  readonly problems: readonly Problem[];
  /** By `STACK/LOGICAL-ID`, or the name of a group of the configuration. */
  readonly groups: Readonly<Record<string, { ingress: string[]; egress: string[] }>>;
  /** The groups of each interface, so called; none where errors keep them from being there. */
  readonly interfaces: Readonly<Record<string, readonly string[]>>;
}

export function buildCaseParts(file: string): CaseParts {
  const { config, problems } = loadConfig(file, { netnsDirectory: '/nowhere' });
  const stacks = readStacks(file);
  if (config !== undefined) {
    const { model } = config;
    const interfaces = [...model.interfaces.values()].map(({ name, groupIds }) => [
      name,
      groupIds.map((id) => nameOf(model.groups.get(id)!, stacks)),
    ]);
    return {
      problems: [...problems, ...lint(config)],
      groups: listGroups(model, stacks),
      interfaces: Object.fromEntries(interfaces) as CaseParts['interfaces'],
    };
  }
  const groups = [...stacks].flatMap(([path, stackName]) => {
    const options = { stackName, parameters: new Map(), resolveGroup: () => undefined };
    return loadTemplateText(path, readFileSync(path, 'utf8'), options, [])?.groups ?? [];
  });
  const model = {
    groups: new Map(groups.map((group) => [group.id, group])),
    prefixLists: new Map(),
  };
  return { problems, groups: listGroups(model, stacks), interfaces: {} };
}

/** The stack names of the templates, by file. */
function readStacks(file: string): Map<string, string> {
  const root = readDocument(file, []);
  const section = get(root, 'templates');
  const items = section?.kind === 'list' ? section.items : [];
  const textOf = (node: Node | undefined): string | undefined =>
    node?.kind === 'scalar' ? node.text : undefined;
  return new Map(
    items.map((item) => {
      const name = textOf(item) ?? textOf(get(item, 'file'))!;
      const stackName = textOf(get(item, 'stackName')) ?? basename(name, extname(name));
      return [join(dirname(file), name), stackName];
    }),
  );
}

function nameOf({ name, origin }: SecurityGroup, stacks: ReadonlyMap<string, string>): string {
  return origin.logicalId === undefined ? name : `${stacks.get(origin.file)}/${origin.logicalId}`;
}

function listGroups(
  model: Pick<PolicyModel, 'groups' | 'prefixLists'>,
  stacks: ReadonlyMap<string, string>,
): CaseParts['groups'] {
  const named = new Map(
    [...model.groups].map(([id, group]) => [id, { ...group, name: nameOf(group, stacks) }]),
  );
  const names = { groups: named, prefixLists: model.prefixLists };
  return Object.fromEntries(
    [...named.values()].map(({ name, ingress, egress }) => [
      name,
      {
        ingress: ingress.map((rule) => ruleText(rule, names)),
        egress: egress.map((rule) => ruleText(rule, names)),
      },
    ]),
  );
}
