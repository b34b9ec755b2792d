/**
 * A plain model of the groups and prefix lists of an account: lists that are searched from their beginning, and calls by their parameters
 * on the wire. It shares no code with src/. Of a refused call it says the code alone.
 */

export type Parameters = Readonly<Record<string, string>>;

export interface TwinRule {
  id: string;
  isEgress: boolean;
  protocol: string;
  from: number;
  to: number;
  cidr: string;
  /** The group or prefix list that it names, or ''. */
  peer: string;
  description: string;
}

interface TwinGroup {
  readonly id: string;
  readonly name: string;
  tag: string | undefined;
  rules: TwinRule[];
}

interface TwinList {
  readonly id: string;
  readonly name: string;
  readonly isIpv6: boolean;
  version: number;
  entries: string[];
}

const NOBODY = 'sgr-00000000000000000';
const NO_LIST = 'pl-00000000000000000';
/** Of every list that the test makes. */
export const LIST_ENTRIES_MAX = 2;
const DONE = 'ok';

export class Twin {
  groups: TwinGroup[];
  lists: TwinList[] = [];

  constructor(id: string, rules: readonly TwinRule[], name = 'default') {
    this.groups = [{ id, name, tag: undefined, rules: [...rules] }];
  }

  copy(): Twin {
    const twin = new Twin('', []);
    twin.groups = structuredClone(this.groups);
    twin.lists = structuredClone(this.lists);
    return twin;
  }

  groupAt(nth: number): string {
    return this.groups[nth % this.groups.length].id;
  }

  /** A rule of one direction. */
  ruleAt(groupId: string, isEgress: boolean, nth: number): string {
    const rules = this.group(groupId).rules.filter((rule) => rule.isEgress === isEgress);
    return rules.length === 0 ? NOBODY : rules[nth % rules.length].id;
  }

  listAt(nth: number): string {
    return this.lists.length === 0 ? NO_LIST : this.lists[nth % this.lists.length].id;
  }

  list(id: string): TwinList | undefined {
    return this.lists.find((one) => one.id === id);
  }

  group(id: string): TwinGroup {
    return this.groups.find((one) => one.id === id)!;
  }

  /** @param newId what the server called what it made, if it made something */
  call(action: string, parameters: Parameters, newId: string): string {
    if (action === 'CreateSecurityGroup') return this.create(parameters['GroupName'], newId);
    if (action.endsWith('ManagedPrefixList')) return this.changeLists(action, parameters, newId);
    const group = this.group(parameters['GroupId'] ?? parameters['ResourceId.1']);
    switch (action) {
      case 'DeleteSecurityGroup':
        return this.delete(group);
      case 'AuthorizeSecurityGroupIngress':
        return this.authorize(group, said(parameters, false), newId);
      case 'AuthorizeSecurityGroupEgress':
        return this.authorize(group, said(parameters, true), newId);
      case 'RevokeSecurityGroupIngress':
        return this.revoke(group, false, parameters);
      case 'RevokeSecurityGroupEgress':
        return this.revoke(group, true, parameters);
      case 'ModifySecurityGroupRules':
        return this.modify(group, parameters);
      case 'UpdateSecurityGroupRuleDescriptionsIngress':
      case 'UpdateSecurityGroupRuleDescriptionsEgress': {
        const wanted = parameters['SecurityGroupRuleDescription.1.SecurityGroupRuleId'];
        const rule = group.rules.find(({ id }) => id === wanted);
        if (rule === undefined) return 'InvalidSecurityGroupRuleId.NotFound';
        rule.description = parameters['SecurityGroupRuleDescription.1.Description'];
        return DONE;
      }
      default:
        group.tag = parameters['Tag.1.Value'];
        return DONE;
    }
  }

  /** Whether a group lets a packet of TCP or UDP in, or out. Nobody has another group's interface here. */
  admits(id: string, isEgress: boolean, protocol: string, port: number, remote: string): boolean {
    return this.group(id).rules.some((rule) => {
      if (rule.isEgress !== isEgress) return false;
      const isAll = rule.protocol === '-1';
      if (!isAll && rule.protocol !== protocol) return false;
      if (!isAll && (port < rule.from || port > rule.to)) return false;
      const blocks = rule.cidr === '' ? (this.list(rule.peer)?.entries ?? []) : [rule.cidr];
      return blocks.some((block) => isIn(remote, block));
    });
  }

  /** What the describe calls for groups, rules and prefix lists have to say. */
  lines(): string[] {
    const groups = this.groups.flatMap(({ id, name, tag, rules }) => [
      `${id} ${name} ${tag ?? '-'}`,
      ...rules.map((rule) => ruleLine(id, rule)),
    ]);
    return [...groups, ...this.lists.map(listLine)].sort();
  }

  private create(name: string, id: string): string {
    if (name === 'default') return 'InvalidGroup.Reserved';
    if (this.groups.some((one) => one.name.toLowerCase() === name.toLowerCase()))
      return 'InvalidGroup.Duplicate';
    this.groups.push({ id, name, tag: undefined, rules: [] });
    return DONE;
  }

  private delete({ id, name }: TwinGroup): string {
    if (name === 'default') return 'CannotDelete';
    const isNamed = this.groups.some(
      (one) => one.id !== id && one.rules.some(({ peer }) => peer === id),
    );
    if (isNamed) return 'DependencyViolation';
    this.groups = this.groups.filter((one) => one.id !== id);
    return DONE;
  }

  private changeLists(action: string, parameters: Parameters, newId: string): string {
    if (action.startsWith('Create')) {
      const isIpv6 = parameters['AddressFamily'] === 'IPv6';
      const entries = [parameters['Entry.1.Cidr']];
      const name = parameters['PrefixListName'];
      this.lists.push({ id: newId, name, isIpv6, version: 1, entries });
      return DONE;
    }
    const list = this.list(parameters['PrefixListId']);
    if (list === undefined) return 'InvalidPrefixListID.NotFound';
    if (action.startsWith('Delete')) {
      const isNamed = this.groups.some(({ rules }) => rules.some(({ peer }) => peer === list.id));
      if (isNamed) return 'DependencyViolation';
      this.lists = this.lists.filter((one) => one !== list);
      return DONE;
    }
    const added = parameters['AddEntry.1.Cidr'];
    const removed = parameters['RemoveEntry.1.Cidr'];
    if (added !== undefined && list.entries.includes(added)) return 'InvalidPrefixListModification';
    if (removed !== undefined && !list.entries.includes(removed))
      return 'InvalidPrefixListModification';
    if (added !== undefined && list.entries.length === LIST_ENTRIES_MAX)
      return 'PrefixListMaxEntriesExceeded';
    list.entries = list.entries.filter((one) => one !== removed);
    if (added !== undefined) list.entries.push(added);
    list.version++;
    return DONE;
  }

  private authorize(group: TwinGroup, rule: TwinRule, id: string): string {
    if (rule.from > rule.to) return 'InvalidParameterValue';
    if (rule.peer === NO_LIST) return 'InvalidPrefixListID.NotFound';
    if (group.rules.some((one) => isSame(one, rule))) return 'InvalidPermission.Duplicate';
    group.rules.push({ ...rule, id });
    return DONE;
  }

  /** In a default VPC a permission that no rule has is no error. */
  private revoke(group: TwinGroup, isEgress: boolean, parameters: Parameters): string {
    const id = parameters['SecurityGroupRuleId.1'];
    const wanted = said(parameters, isEgress);
    if (id === undefined && wanted.from > wanted.to) return 'InvalidParameterValue';
    if (id !== undefined && !group.rules.some((rule) => rule.id === id))
      return 'InvalidSecurityGroupRuleId.NotFound';
    group.rules = group.rules.filter((rule) =>
      id === undefined ? !isMeant(rule, wanted) : rule.id !== id,
    );
    return DONE;
  }

  private modify(group: TwinGroup, parameters: Parameters): string {
    const prefix = 'SecurityGroupRule.1.SecurityGroupRule.';
    const cidr = parameters[`${prefix}CidrIpv4`] ?? parameters[`${prefix}CidrIpv6`];
    const rule = said(parameters, false, prefix, cidr);
    if (rule.from > rule.to) return 'InvalidParameterValue';
    const old = group.rules.find(
      ({ id }) => id === parameters['SecurityGroupRule.1.SecurityGroupRuleId'],
    );
    if (old === undefined) return 'InvalidSecurityGroupRuleId.NotFound';
    if (old.peer !== '' || isIpv6(old.cidr) !== isIpv6(cidr)) return 'InvalidParameterValue';
    rule.isEgress = old.isEgress;
    if (group.rules.some((one) => one !== old && isSame(one, rule)))
      return 'InvalidPermission.Duplicate';
    Object.assign(old, rule, { id: old.id });
    return DONE;
  }
}

export function ruleLine(group: string, rule: TwinRule): string {
  const { id, isEgress, protocol, from, to, cidr, peer, description } = rule;
  return `${group} ${id} ${isEgress} ${protocol} ${from}-${to} ${cidr}${peer} "${description}"`;
}

function listLine({ id, name, version, entries }: TwinList): string {
  return `${id} ${name} ${version} ${[...entries].sort().join(' ')}`;
}

const PERMISSION = 'IpPermissions.1.';

function said(
  parameters: Parameters,
  isEgress: boolean,
  prefix = PERMISSION,
  cidr = parameters[`${PERMISSION}IpRanges.1.CidrIp`] ??
    parameters[`${PERMISSION}Ipv6Ranges.1.CidrIpv6`] ??
    '',
): TwinRule {
  return {
    ...{ id: '', isEgress, cidr },
    protocol: parameters[`${prefix}IpProtocol`],
    from: Number(parameters[`${prefix}FromPort`] ?? -1),
    to: Number(parameters[`${prefix}ToPort`] ?? -1),
    peer:
      parameters[`${prefix}Groups.1.GroupId`] ??
      parameters[`${prefix}PrefixListIds.1.PrefixListId`] ??
      '',
    description:
      parameters[`${prefix}IpRanges.1.Description`] ??
      parameters[`${prefix}Ipv6Ranges.1.Description`] ??
      '',
  };
}

function isSame(a: TwinRule, b: TwinRule): boolean {
  const bare = { id: '', description: '' };
  return ruleLine('', { ...a, ...bare }) === ruleLine('', { ...b, ...bare });
}

/** A description that is given must be the rule's. */
function isMeant(rule: TwinRule, wanted: TwinRule): boolean {
  const isOther = wanted.description !== '' && wanted.description !== rule.description;
  return !isOther && isSame(rule, wanted);
}

export function isIpv6(text: string): boolean {
  return text.includes(':');
}

function isIn(address: string, cidr: string): boolean {
  if (isIpv6(address) !== isIpv6(cidr)) return false;
  const [base, length] = cidr.split('/');
  return bits(address).slice(0, Number(length)) === bits(base).slice(0, Number(length));
}

function bits(text: string): string {
  if (!isIpv6(text))
    return text.split('.').map((byte) => Number(byte).toString(2).padStart(8, '0')).join(''); // prettier-ignore
  const [head, tail = ''] = text.split('::');
  const words = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const zeros = Array<string>(8 - words(head).length - words(tail).length).fill('0');
  return [...words(head), ...zeros, ...words(tail)].map((word) => Number.parseInt(word, 16).toString(2).padStart(16, '0')).join(''); // prettier-ignore
}
