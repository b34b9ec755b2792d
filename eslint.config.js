// What must not be in the packet path. All other rules are oxlint's (.oxlintrc.json), which is thirty times as fast, but
// has no rule by selectors.
import { defineConfig } from 'eslint/config';
import { parser } from 'typescript-eslint';

// Files that run for every packet. What must not happen there is listed in `hotPathBans`.
const HOT_FILES = [
  'src/wire/**/*.ts',
  'src/conntrack/**/*.ts',
  'src/policy/match.ts',
  'src/policy/word-table.ts',
  'src/engine/**/*.ts',
];

// The slow twins live beside what they check and are written to be plain, not fast.
const SLOW_FILES = ['src/**/*{twin,plain,reference}*.ts'];

// Functions that run once, or never: they build what the packet path uses, or end the process.
const COLD_NAME = '/^(create|make|assert|fail)([A-Z]|$)/';

// "Inside a function, but not inside a constructor or a cold one." Code at module level and field
// initialisers run once, so they are free.
const IN_COLD_CODE = [
  'MethodDefinition[kind="constructor"] *',
  `MethodDefinition[key.name=${COLD_NAME}] *`,
  `FunctionDeclaration[id.name=${COLD_NAME}] *`,
  `VariableDeclarator[id.name=${COLD_NAME}] *`,
].join(', ');

/** A ban that holds inside hot functions only. */
function inHotCode(selector, message) {
  return {
    selector: `:function ${selector}:not(${IN_COLD_CODE})`,
    message: `hot path: ${message}`,
  };
}

/** A ban that holds everywhere in a hot file. */
function anywhere(selector, message) {
  return { selector, message: `hot path: ${message}` };
}

/** Exported for test/house/, which tries each of them. */
export const hotPathBans = [
  anywhere(
    'TryStatement',
    'no try/catch; a packet that is wrong gets a drop reason, a system call is the ports’ affair',
  ),
  inHotCode(
    'ThrowStatement',
    'no throw; drop with a reason, or call an assert*/fail* function for a broken invariant',
  ),
  inHotCode('SpreadElement', 'no spread; it allocates'),
  anywhere(':function > RestElement', 'no rest parameters; they allocate an array a call'),
  inHotCode('TemplateLiteral', 'no text is made for a packet'),
  inHotCode('ArrayPattern', 'no array destructuring; it runs an iterator'),
  // Reading fields into constants allocates nothing; a rest element, or a pattern as a parameter, may.
  inHotCode('ObjectPattern > RestElement', 'no rest elements; they make an object'),
  inHotCode('ObjectPattern.params', 'no patterns as parameters; pass numbers'),
  anywhere(':function[generator=true]', 'no generators'),
  anywhere(':function[async=true]', 'no async functions; the loop is synchronous'),
  inHotCode(
    'NewExpression',
    'no `new` but in constructors, create*/make* functions and at module level',
  ),
  inHotCode('ForOfStatement', 'no for-of; count with an index'),
  inHotCode('ForInStatement', 'no for-in; count with an index'),
  inHotCode(
    ':matches(ArrowFunctionExpression, FunctionExpression, FunctionDeclaration)',
    'no closures; move the function to module level',
  ),
  anywhere('Literal[bigint]', 'no BigInt; use two int32 words'),
  anywhere('Identifier[name=/^Big(Int|Uint)/]', 'no BigInt; use two int32 words'),
  anywhere(
    'MemberExpression[property.name=/^[gs]etBig(Int|Uint)64$/]',
    'no BigInt; use two int32 words',
  ),
  anywhere('Identifier[name="arguments"]', 'no `arguments`'),
];

export default defineConfig(
  { ignores: ['build/', 'dist/', 'coverage/'] },
  {
    files: HOT_FILES,
    ignores: SLOW_FILES,
    languageOptions: { parser },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: { 'no-restricted-syntax': ['error', ...hotPathBans] },
  },
);
