/**
 * The `quotas` section, and what in a model is beyond a quota. Source: "Amazon VPC quotas".
 *
 * Every quota has the default of AWS. What exceeds a default works here, and AWS would refuse it: a
 * warning. A quota that the configuration states is a wish of its author: exceeding it is an error.
 */
import type { Family } from '../../addr/address.ts';
import type { Origin, PolicyModel, Rule } from '../../policy/model.ts';
import type { Problem } from '../../source/problem.ts';
import { get, type Node } from '../../source/yaml.ts';
import { report, type Place, type Reader } from './config-reader.ts';
import type { Quota, QuotaName, Quotas } from './config.ts';

interface QuotaFacts {
  /** What AWS allows unless asked. */
  readonly otherwise: number;
  /** The most that can be stated; more is what `off` is for. */
  readonly max: number;
}

export const QUOTA_FACTS: Readonly<Record<QuotaName, QuotaFacts>> = {
  rulesPerGroup: { otherwise: 60, max: 1000 },
  groupsPerInterface: { otherwise: 5, max: 16 },
  rulesTimesGroups: { otherwise: 1000, max: 1_000_000 },
  prefixListEntries: { otherwise: 1000, max: 1_000_000 },
  securityGroups: { otherwise: 2500, max: 1_000_000 },
};

export const AWS_QUOTAS: Quotas = readEach(({ otherwise }) => ({
  max: otherwise,
  isGiven: false,
}));

const DIRECTIONS = ['ingress', 'egress'] as const;
const FAMILIES = [4, 6] as const;

const REFUSED_RULES =
  'AWS refuses it: The maximum number of rules per security group has been reached.';

/** Reads `quotas`: a number or `off` each, AWS's default where nothing is said. */
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

function readEach(read: (facts: QuotaFacts, name: QuotaName) => Quota): Quotas {
  const entries = Object.entries(QUOTA_FACTS).map(([name, facts]) => [
    name,
    read(facts, name as QuotaName),
  ]);
  return Object.fromEntries(entries) as Quotas;
}

function readQuota(
  reader: Reader,
  node: Node | undefined,
  name: QuotaName,
  { max, otherwise }: QuotaFacts,
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
  const hint = `write a number from 1 to ${max}, or off; AWS has ${otherwise}`;
  return report(reader, 'error', node, 'bad-quota', message, hint);
}

/** AWS refuses to raise one of two quotas where the product of both would go beyond a third. */
function checkProduct(reader: Reader, section: Node, quotas: Quotas): void {
  const { rulesPerGroup, groupsPerInterface, rulesTimesGroups } = quotas;
  const [rules, groups, most] = [rulesPerGroup.max, groupsPerInterface.max, rulesTimesGroups.max];
  if (rules === undefined || groups === undefined || most === undefined) return;
  if (rules * groups <= most) return;
  const place = get(section, 'rulesPerGroup') ?? get(section, 'groupsPerInterface') ?? section;
  const message = `${rules} rules a group times ${groups} groups an interface is ${rules * groups}, more than ${most}`;
  const hint = `AWS refuses such quotas: lower rulesPerGroup to ${Math.max(1, Math.floor(most / groups))}, or groupsPerInterface, or write rulesTimesGroups: off`;
  const severity = rulesTimesGroups.isGiven ? 'error' : 'warning';
  report(reader, severity, place, 'quota-product', message, hint);
}

/**
 * What a rule counts for a family: a block 1 in its own; a prefix list its most entries in its own;
 * a group 1 in both, which is the stricter reading of AWS's text.
 */
export function countRules(
  rules: readonly Rule[],
  family: Family,
  model: Pick<PolicyModel, 'prefixLists'>,
): number {
  let count = 0;
  for (const { peer } of rules) {
    switch (peer.kind) {
      case 'cidr':
        count += peer.cidr.family === family ? 1 : 0;
        break;
      case 'prefixList': {
        const list = model.prefixLists.get(peer.prefixListId);
        count += list?.family === family ? list.maxEntries : 0;
        break;
      }
      case 'group':
        count++;
        break;
      default:
        peer satisfies never;
    }
  }
  return count;
}

/** Everything in `model` that is beyond a quota. */
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
  // The first one too many, in the order they were read.
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
    const message = `the prefix list '${name}' has room for ${maxEntries} entries, ${more(quota, 'prefixListEntries')}`;
    const hint = 'AWS refuses it unless its quota of entries per prefix list is raised';
    return [exceeded(quota, origin, 'quota-entries', message, hint)];
  });
}

function checkRulesPerGroup(model: PolicyModel, quota: Quota): Problem[] {
  const { max } = quota;
  if (max === undefined) return [];
  const problems: Problem[] = [];
  for (const group of model.groups.values()) {
    for (const direction of DIRECTIONS) {
      for (const family of FAMILIES) {
        const count = countRules(group[direction], family, model);
        if (count <= max) continue;
        const message = `the security group '${group.name}' has ${count} ${direction} rules for IPv${family}, ${more(quota, 'rulesPerGroup')}`;
        const hint = `${REFUSED_RULES} A prefix list counts its maxEntries, a group 1 in each family`;
        problems.push(exceeded(quota, group.origin, 'quota-rules', message, hint));
      }
    }
  }
  return problems;
}

function checkInterfaces(model: PolicyModel, quotas: Quotas): Problem[] {
  const { groupsPerInterface, rulesTimesGroups } = quotas;
  const problems: Problem[] = [];
  for (const { name, groupIds, origin } of model.interfaces.values()) {
    const place = { ...origin, path: `${origin.path}.securityGroups` };
    const { max: groupsMax } = groupsPerInterface;
    if (groupsMax !== undefined && groupIds.length > groupsMax) {
      const message = `the interface '${name}' has ${groupIds.length} security groups, ${more(groupsPerInterface, 'groupsPerInterface')}`;
      const hint = `AWS refuses it: exceeded limit ${groupsMax} on the number of interface security group memberships. Merge groups, or ask AWS for up to ${QUOTA_FACTS.groupsPerInterface.max}`;
      problems.push(exceeded(groupsPerInterface, place, 'quota-memberships', message, hint));
    }
    const { max: rulesMax } = rulesTimesGroups;
    if (rulesMax === undefined) continue;
    const groups = groupIds.flatMap((id) => model.groups.get(id) ?? []);
    for (const direction of DIRECTIONS) {
      const rules = groups.flatMap((group) => group[direction]);
      for (const family of FAMILIES) {
        const count = countRules(rules, family, model);
        if (count <= rulesMax) continue;
        const message = `the groups of the interface '${name}' have ${count} ${direction} rules for IPv${family} together, ${more(rulesTimesGroups, 'rulesTimesGroups')}`;
        const hint = 'AWS has no quotas that would admit it: use fewer rules, or fewer groups';
        problems.push(exceeded(rulesTimesGroups, place, 'quota-product', message, hint));
      }
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

function placeOf({ file, line, column, path }: Origin): Place {
  return { at: { file, line, column }, path };
}
