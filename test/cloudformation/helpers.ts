/** Templates in, lines of text out: what the tests of this directory compare. */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  loadTemplateText,
  type LoadedTemplate,
  type TemplateOptions,
} from '../../src/cloudformation/load-template.ts';
import type { GivenValue } from '../../src/cloudformation/parameters.ts';
import { ruleText } from '../../src/policy/rules.ts';
import type { Problem } from '../../src/source/problem.ts';

export interface Loaded {
  readonly template: LoadedTemplate | undefined;
  /** `name < tcp 80 from 0.0.0.0/0` for ingress, `name > …` for egress, in order. */
  readonly rules: readonly string[];
  /** `line:column severity code: message`. */
  readonly problems: readonly string[];
  readonly raw: readonly Problem[];
}

export const OPTIONS: TemplateOptions = {
  stackName: 'st',
  parameters: new Map(),
  resolveGroup: () => undefined,
};

/** Values of parameters, as if each stood at line 1 of a file of their own. */
export function give(values: Readonly<Record<string, string>>): Map<string, GivenValue> {
  return new Map(
    Object.entries(values).map(([name, text]) => [
      name,
      { text, at: { file: 'given', line: 1, column: 1 }, path: name },
    ]),
  );
}

export function load(text: string, options: Partial<TemplateOptions> = {}): Loaded {
  const raw: Problem[] = [];
  const template = loadTemplateText('t.yaml', text, { ...OPTIONS, ...options }, raw);
  return { template, rules: listRules(template), problems: raw.map(shortProblem), raw };
}

export function shortProblem({ at, severity, code, message }: Problem): string {
  return `${at?.line ?? 0}:${at?.column ?? 0} ${severity} ${code}: ${message}`;
}

export function listRules(template: LoadedTemplate | undefined): string[] {
  if (template === undefined) return [];
  const names = {
    groups: new Map(template.groups.map((group) => [group.id, group])),
    prefixLists: new Map(template.prefixLists.map((list) => [list.id, list])),
  };
  return template.groups.flatMap((group) => [
    ...group.ingress.map((rule) => `${group.name} < ${ruleText(rule, names)}`),
    ...group.egress.map((rule) => `${group.name} > ${ruleText(rule, names)}`),
  ]);
}

/** What a group without egress rules gets. */
export function defaultEgress(name: string): string[] {
  return [`${name} > all to 0.0.0.0/0`, `${name} > all to ::/0`];
}

/** The repository: the nearest directory above with the example templates. */
export function findRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'config/templates'))) {
    if (directory === dirname(directory)) throw new Error('no config/templates above the test');
    directory = dirname(directory);
  }
  return dirname(dirname(realpathSync(join(directory, 'config/templates'))));
}

export function readExample(name: string): Buffer {
  return readFileSync(join(findRoot(), 'config/templates', name));
}
