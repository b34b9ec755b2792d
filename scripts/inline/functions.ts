/**
 * Lets compiled code call functions by constants.
 *
 * V8 keeps what a module declares or imports as a function in a place that might be written again: where it is
 * called, also in optimised code, it is loaded, checked to be there if it is imported, and compared with the function
 * that was expected. A packet passes some fifty such calls. What a module's own constant holds is known
 * for good and costs nothing, so each function called gets one: `const decode$ = decode`.
 */
import ts from 'typescript';
import { isExported, parse, shadowedNames } from './constants.ts';

/** What is added to a function's name for its constant: no name of ours has it. */
const SUFFIX = '$';
/** Such a constant in a bundle, where a second one of the name has got a number. */
const IS_BOUND = /\$\d*$/;

/** The functions that a module exports under the names it declares them by. */
export function functionsOf(code: string): ReadonlySet<string> {
  return new Set(
    parse(code).statements.flatMap((statement) =>
      ts.isFunctionDeclaration(statement) && isExported(statement) && statement.name !== undefined
        ? [statement.name.text]
        : [],
    ),
  );
}

/**
 * The code with a constant for each function of its own or imported that it calls. No line moves.
 * @param imported functions of the module an import names, undefined for one that is not looked at
 */
export function bindFunctions(
  code: string,
  imported: (specifier: string) => ReadonlySet<string> | undefined,
): string {
  const file = parse(code);
  const names = new Set<string>();
  let top = 0;
  for (const statement of file.statements) {
    if (ts.isFunctionDeclaration(statement) && statement.name !== undefined)
      names.add(statement.name.text);
    if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier))
      continue;
    top = statement.getEnd();
    const functions = imported(statement.moduleSpecifier.text);
    const bindings = statement.importClause?.namedBindings;
    if (functions === undefined || bindings === undefined || !ts.isNamedImports(bindings)) continue;
    for (const { name, propertyName } of bindings.elements)
      if (functions.has((propertyName ?? name).text)) names.add(name.text);
  }
  for (const name of shadowedNames(file)) names.delete(name);
  const calls: ts.Identifier[] = [];
  const visit = (node: ts.Node): void => {
    if (
      ts.isCallExpression(node) &&
      ts.isIdentifier(node.expression) &&
      names.has(node.expression.text)
    )
      calls.push(node.expression);
    ts.forEachChild(node, visit);
  };
  visit(file);
  if (calls.length === 0) return code;
  let text = code;
  for (const call of [...calls].sort((a, b) => b.getEnd() - a.getEnd()))
    text = text.slice(0, call.getEnd()) + SUFFIX + text.slice(call.getEnd());
  const called = [...new Set(calls.map((call) => call.text))].sort();
  const constants = called.map((name) => `${name}${SUFFIX} = ${name}`).join(', ');
  return `${text.slice(0, top)} const ${constants};${text.slice(top)}`;
}

/**
 * The code of a bundle with `const` for the constants of bindFunctions, and for numbers that nothing assigns to:
 * esbuild makes `var` of whatever is at the top of a module, and then none of it is known for good any more.
 */
export function restoreConstants(code: string): string {
  const file = parse(code);
  const assigned = assignedNames(file);
  const keywords: number[] = [];
  for (const statement of file.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    const { declarationList } = statement;
    const isVar = (declarationList.flags & ts.NodeFlags.BlockScoped) === 0;
    const areConstants = declarationList.declarations.every(
      ({ name, initializer }) =>
        ts.isIdentifier(name) &&
        initializer !== undefined &&
        !assigned.has(name.text) &&
        (isNumber(initializer) || (ts.isIdentifier(initializer) && IS_BOUND.test(name.text))),
    );
    if (isVar && areConstants) keywords.push(declarationList.getStart(file));
  }
  let text = code;
  for (const at of keywords.reverse()) text = `${text.slice(0, at)}const${text.slice(at + 3)}`;
  return text;
}

function isNumber(node: ts.Expression): boolean {
  if (ts.isNumericLiteral(node)) return true;
  if (ts.isParenthesizedExpression(node)) return isNumber(node.expression);
  if (ts.isPrefixUnaryExpression(node)) return isNumber(node.operand);
  return ts.isBinaryExpression(node) && isNumber(node.left) && isNumber(node.right);
}

/** Names that anything in the code assigns to after their declaration, whatever they mean there. */
function assignedNames(file: ts.SourceFile): ReadonlySet<string> {
  const assigned = new Set<string>();
  const declared = new Set<string>();
  const noteNames = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) assigned.add(node.text);
    ts.forEachChild(node, noteNames);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isBinaryExpression(node) && isAssignment(node.operatorToken.kind)) noteNames(node.left);
    else if (ts.isPrefixUnaryExpression(node) && isStep(node.operator)) noteNames(node.operand);
    else if (ts.isPostfixUnaryExpression(node)) noteNames(node.operand);
    else if (ts.isForInStatement(node) || ts.isForOfStatement(node)) noteNames(node.initializer);
    else if (ts.isVariableDeclaration(node) && node.parent.parent.parent === file) {
      const name = node.name.getText(file);
      if (declared.has(name)) assigned.add(name);
      declared.add(name);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return assigned;
}

function isAssignment(kind: ts.SyntaxKind): boolean {
  return kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
}

function isStep(operator: ts.SyntaxKind): boolean {
  return operator === ts.SyntaxKind.PlusPlusToken || operator === ts.SyntaxKind.MinusMinusToken;
}
