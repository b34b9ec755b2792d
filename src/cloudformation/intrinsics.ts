/**
 * This file evaluates the intrinsic functions.
 * Source: AWS CloudFormation Template Reference, "Intrinsic function reference".
 */
import type { Node } from '../source/yaml.ts';
import {
  findEntry,
  needText,
  readCall,
  readConditionName,
  takeArguments,
  type Call,
} from './calls.ts';
import { splitCidr } from './cidrs.ts';
import { explainTransform, findUnread, whyUnseen, writeOutTransform } from './macros.ts';
import { findSupplied, supplyHint } from './parameters.ts';
import { fail, report } from './reporting.ts';
import { takeChars, takeSteps, type Scope } from './scope.ts';
import { substitute } from './substitute.ts';
import { toJson } from './to-json.ts';
import {
  abbreviate,
  describeKind,
  makeInvalid,
  makeList,
  makeText,
  makeUnknown,
  moveTo,
  type ListValue,
  type TextValue,
  type UnknownValue,
  type InvalidValue,
  type Value,
} from './values.ts';
import { count } from '../source/count.ts';

type Intrinsic = (scope: Scope, call: Call) => Value;

const INTRINSICS: ReadonlyMap<string, Intrinsic> = new Map<string, Intrinsic>([
  ['Ref', refer],
  ['Fn::Base64', encodeBase64],
  ['Fn::Cidr', makeCidrs],
  ['Fn::FindInMap', findInMap],
  ['Fn::GetAtt', getAttribute],
  ['Fn::GetAZs', getZones],
  ['Fn::If', choose],
  ['Fn::ImportValue', importValue],
  ['Fn::Join', join],
  ['Fn::Length', countItems],
  ['Fn::Select', select],
  ['Fn::Split', split],
  ['Fn::Sub', substitute],
  ['Fn::ToJsonString', stringify],
  ['Fn::Transform', transform],
]);

const CONDITION_ONLY = new Set(['Condition', 'Fn::And', 'Fn::Or', 'Fn::Not', 'Fn::Equals']);

export function callFunction(scope: Scope, call: Call): Value {
  const intrinsic = INTRINSICS.get(call.name);
  if (intrinsic !== undefined) return intrinsic(scope, call);
  if (CONDITION_ONLY.has(call.name)) {
    const hint = 'name the condition in the section Conditions and use Fn::If here';
    return fail(scope, 'bad-function', call, `${call.name} has no value outside a condition`, hint);
  }
  const known = [...INTRINSICS.keys()].join(', ');
  return fail(
    scope,
    'unknown-function',
    call,
    `unknown function ${abbreviate(call.name)}`,
    `there are ${known}`,
  );
}

function refer(scope: Scope, call: Call): Value {
  const name = readName(scope, call, call.argument);
  if (name === undefined)
    return fail(scope, 'bad-function', call, 'Ref takes a name', 'write !Ref LogicalId');
  return name.kind === 'text' ? scope.refer(name.text, call) : name;
}

/** A name, as it is written or as a function returns it. Undefined if it is neither. */
function readName(
  scope: Scope,
  call: Call,
  node: Node,
): TextValue | UnknownValue | InvalidValue | undefined {
  if (node.kind === 'scalar' && typeof node.value === 'string' && node.tag === undefined)
    return makeText(node.text, node);
  if (readCall(node) === undefined) return undefined;
  warnWithoutExtensions(scope, call);
  return needText(scope, call, scope.evaluate(node), 'the name');
}

function warnWithoutExtensions(scope: Scope, call: Call): void {
  if (scope.template.isExtended) return;
  const message = `${call.name} of a function needs the transform AWS::LanguageExtensions`;
  const hint = "AWS refuses it; add the line 'Transform: AWS::LanguageExtensions' to the template";
  report(scope.problems, 'warning', 'transform', call, message, hint);
}

/** Reads `Id.Attribute` or `[Id, Attribute]`. The attribute may contain dots and, in the list form, be a function. */
function getAttribute(scope: Scope, call: Call): Value {
  const { argument } = call;
  if (argument.kind === 'list' && argument.tag === undefined && argument.items.length >= 2) {
    const name = readName(scope, call, argument.items[0]);
    if (name !== undefined && name.kind !== 'text') return name;
    const parts: string[] = [];
    for (const item of argument.items.slice(1)) {
      const part = needText(scope, call, scope.evaluate(item), 'the attribute');
      if (part.kind !== 'text') return part;
      parts.push(part.text);
    }
    if (name !== undefined) return scope.readAttribute(name.text, parts.join('.'), call);
  }
  const text =
    argument.kind === 'list' && argument.tag === undefined
      ? undefined
      : readName(scope, call, argument);
  if (text !== undefined && text.kind !== 'text') return text;
  const dot = text?.text.indexOf('.') ?? -1;
  if (text !== undefined && dot > 0 && dot < text.text.length - 1)
    return scope.readAttribute(text.text.slice(0, dot), text.text.slice(dot + 1), call);
  return fail(
    scope,
    'bad-function',
    call,
    'Fn::GetAtt takes a resource and an attribute',
    'write !GetAtt LogicalId.Attribute',
  );
}

function choose(scope: Scope, call: Call): Value {
  const items = takeArguments(scope, call, 3, 3, '[condition name, value if true, value if false]');
  if (items === undefined) return makeInvalid(call);
  const branch = chooseBranch(scope, items);
  return 'value' in branch ? scope.evaluate(branch.value) : branch;
}

/** The branch that Fn::If takes, not evaluated. */
export function chooseBranch(
  scope: Scope,
  items: readonly Node[],
): { readonly value: Node } | UnknownValue | InvalidValue {
  const name = readConditionName(scope, items[0]);
  if (name.kind !== 'text') return name;
  const truth = scope.decide(name.text, items[0]);
  if (truth.kind !== 'truth') return truth;
  return { value: truth.value ? items[1] : items[2] };
}

function join(scope: Scope, call: Call): Value {
  const items = takeArguments(scope, call, 2, 2, '[delimiter, [text, text, …]]');
  if (items === undefined) return makeInvalid(call);
  const delimiter = needText(scope, call, scope.evaluate(items[0]), 'the delimiter');
  if (delimiter.kind !== 'text') return delimiter;
  const list = needList(scope, call, scope.evaluate(items[1]));
  if (list.kind !== 'list') return list;
  const texts: string[] = [];
  let chars = 0;
  for (const item of list.items) {
    const text = needText(scope, call, item, 'every item');
    if (text.kind !== 'text') return text;
    texts.push(text.text);
    chars += text.text.length + delimiter.text.length;
  }
  if (!takeChars(scope, chars, call)) return makeInvalid(call);
  return makeText(texts.join(delimiter.text), call);
}

function split(scope: Scope, call: Call): Value {
  const items = takeArguments(scope, call, 2, 2, '[delimiter, text]');
  if (items === undefined) return makeInvalid(call);
  const delimiter = needText(scope, call, scope.evaluate(items[0]), 'the delimiter');
  if (delimiter.kind !== 'text') return delimiter;
  if (delimiter.text === '')
    return fail(scope, 'bad-function', call, 'the delimiter of Fn::Split must not be empty');
  const text = needText(scope, call, scope.evaluate(items[1]), 'the source');
  if (text.kind !== 'text') return text;
  const parts = text.text.split(delimiter.text);
  if (!takeSteps(scope, parts.length, call)) return makeInvalid(call);
  return makeList(
    parts.map((part) => makeText(part, call)),
    call,
  );
}

function select(scope: Scope, call: Call): Value {
  const items = takeArguments(scope, call, 2, 2, '[index, [value, value, …]]');
  if (items === undefined) return makeInvalid(call);
  const index = needText(scope, call, scope.evaluate(items[0]), 'the index');
  if (index.kind !== 'text') return index;
  const list = needList(scope, call, scope.evaluate(items[1]));
  if (list.kind !== 'list') return list;
  const item = /^\d{1,6}$/.test(index.text) ? list.items[Number(index.text)] : undefined;
  if (item !== undefined) return moveTo(item, call);
  const hint = `the list has ${count(list.items.length, 'item')}, counted from 0`;
  return fail(
    scope,
    'bad-function',
    call,
    `Fn::Select cannot select nonexistent value at index ${abbreviate(index.text)}`,
    hint,
  );
}

function findInMap(scope: Scope, call: Call): Value {
  const items = takeArguments(scope, call, 3, 4, '[mapping name, first key, second key]');
  if (items === undefined) return makeInvalid(call);
  const keys: string[] = [];
  for (const item of items.slice(0, 3)) {
    const key = needText(scope, call, scope.evaluate(item), 'every key');
    if (key.kind !== 'text') return key;
    keys.push(key.text);
  }
  let node: Node | undefined = scope.template.mappings;
  for (const key of keys) node = node?.kind === 'mapping' ? findEntry(node, key) : undefined;
  if (node === undefined) {
    const unseen = findUnseenMapping(scope, keys);
    if (unseen !== undefined) return moveTo(unseen, call);
    // AWS::LanguageExtensions adds the default value.
    const fallback = items[3]?.kind === 'mapping' ? findEntry(items[3], 'DefaultValue') : undefined;
    if (fallback !== undefined) return scope.evaluate(fallback);
    return fail(
      scope,
      'unknown-mapping',
      call,
      `unable to get mapping for ${abbreviate(keys.join('::'))}`,
      'check the names in the section Mappings',
    );
  }
  const unread = findUnread(writeOutTransform(node));
  if (unread !== undefined) return moveTo(unread, call);
  if (node.kind === 'mapping' || readCall(node) !== undefined) {
    return fail(
      scope,
      'bad-function',
      call,
      `the mapping ${abbreviate(keys.join('::'))} does not hold a text or a list`,
      'AWS takes no functions and no deeper mappings there',
    );
  }
  return moveTo(scope.evaluate(node), call);
}

/** Why the entry may exist although it is not written. */
function findUnseenMapping(scope: Scope, keys: readonly string[]): UnknownValue | undefined {
  let node: Node | undefined = scope.template.mappings;
  for (const key of keys) {
    if (node?.kind !== 'mapping') break;
    const unread = findUnread(node);
    if (unread !== undefined) return unread;
    node = findEntry(node, key);
  }
  return whyUnseen(scope.template.unseen, 'Mappings');
}

function encodeBase64(scope: Scope, call: Call): Value {
  const text = needText(scope, call, scope.evaluate(call.argument), 'the argument');
  if (text.kind !== 'text') return text;
  const bytes = Buffer.from(text.text, 'utf8');
  if (!takeChars(scope, Math.ceil(bytes.length / 3) * 4, call)) return makeInvalid(call);
  return makeText(bytes.toString('base64'), call);
}

function makeCidrs(scope: Scope, call: Call): Value {
  const items = takeArguments(scope, call, 3, 3, '[ipBlock, count, cidrBits]');
  if (items === undefined) return makeInvalid(call);
  const texts: string[] = [];
  for (const item of items) {
    const text = needText(scope, call, scope.evaluate(item), 'every argument');
    if (text.kind !== 'text') return text;
    texts.push(text.text);
  }
  const blocks = splitCidr(texts[0], texts[1], texts[2]);
  if (!blocks.ok)
    return fail(scope, 'bad-function', call, `Fn::Cidr: ${blocks.message}`, blocks.hint);
  return makeList(
    blocks.value.map((block) => makeText(block, call)),
    call,
  );
}

/** The zones of our own Region. Only AWS knows which an account has, so these are our choice. */
const OUR_ZONES = ['a', 'b', 'c', 'd', 'e', 'f'];

function getZones(scope: Scope, call: Call): Value {
  const region = needText(scope, call, scope.evaluate(call.argument), 'the region');
  if (region.kind !== 'text') return region;
  const own = scope.inputs.account.region;
  const name = region.text === '' ? own : region.text;
  if (name !== own) {
    return makeUnknown(
      `the availability zones of '${abbreviate(name)}' are known to AWS alone`,
      `use the region ${own}, or set the region of the template`,
      call,
    );
  }
  return makeList(
    OUR_ZONES.map((zone) => makeText(`${name}${zone}`, call)),
    call,
  );
}

function importValue(scope: Scope, call: Call): Value {
  const name = needText(scope, call, scope.evaluate(call.argument), 'the name');
  if (name.kind !== 'text') return name;
  const { inputs } = scope;
  const key = `import:${name.text}`;
  const value = inputs.exports.read(scope, name.text, call) ?? findSupplied(inputs, key, call);
  if (value !== undefined) return value;
  return makeUnknown(
    `no template here exports '${abbreviate(name.text)}'`,
    `${inputs.exports.suggest(name.text)}${supplyHint(inputs, key)}`,
    call,
  );
}

function countItems(scope: Scope, call: Call): Value {
  const list = needList(scope, call, scope.evaluate(call.argument));
  if (list.kind !== 'list') return list;
  return { ...makeText(String(list.items.length), call), form: 'number' };
}

function stringify(scope: Scope, call: Call): Value {
  const value = scope.evaluate(call.argument);
  if (value.kind === 'text' || value.kind === 'absent') {
    return fail(
      scope,
      'bad-function',
      call,
      `Fn::ToJsonString takes a list or a mapping, not ${describeKind(value)}`,
    );
  }
  const json = toJson(scope, value, call);
  return typeof json === 'string' ? makeText(json, call) : json;
}

function transform(_scope: Scope, call: Call): Value {
  return explainTransform(call.argument, call);
}

function needList(scope: Scope, call: Call, value: Value): ListValue | UnknownValue | InvalidValue {
  switch (value.kind) {
    case 'list':
    case 'unknown':
    case 'invalid':
      return value;
    default:
      return fail(
        scope,
        'bad-function',
        call,
        `${call.name} needs a list, not ${describeKind(value)}`,
      );
  }
}
