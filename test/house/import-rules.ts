/** Defines who may import whom. Plain functions over source texts, so that tests can try the rules on made-up ones. */
import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import ts from 'typescript';

/** Rooms that know nothing of a daemon that runs. */
const FOUNDATION = ['wire', 'addr', 'source', 'policy', 'conntrack', 'engine', 'ports'];
/** Rooms that read a configuration and say something of it. */
const OFFLINE = ['cloudformation', 'config', 'lint', 'explain'];
/** Rooms that say what a daemon does. */
const VIEWS = ['telemetry', 'flow-logs', 'metrics', 'queries', 'control-socket'];

/** Folder of src/ → the folders it may import besides itself. `main` is src/main.ts. */
const MAY_IMPORT: ReadonlyMap<string, readonly string[]> = new Map([
  ['wire', []],
  ['addr', []],
  ['source', []],
  ['store', []],
  ['policy', ['addr', 'source']],
  ['cloudformation', ['policy', 'addr', 'source']],
  ['conntrack', ['wire']],
  ['offload', ['conntrack', 'ports', 'wire']],
  ['engine', ['conntrack', 'offload', 'policy', 'wire']],
  ['ports', ['wire']],
  ['dataplane', ['engine', 'offload', 'ports', 'conntrack', 'policy', 'wire']],
  ['config', ['cloudformation', 'policy', 'ports', 'addr', 'source']],
  ['estate', ['store', 'config', 'ports', 'policy', 'addr', 'source']],
  ['hosts', ['estate', 'store', 'policy', 'addr', 'source']],
  ['lint', ['config', 'policy', 'addr', 'source']],
  ['inputs', ['cloudformation', 'config', 'lint', 'policy', 'addr', 'source']],
  ['outputs', ['config', 'policy', 'addr', 'source']],
  ['explain', ['config', 'engine', 'conntrack', 'policy', 'addr', 'source']],
  ['telemetry', ['config', 'dataplane', 'engine', 'conntrack', 'policy', 'addr']],
  ['flow-logs', ['telemetry', 'config', 'engine', 'conntrack', 'addr', 'source']],
  ['metrics', ['flow-logs', 'telemetry', 'config', 'engine', 'conntrack', 'policy']],
  ['queries', ['telemetry', 'explain', 'config', ...FOUNDATION]],
  ['control-socket', ['queries', 'explain', 'config', 'source']],
  ['service', ['config', 'dataplane', 'store', ...FOUNDATION]],
  ['doctor', ['config', 'dataplane', 'service', 'run', 'doors', 'control-socket', ...FOUNDATION]],
  [
    'daemon',
    [
      ...['dataplane', 'config', 'estate', 'explain', ...VIEWS, 'service', 'doctor', 'store'],
      ...FOUNDATION,
    ],
  ],
  ['lab', ['config', 'ports', 'api', 'cloudformation', 'addr', 'source']],
  ['run', ['control-socket', 'queries', 'config', 'lab', 'addr', 'source']],
  ['recorded', ['config', 'wire', 'addr', 'source']],
  [
    'replay',
    [
      ...['recorded', 'config', 'explain', 'engine', 'conntrack', 'policy', 'wire', 'addr'],
      'source',
    ],
  ],
  ['learn', ['recorded', 'engine', 'policy', 'wire', 'addr', 'source']],
  ['reach', ['inputs', 'outputs', 'config', 'explain', 'lab', 'policy', 'addr', 'source']],
  [
    'console',
    [
      ...['control-socket', 'queries', 'explain', 'config', 'lint', 'outputs', 'reach'],
      ...['policy', 'addr', 'source'],
    ],
  ],
  [
    'api',
    [
      ...['service', 'estate', 'store', 'cloudformation', 'explain', 'metrics'],
      ...['policy', 'addr', 'source'],
    ],
  ],
  [
    'api-console',
    [
      ...['api', 'console', 'hosts', 'estate', 'store', 'config', 'explain', 'queries'],
      ...['policy', 'addr', 'source'],
    ],
  ],
  // The API's program: it starts the console, which knows the API.
  ['secgroup-api', ['api', 'api-console', 'console', 'service', 'metrics']],
  [
    'cli',
    [
      ...OFFLINE,
      ...['inputs', 'outputs', 'console'],
      ...['queries', 'control-socket', 'service', 'doctor', 'lab', 'reach', 'run', 'api', 'doors'],
      ...['recorded', 'replay', 'learn'],
      'hosts',
      ...FOUNDATION,
    ],
  ],
  [
    'doors',
    ['control-socket', 'service', 'queries', 'config', 'ports', 'policy', 'addr', 'source'],
  ],
  ['metadata', ['control-socket', 'queries', 'service', 'api', 'config', 'ports', 'metrics']],
  ['main', ['dataplane', 'daemon']],
  // The page runs in a browser. What it knows of the rest are the types of its server's answers (PAGE_CONTRACT).
  ['console/page', ['addr']],
]);

/** The page's sources: they are bundled, and no program imports them. */
const PAGE = 'src/console/page/';
/** It lies among what it starts, and is above it. */
const API_PROGRAM = 'src/api/secgroup-api.ts';
/** What the page may import of its server. */
const PAGE_CONTRACT = 'src/console/contract.ts';
/** Packages of the page. They are in its bundle, so that nobody installs them: they are development dependencies. */
export const PAGE_PACKAGES: readonly string[] = ['preact', 'd3-force', 'uplot'];

/** Packages that one place alone may import. */
const ONLY_IMPORTER: ReadonlyMap<string, { readonly pattern: RegExp; readonly where: string }> =
  new Map([
    ['ipaddr.js', { pattern: /^src\/addr\//, where: 'src/addr/' }],
    ['prom-client', { pattern: /^src\/metrics\//, where: 'src/metrics/' }],
    ['libsql', { pattern: /^src\/store\/sqlite\.ts$/, where: 'src/store/sqlite.ts' }],
    ['@grpc/grpc-js', { pattern: /^src\/store\/etcd\/grpc\.ts$/, where: 'src/store/etcd/grpc.ts' }],
    ['protobufjs', { pattern: /^src\/store\/etcd\/wire\.ts$/, where: 'src/store/etcd/wire.ts' }],
    ['hyparquet', { pattern: /^src\/recorded\/parquet\.ts$/, where: 'src/recorded/parquet.ts' }],
    ['cap', { pattern: /^src\/ports\/pcap\.ts$/, where: 'src/ports/pcap.ts' }],
  ]);

export interface Import {
  /** 1-based. */
  readonly line: number;
  readonly specifier: string;
}

/** Every module a source names: import, export … from, import(), import types, require(), new Worker(). */
export function importsOf(path: string, text: string): Import[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  const found: Import[] = [];
  function visit(node: ts.Node): void {
    const specifier = specifierOf(node);
    if (specifier !== undefined) {
      found.push({
        line: file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1,
        specifier,
      });
    }
    ts.forEachChild(node, visit);
  }
  visit(file);
  return found;
}

function specifierOf(node: ts.Node): string | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node))
    return textOf(node.moduleSpecifier);
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
    return textOf(node.argument.literal);
  if (ts.isCallExpression(node)) {
    const { expression } = node;
    const isImport = expression.kind === ts.SyntaxKind.ImportKeyword;
    const isRequire = ts.isIdentifier(expression) && expression.text === 'require';
    return isImport || isRequire ? textOf(node.arguments[0]) : undefined;
  }
  if (
    ts.isNewExpression(node) &&
    ts.isIdentifier(node.expression) &&
    node.expression.text === 'Worker'
  ) {
    // A worker's file becomes part of this process: as much a dependency as an import is.
    const url = node.arguments?.[0];
    return url !== undefined && ts.isNewExpression(url) ? textOf(url.arguments?.[0]) : textOf(url);
  }
  return undefined;
}

function textOf(node: ts.Node | undefined): string | undefined {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined;
}

/**
 * Breaches of the rules, one line each: `file:line: what`.
 * @param sources src/** texts by path
 * @param packages names that package.json has as dependencies (not as development ones)
 */
export function importBreaches(
  sources: ReadonlyMap<string, string>,
  packages: ReadonlySet<string>,
): string[] {
  const breaches: string[] = [];
  for (const [path, text] of sources) {
    for (const { line, specifier } of importsOf(path, text)) {
      const breach = specifier.startsWith('.')
        ? localBreach(path, specifier)
        : packageBreach(path, specifier, packages);
      if (breach !== undefined) breaches.push(`${path}:${line}: ${breach}`);
    }
  }
  return breaches;
}

function localBreach(path: string, specifier: string): string | undefined {
  const target = posix.join(posix.dirname(path), specifier);
  if (!target.startsWith('src/')) return `'${specifier}' is outside src/`;
  const from = folderOf(path);
  const to = folderOf(target);
  if (from === to || (from === 'console/page' && target === PAGE_CONTRACT)) return undefined;
  const allowed = MAY_IMPORT.get(from);
  if (allowed === undefined) return `src/${from} is not in the table of import directions`;
  if (allowed.includes(to)) return undefined;
  const may = allowed.length === 0 ? 'nothing of ours' : allowed.join(', ');
  return `${from} must not import ${to} ('${specifier}'); it may import ${may}`;
}

function packageBreach(
  path: string,
  specifier: string,
  packages: ReadonlySet<string>,
): string | undefined {
  const isPage = path.startsWith(PAGE);
  if (isBuiltin(specifier)) {
    if (isPage) return `'${specifier}' is not in a browser`;
    return specifier.startsWith('node:')
      ? undefined
      : `write 'node:${specifier}' for the built-in '${specifier}'`;
  }
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  if (isPage)
    return PAGE_PACKAGES.includes(name) ? undefined : `'${name}' is not a package of the page`;
  if (!packages.has(name)) return `'${name}' is not a dependency in package.json`;
  const only = ONLY_IMPORTER.get(name);
  if (only !== undefined && !only.pattern.test(path))
    return `only ${only.where} may import '${name}'`;
  return undefined;
}

/** `src/wire/ipv4.ts` → `wire`; `src/main.ts` → `main`; files of the page → `console/page`; the API's program. */
function folderOf(path: string): string {
  if (path.startsWith(PAGE)) return 'console/page';
  if (path === API_PROGRAM) return 'secgroup-api';
  const parts = path.split('/');
  return parts.length > 2 ? parts[1] : parts[1].replace(/\.[jt]s$/, '');
}
