/**
 * This file reads nested stacks whose template is available: it passes parameters in and outputs out.
 *
 * Theory of operation. A nested stack is a template like any other, but its parameters are values of the outer
 * template, and its outputs are attributes there. It is opened when somebody first needs one of its outputs, or else
 * when all templates are open. So the order of resources does not matter. A nested stack whose parameters need its own
 * outputs is a circle. What can't be read stays unknown.
 *
 * Names that AWS would generate are unknown, because a nested stack's name ends in random letters. Ids of groups are
 * made from the path of logical ids, so they are the same after every reload.
 * Source: AWS CloudFormation Template Reference, AWS::CloudFormation::Stack; AWS CLI Command Reference, "cloudformation
 * package", for paths in place of TemplateURL.
 */
import { basename, dirname, resolve } from 'node:path';
import type { Problem } from '../source/problem.ts';
import { get, readText, type Node } from '../source/yaml.ts';
import { decideExistence, nameCondition } from './attributes.ts';
import { readProperty } from './calls.ts';
import { KIND_STACK } from './kinds.ts';
import { openTemplate, type OpenTemplate } from './load-template.ts';
import type { GivenValue } from './parameters.ts';
import { decideCondition } from './conditions.ts';
import type { Resource } from './resources.ts';
import { fail, report } from './reporting.ts';
import type { NestedReader, Scope } from './scope.ts';
import { TEMPLATE_BYTES_MAX } from './template-tree.ts';
import {
  abbreviate,
  describeKind,
  makeUnknown,
  moveTo,
  type UnknownValue,
  type Value,
  type Where,
} from './values.ts';

/** The deepest nesting of stacks. People use about three levels. */
export const NESTED_DEPTH_MAX = 10;
/**
 * The most nested stacks of a set of templates. A stack that contains itself twice would otherwise be opened for ever.
 */
export const NESTED_STACKS_MAX = 500;

type State =
  | { readonly kind: 'opening' }
  | { readonly kind: 'open'; readonly open: OpenTemplate }
  | { readonly kind: 'unread'; readonly why: UnknownValue }
  /** It does not exist, or has an error, which is reported. */
  | { readonly kind: 'none' };

export class NestedStacks implements NestedReader {
  readonly #states = new Map<Resource, State>();
  readonly #parents = new Map<Scope, OpenTemplate>();
  readonly #stackNames = new Set<string>();
  /** The templates that were read, and those that could not be. */
  readonly files = new Set<string>();
  #count = 0;

  /** Adds a template, whose nested stacks may then be asked for. */
  enter(open: OpenTemplate): void {
    this.#parents.set(open.scope, open);
    this.#stackNames.add(open.options.stackName);
  }

  /** All nested templates of an added template, at any depth, in the order of the templates. */
  follow(parent: OpenTemplate): readonly OpenTemplate[] {
    const { scope } = parent;
    return [...scope.template.resources.values()].flatMap((resource) => {
      if (resource.type !== KIND_STACK) return [];
      const state = this.#open(scope, resource);
      return state.kind === 'open' ? [state.open, ...this.follow(state.open)] : [];
    });
  }

  readOutput(parent: Scope, resource: Resource, name: string, where: Where): Value | undefined {
    const state = this.#open(parent, resource);
    if (state.kind === 'opening') {
      const message = `circular reference: the parameters of '${resource.logicalId}' need its own outputs`;
      return fail(parent, 'circular-reference', where, message, 'break the circle');
    }
    if (state.kind !== 'open') return undefined;
    const { scope } = state.open;
    const output = scope.template.outputs.find((one) => one.name === name);
    if (output === undefined) {
      const unseen = scope.template.unseen.find(
        ({ section }) => section === 'Outputs' || section === 'all',
      );
      if (unseen !== undefined) return moveTo(unseen.why, where);
      const names = scope.template.outputs.map((one) => one.name);
      const message = `the stack '${resource.logicalId}' has no output '${abbreviate(name)}'`;
      const hint =
        names.length === 0
          ? 'its template has none'
          : `its template has ${abbreviate(names.join(', '))}`;
      return fail(parent, 'unresolved-reference', where, message, hint);
    }
    const condition = get(output.node, 'Condition');
    const truth = condition === undefined ? undefined : decideCondition(scope, condition);
    if (truth?.kind === 'unknown') return moveTo(truth, where);
    if (truth?.kind === 'invalid' || truth?.value === false) {
      const message = `the output '${abbreviate(name)}' of the stack '${resource.logicalId}' does not exist: its condition is false`;
      return fail(parent, 'unresolved-reference', where, message);
    }
    const value = readProperty(scope, output.node, 'Value');
    return value === undefined ? undefined : moveTo(value, where);
  }

  whyUnread(parent: Scope, resource: Resource): UnknownValue | undefined {
    const state = this.#open(parent, resource);
    return state.kind === 'unread' ? state.why : undefined;
  }

  #open(scope: Scope, resource: Resource): State {
    const known = this.#states.get(resource);
    if (known !== undefined) return known;
    this.#states.set(resource, { kind: 'opening' });
    const state = this.#read(scope, resource);
    this.#states.set(resource, state);
    return state;
  }

  #read(scope: Scope, resource: Resource): State {
    const truth = decideExistence(scope, resource);
    if (truth.kind === 'truth' && !truth.value) return { kind: 'none' };
    if (truth.kind === 'invalid') return { kind: 'none' };
    if (truth.kind === 'unknown') {
      const reason = `whether it exists is not known: its condition ${nameCondition(scope, resource)}: ${truth.reason}`;
      return { kind: 'unread', why: makeUnknown(reason, truth.hint, resource) };
    }
    const url = readProperty(scope, resource.properties, 'TemplateURL');
    if (url?.kind === 'invalid') return { kind: 'none' };
    const asset = readAssetPath(resource);
    if (url?.kind === 'unknown' && asset === undefined) return { kind: 'unread', why: url };
    const text = url?.kind === 'text' ? url.text : '';
    const file = findFile(scope, asset, text);
    if (file === undefined) {
      const where =
        text === '' ? 'it has no TemplateURL' : `its template is not at hand: ${abbreviate(text)}`;
      const hint =
        'name a file as TemplateURL, as `aws cloudformation package` takes it; or name that template in the configuration too';
      return { kind: 'unread', why: makeUnknown(where, hint, resource) };
    }
    return this.#readFile(scope, resource, file);
  }

  #readFile(scope: Scope, resource: Resource, file: string): State {
    const { chain } = scope.inputs;
    const refuse = (message: string, hint: string): State => {
      fail(scope, 'nested-stack', resource, message, hint);
      return { kind: 'none' };
    };
    const stack = `the stack '${resource.logicalId}'`;
    if (chain.includes(file)) {
      const circle = [...chain.slice(chain.indexOf(file)), file].map((one) => basename(one));
      return refuse(
        `${stack} is nested in itself: ${abbreviate(circle.join(' -> '))}`,
        'break the circle',
      );
    }
    if (chain.length > NESTED_DEPTH_MAX)
      return refuse(`stacks are nested more than ${NESTED_DEPTH_MAX} deep`, 'nest them less deep');
    this.#count += 1;
    if (this.#count > NESTED_STACKS_MAX)
      return refuse(
        `there are more than ${NESTED_STACKS_MAX} nested stacks`,
        'split the configuration',
      );
    const stackName = `${scope.inputs.stackName}-${resource.logicalId}`;
    if (this.#stackNames.has(stackName))
      return refuse(
        `${stack} is called '${stackName}', as a stack that is there already`,
        'give that one another stackName',
      );
    this.files.add(file);
    const unreadable: Problem[] = [];
    const text = readText(file, unreadable, TEMPLATE_BYTES_MAX);
    if (text === undefined) {
      const [{ message, hint }] = unreadable;
      const reason = `its template ${abbreviate(basename(file))} can't be read: ${message.replace(/^the file can't be read: /, '')}`;
      return { kind: 'unread', why: makeUnknown(reason, hint ?? '', resource) };
    }
    return this.#openFile(scope, resource, file, text, stackName);
  }

  #openFile(
    scope: Scope,
    resource: Resource,
    file: string,
    text: string,
    stackName: string,
  ): State {
    const parent = this.#parents.get(scope)!;
    const { sharedParameters: _, ...options } = parent.options;
    const path =
      scope.inputs.nestedPath === undefined
        ? resource.logicalId
        : `${scope.inputs.nestedPath}/${resource.logicalId}`;
    const open = openTemplate(
      file,
      text,
      {
        ...options,
        stackName,
        parameters: readGiven(scope, resource),
        nestedPath: path,
        chain: scope.inputs.chain,
        askedKeys: scope.inputs.askedKeys,
      },
      scope.problems,
    );
    if (open === undefined) return { kind: 'none' };
    this.enter(open);
    return { kind: 'open', open };
  }
}

/** The values of Parameters as texts. A list becomes a comma-delimited text. */
function readGiven(scope: Scope, resource: Resource): Map<string, GivenValue | UnknownValue> {
  const given = new Map<string, GivenValue | UnknownValue>();
  const section = readProperty(scope, resource.properties, 'Parameters');
  if (section === undefined || section.kind === 'invalid') return given;
  if (section.kind !== 'map') {
    const what = section.kind === 'unknown' ? section.reason : `they are ${describeKind(section)}`;
    const message = `the Parameters of '${resource.logicalId}' can't be known here: ${what}`;
    report(scope.problems, 'warning', 'unknown-value', section, message);
    return given;
  }
  for (const { key, value: node } of section.node.entries) {
    const value = scope.evaluate(node);
    const found = toGiven(scope, value, node);
    if (found !== undefined) given.set(key, found);
  }
  return given;
}

function toGiven(scope: Scope, value: Value, where: Where): GivenValue | UnknownValue | undefined {
  switch (value.kind) {
    case 'text':
      return { text: value.text, at: where.at, path: where.path };
    case 'list': {
      const texts = value.items.map((item) => toGiven(scope, item, where));
      const unknown = texts.find((item) => item !== undefined && 'kind' in item);
      if (unknown !== undefined) return unknown;
      const text = texts.flatMap((item) => (item !== undefined && 'text' in item ? item.text : []));
      return { text: text.join(','), at: where.at, path: where.path };
    }
    case 'unknown':
      return value;
    case 'absent':
      return undefined;
    case 'map':
      fail(scope, 'bad-property', where, 'a parameter of a stack must be text, not a mapping');
      return makeUnknown('it is in error', '', where);
    case 'invalid':
      return makeUnknown('it is in error', '', where);
    default:
      return value satisfies never;
  }
}

/**
 * The file of the template that the AWS CDK records beside a nested stack, relative to the folder of the outer
 * template.
 */
function readAssetPath({ node }: Resource): string | undefined {
  const metadata: Node | undefined = get(node, 'Metadata');
  const path = metadata === undefined ? undefined : get(metadata, 'aws:asset:path');
  const property = metadata === undefined ? undefined : get(metadata, 'aws:asset:property');
  if (path?.kind !== 'scalar' || (property?.kind === 'scalar' && property.text !== 'TemplateURL'))
    return undefined;
  return path.text;
}

/** The file of a nested template: the recorded one, an uploaded one of that name, or a path. */
function findFile(scope: Scope, asset: string | undefined, url: string): string | undefined {
  const directory = dirname(scope.inputs.file);
  if (asset !== undefined) return resolve(directory, asset);
  const isRemote = /^[a-z][a-z0-9+.-]*:/i.test(url);
  if (isRemote) return scope.inputs.assets?.get(url.slice(url.lastIndexOf('/') + 1));
  return url === '' ? undefined : resolve(directory, url);
}
