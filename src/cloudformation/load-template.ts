/**
 * A CloudFormation template to groups and prefix lists.
 *
 * Theory of operation. Text becomes a tree with positions (source/yaml.ts; reindent.ts first, if the
 * indentation was lost), loops are written out (for-each.ts), sections and resources are found
 * (template.ts), and then the resources of the four kinds are read, asking the evaluator for each
 * property they need. Nothing else in the template is evaluated.
 *
 * Three severities. An error: the template can't be used. A warning: it works here, but AWS would
 * refuse it or do something else, or a rule was left out because only AWS could know what it says.
 * A rule left out denies; nothing that is unknown ever allows. A notice: resources of other kinds.
 */
import type { GroupId, PrefixList, PrefixListId, SecurityGroup } from '../policy/model.ts';
import type { Position, Problem } from '../source/problem.ts';
import { parseDocument, readText, type Node } from '../source/yaml.ts';
import {
  KIND_EGRESS,
  KIND_GROUP,
  KIND_INGRESS,
  KIND_PREFIX_LIST,
  PLACEMENT_KINDS,
} from './attributes.ts';
import { warnOfCircles } from './dependencies.ts';
import { createScope } from './evaluator.ts';
import { readExports } from './exports.ts';
import { expandLoops } from './for-each.ts';
import { buildGroups, takesPart, type OutsideRule } from './groups.ts';
import { readParameters } from './parameters.ts';
import { readPrefixList } from './prefix-lists.ts';
import { makeDirectory } from './references.ts';
import { findFlattened, moveBack, movePositionBack, restoreIndentation } from './reindent.ts';
import { report, type Inputs, type Scope } from './scope.ts';
import {
  readSections,
  readTemplate,
  type Resource,
  type Sections,
  type Template,
} from './template.ts';
import { abbreviate, type Value } from './values.ts';

export type { OutsideRule } from './groups.ts';

/** AWS's own limit for a template in S3; what is larger, AWS never takes. */
export const TEMPLATE_BYTES_MAX = 1_048_576;

export interface LoadedTemplate {
  readonly stackName: string;
  readonly groups: readonly SecurityGroup[];
  readonly prefixLists: readonly PrefixList[];
  /** Outputs with an export name whose value is known: what Fn::ImportValue of other templates may use. */
  readonly exports: ReadonlyMap<string, string>;
  /** Rules for groups defined elsewhere; empty unless `acceptsOutsideRules`. */
  readonly outsideRules: readonly OutsideRule[];
}

export interface TemplateOptions {
  /** Becomes AWS::StackName and part of generated names and of every id. */
  readonly stackName: string;
  /** Values of parameters, by name; they take the place of defaults. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Finds a group of the configuration or of another template by id or name. */
  readonly resolveGroup: (reference: string) => GroupId | undefined;
  /** Finds a prefix list that the template does not define. */
  readonly resolvePrefixList?: (reference: string) => PrefixListId | undefined;
  /** Exports of other templates, by name. */
  readonly imports?: ReadonlyMap<string, string>;
  /** Values that only AWS knows, by the key the hint of the warning names: `ssm:/path`, `import:Name`, `getatt:Id.Attribute`. */
  readonly supplied?: ReadonlyMap<string, string>;
  /** True if the caller adds `outsideRules` to their groups; else such a rule is an error. */
  readonly acceptsOutsideRules?: boolean;
}

/** Reads a template file, YAML or JSON. Undefined only if there is nothing to read; errors are in `problems` either way. */
export function loadTemplate(
  file: string,
  options: TemplateOptions,
  problems: Problem[],
): LoadedTemplate | undefined {
  const text = readText(file, problems, TEMPLATE_BYTES_MAX);
  return text === undefined ? undefined : loadTemplateText(file, text, options, problems);
}

/** The same from text; `file` is for the positions. */
export function loadTemplateText(
  file: string,
  text: string,
  options: TemplateOptions,
  problems: Problem[],
): LoadedTemplate | undefined {
  const found: Problem[] = [];
  const loaded = loadSections(file, text, options, found);
  // In the order of the file: the passes find them in an order that means nothing to the reader.
  found.sort(
    (a, b) => (a.at?.line ?? 0) - (b.at?.line ?? 0) || (a.at?.column ?? 0) - (b.at?.column ?? 0),
  );
  for (const problem of found) problems.push(problem);
  return loaded;
}

function loadSections(
  file: string,
  text: string,
  options: TemplateOptions,
  problems: Problem[],
): LoadedTemplate | undefined {
  const root = parseTemplate(file, text, problems);
  if (root === undefined) return undefined;
  const sections = readSections(root, problems);
  if (sections === undefined) return undefined;
  const inputs: Inputs = {
    stackName: options.stackName,
    imports: options.imports ?? new Map(),
    supplied: options.supplied,
  };
  const parameters = readParameters(
    sections.parameters,
    options.parameters,
    inputs,
    { at: root.at, path: 'Parameters' },
    problems,
  );
  const template = readTemplate(expandSections(sections, parameters, problems), problems);
  const scope = createScope(template, parameters, inputs, problems);
  warnOfTransforms(sections, problems);
  tellPassedOver(template, problems);
  return buildModel(scope, template, options);
}

function parseTemplate(file: string, text: string, problems: Problem[]): Node | undefined {
  const first = findFlattened(text);
  if (first === undefined) return parseDocument(file, text, problems);
  const restored = restoreIndentation(file, text, first, problems);
  if (restored === undefined) return undefined;
  const { shifts } = restored;
  const found: Problem[] = [];
  const root = parseDocument(file, restored.text, found);
  const moveAt = (at: Position | undefined): Position | undefined =>
    at === undefined ? undefined : movePositionBack(at, shifts);
  problems.push(...found.map((problem) => ({ ...problem, at: moveAt(problem.at) })));
  return root === undefined ? undefined : moveBack(root, shifts);
}

function expandSections(
  sections: Sections,
  parameters: ReadonlyMap<string, Value>,
  problems: Problem[],
): Sections {
  const isEnabled = sections.transforms.some((transform) => transform.name === LANGUAGE_EXTENSIONS);
  const expand = (section: Sections['outputs']): Sections['outputs'] =>
    section === undefined ? undefined : expandLoops(section, { parameters, isEnabled }, problems);
  return {
    ...sections,
    conditions: expand(sections.conditions),
    resources: expand(sections.resources)!,
    outputs: expand(sections.outputs),
  };
}

/** The transform that adds Fn::ForEach, Fn::Length and Fn::ToJsonString, all of which are built in here. */
const LANGUAGE_EXTENSIONS = 'AWS::LanguageExtensions';

function warnOfTransforms(sections: Sections, problems: Problem[]): void {
  for (const transform of sections.transforms) {
    if (transform.name === LANGUAGE_EXTENSIONS) continue;
    const message = `the transform '${abbreviate(transform.name)}' runs in AWS alone; resources are read as they are written`;
    const hint = 'groups and rules that the transform would make or change are not seen';
    report(problems, 'warning', 'transform', transform, message, hint);
  }
}

const RULE_KINDS: ReadonlySet<string> = new Set([
  KIND_GROUP,
  KIND_INGRESS,
  KIND_EGRESS,
  KIND_PREFIX_LIST,
]);

function tellPassedOver(template: Template, problems: Problem[]): void {
  const counts = new Map<string, number>();
  let first: Resource | undefined;
  for (const resource of template.resources.values()) {
    if (RULE_KINDS.has(resource.type) || PLACEMENT_KINDS.has(resource.type)) continue;
    counts.set(resource.type, (counts.get(resource.type) ?? 0) + 1);
    first ??= resource;
  }
  if (first === undefined) return;
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const kinds = [...counts].map(([kind, count]) => `${count} ${abbreviate(kind)}`).join(', ');
  const message = `${total} ${total === 1 ? 'resource makes' : 'resources make'} no security group rules and ${total === 1 ? 'is' : 'are'} passed over: ${kinds}`;
  report(problems, 'notice', 'passed-over', { at: first.at, path: 'Resources' }, message);
}

function buildModel(scope: Scope, template: Template, options: TemplateOptions): LoadedTemplate {
  const written = [...template.resources.values()].filter((resource) =>
    RULE_KINDS.has(resource.type),
  );
  const parts = new Map(written.map((resource) => [resource, takesPart(scope, resource)]));
  const present = written.filter((resource) => parts.get(resource) === true);
  const uncertain = written.filter((resource) => parts.get(resource) === 'unknown');
  const directory = makeDirectory(scope, present, {
    resolveGroup: options.resolveGroup,
    resolvePrefixList: options.resolvePrefixList ?? (() => undefined),
  });
  warnOfCircles(scope, present);
  const prefixLists = present.flatMap((resource) => {
    const list = resource.type === KIND_PREFIX_LIST ? readPrefixList(scope, resource) : undefined;
    return list === undefined ? [] : [list];
  });
  const built = buildGroups(scope, directory, present, {
    acceptsOutsideRules: options.acceptsOutsideRules ?? false,
    uncertain,
  });
  return { stackName: options.stackName, prefixLists, ...built, exports: readExports(scope) };
}
