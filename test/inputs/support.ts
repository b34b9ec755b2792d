/** Loads inputs and asks them questions, for the tests of all inputs. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { formatAddress, formatCidr, type Family } from '../../src/addr/address.ts';
import type { Config } from '../../src/config/config.ts';
import type { FamilyAnswer } from '../../src/explain/explanation.ts';
import { answerQuestion } from '../../src/explain/question-ends.ts';
import { parseQuestion } from '../../src/explain/question.ts';
import { loadInput, type InputOptions, type LoadedInput } from '../../src/inputs/load-input.ts';
import type { PolicyModel } from '../../src/policy/model.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { repositoryRoot } from '../support/repository.ts';

export const PLAN = join(repositoryRoot(), 'test/inputs/plans/tiers.json');

/** Loads a file or folder that must have no errors. */
export function load(
  file: string,
  options: Partial<InputOptions> = {},
): LoadedInput & { readonly config: Config } {
  const loaded = loadInput(file, { netnsDirectory: '/run/netns', ...options });
  assert.ok(loaded.config !== undefined, JSON.stringify(loaded.problems));
  return { ...loaded, config: loaded.config };
}

/** Writes files into a folder of the test. */
export function writeFolder(t: TestContext, files: Readonly<Record<string, unknown>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-inputs-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, value] of Object.entries(files))
    writeFileSync(
      join(folder, name),
      typeof value === 'string' ? value : JSON.stringify(value, undefined, 2),
    );
  return folder;
}

/** The verdicts on all pairs that a question stands for, each once. */
export function verdictOf(
  config: Config,
  text: string,
  sourcePort?: number,
  family: Family = 4,
): string {
  const verdicts = answersOf(config, text, sourcePort, family).map(({ verdict }) => verdict);
  return [...new Set(verdicts)].sort().join(' ');
}

/** What subnets say of it. */
export function subnetsOf(config: Config, text: string): readonly string[] {
  const answers = answersOf(config, text).flatMap(({ subnets }) => subnets ?? []);
  return answers.map(({ check, why }) => `${check}: ${why}`);
}

function answersOf(
  config: Config,
  text: string,
  sourcePort?: number,
  wanted: Family = 4,
): readonly FamilyAnswer[] {
  const question = parseQuestion(text);
  assert.ok(question.ok, text);
  const asked = sourcePort === undefined ? question.value : { ...question.value, sourcePort };
  const answers = answerQuestion(config, asked);
  assert.ok(answers.ok, answers.ok ? '' : answers.message);
  return answers.value.pairs.flatMap(({ explanation }) =>
    explanation.answers.filter(({ family }) => family === wanted),
  );
}

/** The model as lines that can be compared: rules by group, groups by interface, entries by list. */
export function describeModel(model: PolicyModel): readonly string[] {
  const groups = [...model.groups.values()].flatMap(
    ({ name, ingress, egress, audited = [], possible = [], gaps }) => [
      ...[...ingress, ...egress].map((rule) => `${name}: ${ruleText(rule, model)}`),
      ...audited.map((rule) => `${name}: audit ${ruleText(rule, model)}`),
      ...possible.map((rule) => `${name}: perhaps ${ruleText(rule, model)}`),
      ...(gaps === undefined ? [] : [`${name}: gaps ${Object.keys(gaps).join(' ')}`]),
    ],
  );
  const nameOf = (id: string): string => model.groups.get(id)?.name ?? id;
  const interfaces = [...model.interfaces.values()].map(({ name, groupIds, doubt, addresses }) =>
    [
      `${name}: ${groupIds.map(nameOf).sort().join(' ')}`,
      ...(doubt === undefined || doubt.groups.size === 0
        ? []
        : [`perhaps ${[...doubt.groups.keys()].map(nameOf).sort().join(' ')}`]),
      ...(doubt === undefined || doubt.gaps.length === 0 ? [] : ['or others']),
      doubt?.within === undefined
        ? `at ${addresses.map(formatAddress).join(' ')}`
        : `in ${doubt.within.map(formatCidr).join(' ')}`,
    ].join(', '),
  );
  const lists = [...model.prefixLists.values()].map(
    ({ name, entries, gaps }) =>
      `${name}: ${entries
        .map(({ cidr }) => formatCidr(cidr))
        .sort()
        .join(' ')}${gaps === undefined ? '' : ' and more'}`,
  );
  return [...groups, ...interfaces, ...lists].sort();
}
