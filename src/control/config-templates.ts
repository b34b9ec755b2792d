/** The `templates` section: which templates, under what stack names, with what parameters. */
import { basename, dirname, extname, resolve } from 'node:path';
import {
  loadTemplate,
  type LoadedTemplate,
  type OutsideRule,
} from '../cloudformation/load-template.ts';
import type { PrefixList, SecurityGroup } from '../policy/model.ts';
import { ruleKey } from '../policy/rules.ts';
import { get, type Node } from '../source/yaml.ts';
import type { Directory } from './config-names.ts';
import {
  fail,
  lineText,
  readEntries,
  readItems,
  readText,
  type Place,
  type Reader,
} from './config-reader.ts';

/** Source: CloudFormation API Reference, CreateStack, StackName. */
const STACK_NAME = /^[A-Za-z][A-Za-z0-9-]{0,127}$/;

export interface TemplateParts {
  readonly groups: readonly SecurityGroup[];
  readonly prefixLists: readonly PrefixList[];
  /** Rules the templates add to groups that they don't define themselves. */
  readonly outsideRules: readonly OutsideRule[];
}

interface TemplateContext {
  readonly reader: Reader;
  readonly configFile: string;
  readonly groups: Directory;
  readonly prefixLists: Directory;
}

/** What the templates before one have to offer it. */
interface Earlier {
  /** By stack name. */
  readonly stacks: Map<string, Node>;
  readonly exports: Map<string, string>;
}

/**
 * Loads the templates in order and enters what they define into the directories. A template may name
 * the groups of the configuration, and those and the exports of the templates before it.
 */
export function readTemplates(context: TemplateContext, section: Node | undefined): TemplateParts {
  const { reader } = context;
  const groups: SecurityGroup[] = [];
  const prefixLists: PrefixList[] = [];
  const outsideRules: OutsideRule[] = [];
  const earlier: Earlier = { stacks: new Map(), exports: new Map() };
  for (const item of readItems(reader, section)) {
    const loaded = readTemplate(context, item, earlier);
    if (loaded === undefined) continue;
    const { stackName } = loaded;
    groups.push(
      ...loaded.groups.filter((group) =>
        context.groups.add(reader, group, placeOf(group), stackName),
      ),
    );
    prefixLists.push(
      ...loaded.prefixLists.filter((list) =>
        context.prefixLists.add(reader, list, placeOf(list), stackName),
      ),
    );
    outsideRules.push(...loaded.outsideRules);
    for (const [name, value] of loaded.exports) {
      if (earlier.exports.has(name))
        fail(
          reader,
          item,
          'duplicate-export',
          `an earlier template exports '${name}' as well`,
          'names of exports are unique',
        );
      else earlier.exports.set(name, value);
    }
  }
  return { groups, prefixLists, outsideRules };
}

/** `groups` with the rules that templates add to them; a rule that a group has already is not added again. */
export function addOutsideRules(
  groups: readonly SecurityGroup[],
  outsideRules: readonly OutsideRule[],
): readonly SecurityGroup[] {
  if (outsideRules.length === 0) return groups;
  return groups.map((group) => {
    const rules = new Map([...group.ingress, ...group.egress].map((rule) => [ruleKey(rule), rule]));
    for (const { groupId, rule } of outsideRules) {
      if (groupId === group.id && !rules.has(ruleKey(rule))) rules.set(ruleKey(rule), rule);
    }
    const all = [...rules.values()];
    return {
      ...group,
      ingress: all.filter(({ direction }) => direction === 'ingress'),
      egress: all.filter(({ direction }) => direction === 'egress'),
    };
  });
}

function readTemplate(
  context: TemplateContext,
  item: Node,
  earlier: Earlier,
): LoadedTemplate | undefined {
  const { reader, configFile, groups, prefixLists } = context;
  const { stacks, exports: imports } = earlier;
  const fileNode = item.kind === 'mapping' ? get(item, 'file') : item;
  const file = readText(reader, fileNode);
  const stackNameNode = get(item, 'stackName');
  const givenName = readText(reader, stackNameNode);
  const parameters = readParameters(reader, get(item, 'parameters'));
  if (givenName !== undefined && !STACK_NAME.test(givenName)) {
    fail(
      reader,
      stackNameNode!,
      'bad-name',
      `'${givenName}' can't be the name of a stack`,
      "use a letter and then up to 127 letters, digits and '-'",
    );
  }
  if (file === undefined || fileNode === undefined) return undefined;
  if (file === '')
    return fail(reader, fileNode, 'bad-value', 'the name of the template file is empty');
  const stackName = givenName ?? basename(file, extname(file));
  const first = stacks.get(stackName);
  if (first !== undefined) {
    const message = `the stack name '${stackName}' is taken by the template on ${lineText(first.at, item.at)}`;
    return fail(
      reader,
      stackNameNode ?? item,
      'duplicate-stack',
      message,
      'give one of the two another stackName',
    );
  }
  stacks.set(stackName, item);
  const finder = (directory: Directory) => (reference: string) => {
    const found = directory.resolve(reference);
    return found.ok ? found.value : undefined;
  };
  const before = reader.problems.length;
  const options = {
    stackName,
    parameters,
    resolveGroup: finder(groups),
    resolvePrefixList: finder(prefixLists),
    imports,
    acceptsOutsideRules: true,
  };
  const loaded = loadTemplate(resolve(dirname(configFile), file), options, reader.problems);
  if (
    loaded === undefined &&
    !reader.problems.slice(before).some(({ severity }) => severity === 'error')
  ) {
    fail(reader, fileNode, 'template', `the template '${file}' could not be read`);
  }
  return loaded;
}

/** Values as text, the way CloudFormation takes them; a list becomes a comma-delimited one. */
function readParameters(reader: Reader, section: Node | undefined): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const { key, value } of readEntries(reader, section)) {
    const nodes = value.kind === 'list' ? value.items : [value];
    const texts = nodes.flatMap((node) => (node.kind === 'scalar' ? [node.text] : []));
    if (texts.length < nodes.length)
      reader.misses.push({ node: value, expected: 'a string, a number, or a list of these' });
    parameters.set(key, texts.join(','));
  }
  return parameters;
}

function placeOf({ origin }: SecurityGroup | PrefixList): Place {
  const { file, line, column, path } = origin;
  return { at: { file, line, column }, path };
}
