/**
 * This file checks a tree against a published schema. It reports what is wrong in the words that a person would use.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Ajv, ErrorObject, Options, ValidateFunction } from 'ajv';
import type { Problem } from '../source/problem.ts';
import { closest, didYouMean, listWords } from '../source/suggest.ts';
import { get, keyPath, toPlain, type Node } from '../source/yaml.ts';
import { kindProblem } from './config-reader.ts';
import { CONFIG_SCHEMA } from './schema.ts';

const KIND_TEXTS: Readonly<Record<string, string>> = {
  object: 'a mapping',
  array: 'a list',
  string: 'a string',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};

export const AJV_OPTIONS: Options = { allErrors: true, verbose: true, allowUnionTypes: true };
/** The compiled validator of the configuration, which is only in dist/ (scripts/validators). */
export const VALIDATOR_PATH = fileURLToPath(new URL('config-validator.cjs', import.meta.url));

const require = createRequire(import.meta.url);

/** Validators that were compiled on first use. Compiling takes longer than reading a file. */
const validators = new WeakMap<object, ValidateFunction>();

/** The codes of problems about an absent key. `key` is given where it is always the same one. */
const MISSING_KEYS: Readonly<Record<string, string>> = {
  'missing-ports': 'ports',
  'missing-type': 'type',
};

/** A problem, with the path of the key that is missing or was probably meant. */
interface ShapeProblem {
  readonly problem: Problem;
  readonly missing?: string;
  readonly meant?: string;
}

/**
 * Adds errors about unknown keys, missing keys and values of the wrong kind, each at its node. If `problems` has an
 * error about the same node, only that one is kept, since it is more precise. A missing key is not reported if a
 * mistyped key was probably meant for it; a report of it in `problems` is removed.
 * @param schema the schema of another kind of file; the default is the configuration's
 */
export function addShapeProblems(
  root: Node,
  problems: Problem[],
  schema: object = CONFIG_SCHEMA,
): void {
  const found = checkShape(root, schema);
  const meant = new Set(found.flatMap((entry) => entry.meant ?? []));
  for (const { code, path } of problems) {
    // `to` in place of `from` is one mistake, not two.
    if (code === 'wrong-direction')
      meant.add(path.replace(/\.(to|from)$/, (key) => (key === '.to' ? '.from' : '.to')));
  }
  const told = new Set(
    problems.flatMap(({ severity, path, at }) =>
      severity === 'error' && at?.file === root.at.file ? path : [],
    ),
  );
  const kept = problems.filter(
    ({ code, path }) =>
      MISSING_KEYS[code] === undefined || !meant.has(keyPath(path, MISSING_KEYS[code])),
  );
  for (const { problem, missing } of found) {
    // A missing key is reported at its mapping, which may have another mistake of its own.
    if (missing === undefined ? !told.has(problem.path) : !meant.has(missing)) kept.push(problem);
  }
  problems.splice(0, problems.length, ...kept);
}

function checkShape(root: Node, schema: object): ShapeProblem[] {
  const validate = validators.get(schema) ?? compile(schema);
  if (validate(toPlain(root))) return [];
  // An error of `if` says only that it did not match. The error of `then` says what is wrong.
  const errors = (validate.errors ?? []).filter(({ keyword }) => keyword !== 'if');
  return errors.map((error) => describe(error, findNode(root, error.instancePath)));
}

/**
 * Returns the validator of a schema. The configuration's was compiled when dist/ was built; all others are compiled
 * here.
 */
function compile(schema: object): ValidateFunction {
  const isMade = schema === CONFIG_SCHEMA && existsSync(VALIDATOR_PATH);
  const validate = isMade
    ? (require(VALIDATOR_PATH) as ValidateFunction)
    : makeAjv().compile(schema);
  validators.set(schema, validate);
  return validate;
}

function makeAjv(): Ajv {
  const loaded = require('ajv') as { readonly Ajv: typeof Ajv };
  return new loaded.Ajv(AJV_OPTIONS);
}

function describe(error: ErrorObject, node: Node): ShapeProblem {
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'additionalProperties':
      return unknownKey(node, String(params['additionalProperty']), knownKeys(error));
    case 'required': {
      const key = String(params['missingProperty']);
      return {
        problem: problem(
          node,
          'missing-key',
          `the key '${key}' is missing`,
          describeKey(error, key),
        ),
        missing: keyPath(node.path, key),
      };
    }
    case 'type': {
      const kinds = [params['type']].flat().map((kind) => KIND_TEXTS[String(kind)] ?? String(kind));
      return { problem: kindProblem(node, joinWords(kinds)) };
    }
    case 'enum': {
      const allowed = (params['allowedValues'] as unknown[]).map(String);
      const got =
        node.kind === 'scalar'
          ? `'${node.text}'`
          : kindProblem(node, '').message.replace('expected , got ', '');
      const meant = node.kind === 'scalar' ? didYouMean(node.text, allowed) : '';
      return {
        problem: problem(node, 'bad-value', `expected ${joinWords(allowed)}, got ${got}${meant}`),
      };
    }
    default:
      // The other errors are about limits. The loader checks these too, and its messages say more.
      return {
        problem: problem(
          node,
          'bad-value',
          `the value ${error.message ?? `fails '${error.keyword}'`}`,
        ),
      };
  }
}

function unknownKey(node: Node, key: string, known: readonly string[]): ShapeProblem {
  const entry =
    node.kind === 'mapping' ? node.entries.find((candidate) => candidate.key === key) : undefined;
  const place = { at: entry?.keyAt ?? node.at, path: keyPath(node.path, key) };
  if (key === '<<') {
    const hint = 'write the keys out, or use an alias for a whole value';
    return {
      problem: problem(place, 'unknown-key', "merge keys ('<<') are not part of YAML 1.2", hint),
    };
  }
  const meant = closest(
    key,
    known.filter((candidate) => get(node, candidate) === undefined),
  );
  const hint = `known keys: ${listWords(known)}`;
  if (meant === undefined)
    return { problem: problem(place, 'unknown-key', `unknown key '${key}'`, hint) };
  const message = `unknown key '${key}'; did you mean '${meant}'?`;
  return {
    problem: problem(place, 'unknown-key', message, hint),
    meant: keyPath(node.path, meant),
  };
}

function knownKeys(error: ErrorObject): readonly string[] {
  return Object.keys((error.parentSchema as { properties?: object } | undefined)?.properties ?? {});
}

/** The schema's description of a key, as the hint where the key is missing. */
function describeKey(error: ErrorObject, key: string): string | undefined {
  const { properties } = error.parentSchema as {
    properties?: Record<string, { description?: string }>;
  };
  return properties?.[key]?.description;
}

function problem(
  place: Pick<Problem, 'at' | 'path'>,
  code: string,
  message: string,
  hint?: string,
): Problem {
  const { at, path } = place;
  return { severity: 'error', code, at, path, message, ...(hint === undefined ? {} : { hint }) };
}

function joinWords(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)!}`;
}

/** The node that a JSON pointer names. */
function findNode(root: Node, pointer: string): Node {
  let node = root;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    const child: Node | undefined = node.kind === 'list' ? node.items[Number(key)] : get(node, key);
    if (child === undefined) break;
    node = child;
  }
  return node;
}
