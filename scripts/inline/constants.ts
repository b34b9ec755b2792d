/**
 * Puts numbers where compiled code names constants of other modules.
 *
 * V8 keeps what a module exports in cells: each use of an imported constant is a load, a check that its module
 * has run and a check that it is a small integer, also in optimised code. The packet path names some sixty in a
 * packet's way; without them it takes about half the time. Constants of a module's own that it does not export
 * cost nothing, and are left alone.
 */
import ts from 'typescript';

/** The numbers that a module exports as constants, by name. */
export type Constants = ReadonlyMap<string, number>;

/** Which of a module's exports are numbers that never change: those it declares with `export const`. */
export function constantsOf(code: string, exported: Readonly<Record<string, unknown>>): Constants {
  const constants = new Map<string, number>();
  for (const statement of parse(code).statements) {
    if (!ts.isVariableStatement(statement) || !isExportedConst(statement)) continue;
    for (const { name } of statement.declarationList.declarations) {
      if (!ts.isIdentifier(name)) continue;
      const value = exported[name.text];
      if (typeof value === 'number' && Number.isFinite(value)) constants.set(name.text, value);
    }
  }
  return constants;
}

/**
 * The code with the constants it imports, and its own exported ones, replaced by their values.
 * @param own constants this module exports
 * @param imported constants of the module an import names, undefined for one that is not looked at
 */
export function inlineConstants(
  code: string,
  own: Constants,
  imported: (specifier: string) => Constants | undefined,
): string {
  const file = parse(code);
  const values = new Map(own);
  for (const statement of file.statements) {
    if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier))
      continue;
    const constants = imported(statement.moduleSpecifier.text);
    const bindings = statement.importClause?.namedBindings;
    if (constants === undefined || bindings === undefined || !ts.isNamedImports(bindings)) continue;
    for (const { name, propertyName } of bindings.elements) {
      const value = constants.get((propertyName ?? name).text);
      if (value !== undefined) values.set(name.text, value);
    }
  }
  for (const name of shadowedNames(file)) values.delete(name);
  const edits: { readonly start: number; readonly end: number; readonly text: string }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return;
    if (ts.isIdentifier(node) && isUse(node)) {
      const value = values.get(node.text);
      if (value !== undefined)
        edits.push({ start: node.getStart(file), end: node.getEnd(), text: textOf(value) });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  let text = code;
  for (const { start, end, text: value } of edits.reverse())
    text = text.slice(0, start) + value + text.slice(end);
  return text;
}

export function parse(code: string): ts.SourceFile {
  return ts.createSourceFile('module.js', code, ts.ScriptTarget.ES2022, true, ts.ScriptKind.JS);
}

function isExportedConst(statement: ts.VariableStatement): boolean {
  return (statement.declarationList.flags & ts.NodeFlags.Const) !== 0 && isExported(statement);
}

export function isExported({ modifiers }: ts.VariableStatement | ts.FunctionDeclaration): boolean {
  return modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ?? false;
}

/** Whether the identifier stands for a value here: it is neither a declaration nor a property's name. */
function isUse(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  if (ts.isVariableDeclaration(parent)) return parent.initializer === node;
  if (ts.isPropertyDeclaration(parent)) return parent.initializer === node;
  if (ts.isParameter(parent)) return parent.initializer === node;
  return !(
    ts.isShorthandPropertyAssignment(parent) ||
    ts.isBindingElement(parent) ||
    ts.isMethodDeclaration(parent) ||
    ts.isGetAccessor(parent) ||
    ts.isSetAccessor(parent) ||
    ts.isFunctionDeclaration(parent) ||
    ts.isClassDeclaration(parent) ||
    ts.isLabeledStatement(parent)
  );
}

/** Names that anything below the module's top declares: where they are used, they may mean that. */
export function shadowedNames(file: ts.SourceFile): Set<string> {
  const names = new Set<string>();
  const visit = (node: ts.Node): void => {
    const isTop = ts.isVariableDeclaration(node) && node.parent.parent.parent === file;
    if (
      !isTop &&
      (ts.isVariableDeclaration(node) || ts.isParameter(node) || ts.isBindingElement(node)) &&
      ts.isIdentifier(node.name)
    )
      names.add(node.name.text);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return names;
}

function textOf(value: number): string {
  return value < 0 || Object.is(value, -0) ? `(${value})` : String(value);
}
