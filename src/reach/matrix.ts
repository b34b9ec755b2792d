/**
 * Reads a matrix: every ordered pair of its ends, times its services. A pair that is not listed as allowed must be
 * denied.
 */
import { fail, readItems, readText, type Reader } from '../config/config-reader.ts';
import type { Position } from '../source/problem.ts';
import { didYouMean, listWords } from '../source/suggest.ts';
import { get, type Node } from '../source/yaml.ts';
import { readFamily, readTargets, type Context } from './context.ts';
import type { Target } from './ends.ts';
import { BOTH_OUTSIDE } from './expand.ts';
import { matchServices, readServices, requireService } from './services.ts';
import type { Block, Check, NamedService } from './suite.ts';

const ALLOWED_SHAPE = 'write it as FROM>TO:PORT, FROM>TO:udp/PORT, FROM>TO:icmp/echo or FROM>TO:*';

/** Reads one matrix into a block; none if the node is no matrix. Throws OverBudget. */
export function readMatrix(context: Context, node: Node): readonly Block[] {
  const { reader } = context;
  if (node.kind !== 'mapping') return [];
  const ends = readTargets(context, get(node, 'between'));
  const services = readServices(reader, node);
  requireService(reader, node, 'matrix');
  const between = get(node, 'between');
  if (between?.kind === 'list' && between.items.length < 2)
    fail(reader, between, 'nothing-to-test', 'a matrix takes two ends or more');
  const written = new Set(
    readItems(reader, between).flatMap((item) => readText(reader, item) ?? []),
  );
  const allowed = readAllowed(reader, get(node, 'allowed'), [...written], services);
  const checks = expandPairs(context, node, { ends, services, allowed });
  const labels = ends.map(({ label }) => label);
  const name = readText(reader, get(node, 'name')) ?? labels.join(', ');
  return [{ kind: 'matrix', name, at: node.at, ends: labels, services, checks }];
}

interface Cells {
  readonly ends: readonly Target[];
  readonly services: readonly NamedService[];
  /** The cells that must be allowed, and where each is written. */
  readonly allowed: ReadonlyMap<string, Position>;
}

function expandPairs(context: Context, node: Node, cells: Cells): readonly Check[] {
  const { expander, reader } = context;
  const family = readFamily(get(node, 'family'));
  const name = readText(reader, get(node, 'name'));
  const checks: Check[] = [];
  for (const from of cells.ends) {
    for (const to of cells.ends) {
      expander.countPair();
      if (from.label === to.label) continue;
      for (const service of cells.services) {
        const allowedAt = cells.allowed.get(cellKey(from.label, to.label, service));
        const expected = allowedAt === undefined ? 'denied' : 'allowed';
        const at = allowedAt ?? node.at;
        const head = { name, at, from: from.label, to: to.label, service, expected } as const;
        const check = expander.expand(head, from, to, family);
        // Two ends outside are in one matrix because of the others.
        if (check.untestable !== BOTH_OUTSIDE) checks.push(check);
      }
    }
  }
  return checks;
}

function cellKey(from: string, to: string, { key }: NamedService): string {
  return `${from}>${to}:${key}`;
}

function readAllowed(
  reader: Reader,
  node: Node | undefined,
  labels: readonly string[],
  services: readonly NamedService[],
): ReadonlyMap<string, Position> {
  const allowed = new Map<string, Position>();
  for (const item of readItems(reader, node)) {
    const text = readText(reader, item);
    if (text === undefined) continue;
    const cell = readCell(reader, item, text, labels);
    if (cell === undefined) continue;
    const meant = matchServices(cell.service, services);
    // If no service could be read, that has been reported.
    if (services.length === 0) continue;
    if (meant.length === 0) {
      const known = listWords(services.map(({ key }) => key));
      const message = `the matrix does not test '${cell.service}'`;
      fail(reader, item, 'unknown-service', message, `it tests: ${known}; or write * for all`);
    } else if (meant.length > 1 && cell.service !== '*') {
      const message = `'${cell.service}' may be ${meant.map(({ key }) => key).join(' or ')}`;
      fail(reader, item, 'ambiguous-service', message, 'write the one you mean');
    } else {
      for (const service of meant) allowed.set(cellKey(cell.from, cell.to, service), item.at);
    }
  }
  return allowed;
}

interface Cell {
  readonly from: string;
  readonly to: string;
  readonly service: string;
}

/** Reads `web>app:443`. The ends are those of the matrix, and may contain colons. */
function readCell(
  reader: Reader,
  node: Node,
  text: string,
  labels: readonly string[],
): Cell | undefined {
  const [from = '', rest, more] = text.split('>').map((part) => part.trim());
  const colon = rest?.lastIndexOf(':') ?? -1;
  if (rest === undefined || more !== undefined || colon < 1) {
    const message = `'${text}' is no cell of a matrix`;
    return fail(reader, node, 'bad-cell', message, ALLOWED_SHAPE);
  }
  const to = rest.slice(0, colon).trim();
  const unknown = [from, to].find((label) => !labels.includes(label));
  if (unknown !== undefined) {
    const message = `'${unknown}' is not in this matrix${didYouMean(unknown, labels)}`;
    return fail(reader, node, 'unknown-end', message, `between: ${listWords(labels)}`);
  }
  if (from === to) {
    const message = `'${text}' goes from ${from} to itself, which no matrix tests`;
    return fail(reader, node, 'bad-cell', message, 'use expect: for what goes on inside a group');
  }
  return { from, to, service: rest.slice(colon + 1).trim() };
}
