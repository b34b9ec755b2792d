/** Builds the graph of imports between files of src/, and finds circles in it and files that nothing reaches. */
import { posix } from 'node:path';
import { importsOf } from './import-rules.ts';

/** Files by path, each with those it names, sorted. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>;

/** How a source names a file that it starts as a program or as a thread: as it is compiled, where imports say `.ts`. */
const STARTED = /new URL\(\s*'(\.[^']+)\.js',\s*import\.meta\.url\s*\)/g;

/** What each source imports, types too; not the threads it starts. @param sources texts by path */
export function importGraph(sources: ReadonlyMap<string, string>): ImportGraph {
  return graphOf(sources, (path, text) => importsOf(path, text).map(({ specifier }) => specifier));
}

/** What each source imports or starts. @param sources texts by path */
export function useGraph(sources: ReadonlyMap<string, string>): ImportGraph {
  return graphOf(sources, (path, text) => [
    ...importsOf(path, text).map(({ specifier }) => specifier),
    ...[...text.matchAll(STARTED)].map(([, started]) => `${started}.ts`),
  ]);
}

function graphOf(
  sources: ReadonlyMap<string, string>,
  namedBy: (path: string, text: string) => readonly string[],
): ImportGraph {
  return new Map(
    [...sources].map(([path, text]) => {
      const named = namedBy(path, text)
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => posix.join(posix.dirname(path), specifier))
        .filter((target) => sources.has(target));
      return [path, [...new Set(named)].sort()];
    }),
  );
}

/** All files that `from` lead to, with themselves. */
export function reachedFrom(graph: ImportGraph, from: Iterable<string>): ReadonlySet<string> {
  const reached = new Set<string>();
  const open = [...from];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    open.push(...(graph.get(path) ?? []));
  }
  return reached;
}

/** A shortest way from each file back to itself, one for files of the same circle: `a → b → a`. */
export function circlesOf(graph: ImportGraph): string[][] {
  const circles: string[][] = [];
  const told = new Set<string>();
  for (const path of [...graph.keys()].sort()) {
    if (told.has(path)) continue;
    const circle = circleAt(graph, path);
    if (circle === undefined) continue;
    circles.push(circle);
    for (const member of circle) told.add(member);
  }
  return circles;
}

function circleAt(graph: ImportGraph, path: string): string[] | undefined {
  const cameFrom = new Map<string, string>();
  const open = [path];
  for (let at = open.shift(); at !== undefined; at = open.shift()) {
    for (const next of graph.get(at) ?? []) {
      if (next === path) {
        const way = [path];
        for (let step = at; step !== path; step = cameFrom.get(step)!) way.unshift(step);
        return [path, ...way];
      }
      if (cameFrom.has(next)) continue;
      cameFrom.set(next, at);
      open.push(next);
    }
  }
  return undefined;
}
