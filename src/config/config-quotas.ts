/**
 * This file reads the `quotas` section, and reports what in a model exceeds a quota. Source: "Amazon VPC quotas".
 *
 * Each quota defaults to AWS's. Exceeding a default is a warning: it works here, and AWS would refuse it. Exceeding a
 * quota that the configuration states is an error, because its author asked for the limit.
 */
import type { Origin, PolicyModel } from '../policy/model.ts';
import {
  findExcesses,
  membershipsText,
  RULES_LIMIT_HINT,
  RULES_LIMIT_TEXT,
  type QuotaName,
} from '../policy/quotas.ts';
import type { Problem } from '../source/problem.ts';
import { get, type Node } from '../source/yaml.ts';
import { placeOf, report, type Reader } from './config-reader.ts';
import { QUOTA_LIMITS, type Limits } from './limits.ts';
import type { Quota, Quotas } from './config.ts';
import { count } from '../source/count.ts';

export const AWS_QUOTAS: Quotas = readEach(({ otherwise }) => ({
  max: otherwise,
  isGiven: false,
}));

/** Reads `quotas`: a number or `off` for each. An absent one has AWS's default. */
export function readQuotas(reader: Reader, section: Node | undefined): Quotas {
  if (section === undefined) return AWS_QUOTAS;
  if (section.kind !== 'mapping') {
    reader.misses.push({ node: section, expected: 'a mapping' });
    return AWS_QUOTAS;
  }
  const quotas = readEach(
    (facts, name) => readQuota(reader, get(section, name), name, facts) ?? AWS_QUOTAS[name],
  );
  checkProduct(reader, section, quotas);
  return quotas;
}

function readEach(read: (facts: Required<Limits>, name: QuotaName) => Quota): Quotas {
  const entries = Object.entries(QUOTA_LIMITS).map(([name, facts]) => [
    name,
    read(facts, name as QuotaName),
  ]);
  return Object.fromEntries(entries) as Quotas;
}

function readQuota(
  reader: Reader,
  node: Node | undefined,
  name: QuotaName,
  { min, max, otherwise }: Required<Limits>,
): Quota | undefined {
  if (node === undefined) return undefined;
  if (node.kind !== 'scalar') {
    reader.misses.push({ node, expected: "a whole number or 'off'" });
    return undefined;
  }
  if (node.value === 'off') return { max: undefined, isGiven: true };
  const isPlain = typeof node.value === 'number' && /^[1-9]\d*$/.test(node.text);
  if (isPlain && Number(node.text) <= max) return { max: Number(node.text), isGiven: true };
  const message = `'${node.text}' can't be the quota ${name}`;
  const hint = `write a number from ${min} to ${max}, or off; AWS has ${otherwise}`;
  return report(reader, 'error', node, 'bad-quota', message, hint);
}

/** AWS refuses a quota of rules a group or of groups an interface if the product of the two exceeds a third quota. */
function checkProduct(reader: Reader, section: Node, quotas: Quotas): void {
  const { rulesPerGroup, groupsPerInterface, rulesTimesGroups } = quotas;
  const [rules, groups, most] = [rulesPerGroup.max, groupsPerInterface.max, rulesTimesGroups.max];
  if (rules === undefined || groups === undefined || most === undefined) return;
  if (rules * groups <= most) return;
  const place = get(section, 'rulesPerGroup') ?? get(section, 'groupsPerInterface') ?? section;
  const message = `${count(rules, 'rule')} a group times ${count(groups, 'group')} an interface is ${rules * groups}, more than ${most}`;
  const hint = `AWS refuses such quotas: lower rulesPerGroup to ${Math.max(1, Math.floor(most / groups))}, or groupsPerInterface, or write rulesTimesGroups: off`;
  const severity = rulesTimesGroups.isGiven ? 'error' : 'warning';
  report(reader, severity, place, 'quota-product', message, hint);
}

/** Reports everything in `model` that exceeds a quota. */
export function checkQuotas(model: PolicyModel, quotas: Quotas): Problem[] {
  return [
    ...checkNumberOfGroups(model, quotas.securityGroups),
    ...checkPrefixLists(model, quotas.prefixListEntries),
    ...checkRulesPerGroup(model, quotas.rulesPerGroup),
    ...checkInterfaces(model, quotas),
  ];
}

function checkNumberOfGroups({ groups }: PolicyModel, quota: Quota): Problem[] {
  const { max } = quota;
  if (max === undefined || groups.size <= max) return [];
  // The first group beyond the quota, in the order of reading.
  const extra = [...groups.values()][max];
  const message = `there are ${groups.size} security groups, ${more(quota, 'securityGroups')}`;
  const hint =
    'AWS refuses it: The maximum number of security groups for VPC has been reached. The default group counts';
  return [exceeded(quota, extra.origin, 'quota-groups', message, hint)];
}

function checkPrefixLists({ prefixLists }: PolicyModel, quota: Quota): Problem[] {
  const { max } = quota;
  if (max === undefined) return [];
  return [...prefixLists.values()].flatMap(({ name, maxEntries, origin }) => {
    if (maxEntries <= max) return [];
    const message = `the prefix list '${name}' has room for ${count(maxEntries, 'entry')}, ${more(quota, 'prefixListEntries')}`;
    const hint = 'AWS refuses it unless its quota of entries per prefix list is raised';
    return [exceeded(quota, origin, 'quota-entries', message, hint)];
  });
}

function checkRulesPerGroup(model: PolicyModel, quota: Quota): Problem[] {
  return [...model.groups.values()].flatMap((group) =>
    findExcesses([group], quota.max, model).map(({ direction, family, found }) => {
      const message = `the security group '${group.name}' has ${count(found, `${direction} rule`)} for IPv${family}, ${more(quota, 'rulesPerGroup')}`;
      const hint = `AWS refuses it: ${RULES_LIMIT_TEXT} ${RULES_LIMIT_HINT}`;
      return exceeded(quota, group.origin, 'quota-rules', message, hint);
    }),
  );
}

function checkInterfaces(model: PolicyModel, quotas: Quotas): Problem[] {
  const { groupsPerInterface, rulesTimesGroups } = quotas;
  const problems: Problem[] = [];
  for (const { name, groupIds, origin } of model.interfaces.values()) {
    const place = { ...origin, path: `${origin.path}.securityGroups` };
    const { max: groupsMax } = groupsPerInterface;
    if (groupsMax !== undefined && groupIds.length > groupsMax) {
      const message = `the interface '${name}' has ${count(groupIds.length, 'security group')}, ${more(groupsPerInterface, 'groupsPerInterface')}`;
      const hint = `AWS refuses it: ${membershipsText(groupsMax)}. Merge groups, or ask AWS for up to ${QUOTA_LIMITS.groupsPerInterface.max}`;
      problems.push(exceeded(groupsPerInterface, place, 'quota-memberships', message, hint));
    }
    const groups = groupIds.flatMap((id) => model.groups.get(id) ?? []);
    for (const excess of findExcesses(groups, rulesTimesGroups.max, model)) {
      const { direction, family, found } = excess;
      const message = `the groups of the interface '${name}' have ${count(found, `${direction} rule`)} for IPv${family} together, ${more(rulesTimesGroups, 'rulesTimesGroups')}`;
      const hint = 'AWS has no quotas that would admit it: use fewer rules, or fewer groups';
      problems.push(exceeded(rulesTimesGroups, place, 'quota-product', message, hint));
    }
  }
  return problems;
}

function more({ max, isGiven }: Quota, name: QuotaName): string {
  return isGiven
    ? `more than the ${max} of quotas.${name}`
    : `more than the ${max} AWS takes unless its quota is raised`;
}

function exceeded(
  { isGiven }: Quota,
  origin: Origin,
  code: string,
  message: string,
  hint: string,
): Problem {
  const { at, path } = placeOf(origin);
  return { severity: isGiven ? 'error' : 'warning', code, at, path, message, hint };
}
