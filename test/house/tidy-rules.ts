/** Defines the rules of form. Plain functions over names and texts, so that tests can try them on made-up ones. */
import ts from 'typescript';

export const FILE_LINES_MAX = 500;
export const FUNCTION_LINES_MAX = 70;
export const COMMENT_COLUMNS_MAX = 120;

const TOP_LEVEL_FOLDERS = ['.ci', 'config', 'docs', 'native', 'scripts', 'src', 'systemd', 'test'];
const TOP_LEVEL_DOCUMENTS = [
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'LICENSE',
  'README.md',
];

// Written in parts, or this file would break the rules it holds.
const MARKERS = ['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'];
const MACHINE_FOLDERS = ['work', 'root', 'home'];

/** Folders and documents at the top that are missing or have no business there. */
export function layoutBreaches(paths: readonly string[]): string[] {
  const folders = new Set(
    paths.filter((path) => path.includes('/')).map((path) => path.slice(0, path.indexOf('/'))),
  );
  const missing = TOP_LEVEL_FOLDERS.filter((folder) => !folders.has(folder));
  const extra = [...folders].filter(
    (folder) => !folder.startsWith('.') && !TOP_LEVEL_FOLDERS.includes(folder),
  );
  return [
    ...missing.map((folder) => `${folder}/ is missing`),
    ...extra.map((folder) => `${folder}/ is not in the plan of the house`),
    ...TOP_LEVEL_DOCUMENTS.filter((name) => !paths.includes(name)).map(
      (name) => `${name} is missing`,
    ),
  ];
}

/** Names that are not kebab-case. Dotfiles and the capitals of README.md and its kind are left alone. */
export function nameBreaches(paths: readonly string[]): string[] {
  const kebab = /^[a-z0-9]+(-[a-z0-9]+)*@?(\.[a-z0-9]+(-[a-z0-9]+)*)*$/;
  const document = /^[A-Z]+(\.md)?$/;
  return paths.filter((path) =>
    path
      .split('/')
      .some((part) => !part.startsWith('.') && !kebab.test(part) && !document.test(part)),
  );
}

/** Left-over markers, with their line. */
export function markerBreaches(path: string, text: string): string[] {
  return matchingLines(path, text, new RegExp(`\\b(${MARKERS.join('|')})\\b`));
}

/** Absolute paths that exist on the machine of whoever wrote them, with their line. */
export function machinePathBreaches(path: string, text: string): string[] {
  return matchingLines(path, text, new RegExp(`(?<![\\w.~*-])/(${MACHINE_FOLDERS.join('|')})/`));
}

function matchingLines(path: string, text: string, pattern: RegExp): string[] {
  return text.split('\n').flatMap((line, i) => {
    const match = pattern.exec(line);
    return match === null ? [] : [`${path}:${i + 1}: ${match[0]}`];
  });
}

export function fileLengthBreach(path: string, text: string): string | undefined {
  const lines = text.replace(/\n$/, '').split('\n').length;
  return lines > FILE_LINES_MAX
    ? `${path}: ${lines} lines, more than ${FILE_LINES_MAX}`
    : undefined;
}

/** Lines that hold only a comment and are too wide. Code is as wide as Prettier makes it. */
export function wideCommentBreaches(path: string, text: string): string[] {
  return text
    .split('\n')
    .flatMap((line, i) =>
      line.length > COMMENT_COLUMNS_MAX && /^\s*(\/\/|\/\*|\*)/.test(line)
        ? [
            `${path}:${i + 1}: a comment of ${line.length} columns, more than ${COMMENT_COLUMNS_MAX}`,
          ]
        : [],
    );
}

/** What only the syntax tree of a file of src/ shows: long functions, `any`, console, no docstring at the top. */
export function sourceBreaches(path: string, text: string): string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  const code = codeLines(file);
  const breaches: string[] = [];
  function tell(node: ts.Node, what: string): void {
    breaches.push(`${path}:${lineOf(file, node.getStart(file)) + 1}: ${what}`);
  }
  function visit(node: ts.Node): void {
    if (ts.isFunctionLike(node)) {
      const first = lineOf(file, node.getStart(file));
      const last = lineOf(file, node.end);
      const count = code.slice(first, last + 1).filter(Boolean).length;
      if (count > FUNCTION_LINES_MAX)
        tell(node, `a function of ${count} lines of code, more than ${FUNCTION_LINES_MAX}`);
    }
    if (node.kind === ts.SyntaxKind.AnyKeyword) tell(node, 'any');
    if (isGlobal(node, 'console') && !path.startsWith('src/cli/')) tell(node, 'console');
    ts.forEachChild(node, visit);
  }
  if (!text.replace(/^#!.*\n/, '').startsWith('/**'))
    breaches.push(`${path}:1: no docstring at the top`);
  visit(file);
  return breaches;
}

/** Whether a node is a name of the language, and not that of a member which happens to be called so. */
function isGlobal(node: ts.Node, name: string): boolean {
  if (!ts.isIdentifier(node) || node.text !== name) return false;
  const { parent } = node;
  if (ts.isBindingElement(parent)) return parent.propertyName !== node;
  const isMember =
    ts.isPropertySignature(parent) ||
    ts.isPropertyAssignment(parent) ||
    ts.isPropertyAccessExpression(parent);
  return !isMember || parent.name !== node;
}

function lineOf(file: ts.SourceFile, position: number): number {
  return file.getLineAndCharacterOfPosition(position).line;
}

/** By line: whether a token of the language is on it (so neither blank nor only comment). */
function codeLines(file: ts.SourceFile): boolean[] {
  const code = new Array<boolean>(file.getLineStarts().length).fill(false);
  function visit(node: ts.Node): void {
    const children = node
      .getChildren(file)
      .filter(
        (child) =>
          child.kind < ts.SyntaxKind.FirstJSDocNode || child.kind > ts.SyntaxKind.LastJSDocNode,
      );
    if (children.length === 0 && node.getWidth(file) > 0) {
      for (let line = lineOf(file, node.getStart(file)); line <= lineOf(file, node.end); line++)
        code[line] = true;
    }
    children.forEach(visit);
  }
  visit(file);
  return code;
}
