/** `sgctl rules FILE…`: the rules of configurations and templates, as the daemon would have them, without one. */
import { groupIdOf } from '../queries/rules-view.ts';
import { viewRule, type RuleView } from '../queries/rule-book.ts';
import type { PolicyModel, SecurityGroup } from '../policy/model.ts';
import { ruleText } from '../policy/rules.ts';
import type { Checked } from './check-load.ts';
import { printProblems } from './check-text.ts';
import { count } from '../source/count.ts';
import { tellWarnings } from './check.ts';
import { EXIT_FAILED, EXIT_OK, paint } from './output.ts';
import { FILE_COLUMNS, type RulesOptions } from './rules-options.ts';
import { formatList } from './table-options.ts';
import { placeText, printJson } from './traffic-text.ts';

/** A group that may have more rules than were understood, and why. */
interface Gap {
  readonly group: { readonly id: string; readonly name: string };
  readonly direction: 'ingress' | 'egress';
  readonly reasons: readonly string[];
}

/**
 * Prints them; errors of the files in their place.
 * @returns the exit code
 * @throws RequestError if a group that is asked for is in none of the files
 */
export function listFileRules(checked: Checked, options: RulesOptions): number {
  if (checked.files.some(({ ok }) => !ok)) {
    tellErrors(checked);
    return EXIT_FAILED;
  }
  for (const { file, counts } of checked.files) tellWarnings(file, counts.warnings);
  const groups = chooseGroups([...checked.models.values()], options.group ?? []);
  const wanted = options.direction ?? ['ingress', 'egress'];
  const rules = groups.flatMap(({ model, group }) =>
    [...group.ingress, ...group.egress]
      .filter(({ direction }) => wanted.includes(direction))
      .map((rule) => viewRule(rule, group, model)),
  );
  const gaps = groups
    .flatMap(({ group, model }) => gapsOf(group, model))
    .filter(({ direction }) => wanted.includes(direction));
  if (options.json === true) printJson({ rules, notUnderstood: gaps });
  else console.log([formatFileRules(rules, options), ...gaps.map(gapText)].join('\n'));
  return EXIT_OK;
}

interface Chosen {
  readonly model: PolicyModel;
  readonly group: SecurityGroup;
}

/** The groups that are asked for, of all files; all of them if none is. */
function chooseGroups(models: readonly PolicyModel[], names: readonly string[]): readonly Chosen[] {
  // What one template calls by its id, another may define.
  const groups = new Map(models.flatMap((model) => [...model.groups]));
  const all = models.flatMap((own) => {
    const model = { ...own, groups: new Map([...groups, ...own.groups]) };
    return [...own.groups.values()].map((group) => ({ model, group }));
  });
  if (names.length === 0) return all;
  const byId = new Map(all.map(({ group }) => [group.id, group]));
  // Two files may each have a group of the name.
  const ids = new Set(names.map((name) => groupIdOf(byId, name)));
  const found = new Set([...ids].map((id) => byId.get(id)!.name));
  return all.filter(
    ({ group }) => ids.has(group.id) || (found.has(group.name) && names.includes(group.name)),
  );
}

function gapsOf(
  { id, name, gaps, possible = [] }: SecurityGroup,
  model: PolicyModel,
): readonly Gap[] {
  return (['ingress', 'egress'] as const).flatMap((direction) => {
    const open = possible.filter((rule) => rule.direction === direction);
    const reasons = [
      ...(gaps?.[direction] ?? []),
      ...open.map((rule) => `perhaps '${ruleText(rule, model)}': ${rule.why}`),
    ];
    return reasons.length === 0 ? [] : [{ group: { id, name }, direction, reasons }];
  });
}

function gapText({ group, direction, reasons }: Gap): string {
  const label = paint('not wholly understood:', 'yellow');
  return `${label} ${direction} of ${group.name}: ${[...new Set(reasons)].join('; ')}`;
}

function formatFileRules(rules: readonly RuleView[], options: RulesOptions): string {
  if (rules.length === 0) return 'there are no such rules';
  const rows = rules.map((rule) => [
    rule.group?.name ?? '',
    rule.direction,
    rule.text,
    rule.origin === undefined ? '' : placeText(rule.origin),
    rule.id,
    rule.description,
  ]);
  return formatList(FILE_COLUMNS, rows, options);
}

function tellErrors({ files, problems }: Checked): void {
  printProblems(
    problems.filter(({ severity }) => severity === 'error'),
    true,
  );
  for (const { file, counts } of files)
    if (counts.errors > 0)
      console.error(`${file}: ${count(counts.errors, 'error')}; no rules are listed`);
}
