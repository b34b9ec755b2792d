/** Actions on the rules of security groups: authorize, revoke, modify, describe, and update their descriptions. */
import {
  authorizeRules,
  findGroup,
  modifyEstateRules,
  revokeRules,
  updateDescriptions,
  type RuleChoice,
} from '../../estate/groups.ts';
import type { EstateGroup } from '../../estate/model.ts';
import type { Edit } from '../../estate/edit.ts';
import type { Direction, Rule } from '../../policy/model.ts';
import type { PermissionText } from '../../policy/permissions.ts';
import { ApiError, type Action, type Answer } from '../action.ts';
import type { Filter } from '../filters.ts';
import { shown } from '../form.ts';
import { checked, managedAction, type DryRunParams, type Managed } from '../managed.ts';
import { pageOfMatching, type DescribeParams } from './describe.ts';
import { permissionsOutput, ruleOutput } from './group-output.ts';
import { groupIdOf, type GroupParams } from './groups.ts';
import {
  permissionTexts,
  ruleText,
  tagsOf,
  type RuleParams,
  type SecurityGroupRuleRequest,
  type TagSpecification,
} from './rule-params.ts';

interface AuthorizeParams extends GroupParams, RuleParams, DryRunParams {
  readonly TagSpecifications?: readonly TagSpecification[];
}

interface RevokeParams extends GroupParams, RuleParams, DryRunParams {
  readonly SecurityGroupRuleIds?: readonly string[];
}

interface ModifyParams extends DryRunParams {
  readonly GroupId?: string;
  readonly SecurityGroupRules?: readonly {
    readonly SecurityGroupRuleId?: string;
    readonly SecurityGroupRule?: SecurityGroupRuleRequest;
  }[];
}

interface DescriptionParams extends GroupParams, RuleParams, DryRunParams {
  readonly SecurityGroupRuleDescriptions?: readonly {
    readonly SecurityGroupRuleId?: string;
    readonly Description?: string;
  }[];
}

interface DescribeRulesParams extends DescribeParams {
  readonly SecurityGroupRuleIds?: readonly string[];
}

const SUFFIXES: readonly (readonly [Direction, string])[] = [
  ['ingress', 'Ingress'],
  ['egress', 'Egress'],
];

export function ruleActions(managed: Managed): readonly Action[] {
  return [
    ...SUFFIXES.flatMap(([direction, suffix]) => [
      managedAction<AuthorizeParams>(
        managed,
        `AuthorizeSecurityGroup${suffix}`,
        'write',
        (my, params) => authorize(my, direction, params),
      ),
      managedAction<RevokeParams>(managed, `RevokeSecurityGroup${suffix}`, 'write', (my, params) =>
        revoke(my, direction, params),
      ),
      managedAction<DescriptionParams>(
        managed,
        `UpdateSecurityGroupRuleDescriptions${suffix}`,
        'write',
        (my, params) => describeRules(my, direction, params),
      ),
    ]),
    managedAction<ModifyParams>(managed, 'ModifySecurityGroupRules', 'write', (my, params) =>
      modify(my, params),
    ),
    managedAction<DescribeRulesParams>(
      managed,
      'DescribeSecurityGroupRules',
      'read',
      async (my, params) => {
        const { items, NextToken } = pageOfMatching(rulesAsked(my, params), params, {
          idOf: ([, { id }]) => id,
          tagsOf: ([{ ruleTags }, { id }]) => ruleTags.get(id) ?? [],
          fields: {
            'group-id': ([{ group }]) => [group.id],
            'security-group-rule-id': ([, { id }]) => [id],
          },
        });
        const rules = items.map(([group, rule]) => ruleOutput(rule, group, my));
        return { output: { SecurityGroupRules: rules, NextToken } };
      },
    ),
  ];
}

async function authorize(
  managed: Managed,
  direction: Direction,
  params: AuthorizeParams,
): Promise<Answer> {
  const id = groupIdOf(managed, params);
  const tags = tagsOf(params.TagSpecifications, 'security-group-rule');
  const { value, revision } = await managed.change(params, (edit) => {
    const texts = readTexts(managed, edit, id, params);
    return authorizeRules(edit, id, direction, texts, tags, managed.context);
  });
  const { group, added } = value;
  const output = {
    Return: true,
    SecurityGroupRules: added.map((rule) => ruleOutput(rule, group, managed)),
  };
  return { output, revision };
}

async function revoke(
  managed: Managed,
  direction: Direction,
  params: RevokeParams,
): Promise<Answer> {
  const id = groupIdOf(managed, params);
  const { value, revision } = await managed.change(params, (edit) => {
    const ids = params.SecurityGroupRuleIds ?? [];
    const texts = readTexts(managed, edit, id, params);
    if (ids.length > 0 && texts.length > 0) {
      const message = 'The parameter SecurityGroupRuleIds may not be used with IpPermissions';
      throw new ApiError('InvalidParameterCombination', message);
    }
    const choice: RuleChoice =
      ids.length > 0 ? { kind: 'ids', ids } : { kind: 'permissions', texts: given(texts) };
    return revokeRules(edit, id, direction, choice);
  });
  const { group, revoked, unknown } = value;
  const strangers = unknown.map((permission): Rule => ({
    ...permission,
    id: '',
    direction,
    description: permission.description ?? '',
    origin: group.group.origin,
  }));
  const output = {
    Return: true,
    UnknownIpPermissions: permissionsOutput(strangers, managed),
    RevokedSecurityGroupRules: revoked.map((rule) => {
      const {
        ReferencedGroupInfo: info,
        Tags: _,
        ...shownRule
      } = ruleOutput(rule, group, managed) as Record<string, unknown> & {
        ReferencedGroupInfo?: { GroupId: string };
      };
      return { ...shownRule, ...(info === undefined ? {} : { ReferencedGroupId: info.GroupId }) };
    }),
  };
  return { output, revision };
}

async function modify(managed: Managed, params: ModifyParams): Promise<Answer> {
  const { GroupId: id, SecurityGroupRules: updates = [] } = params;
  if (id === undefined)
    throw new ApiError('MissingParameter', 'The request must contain the parameter GroupId');
  if (updates.length === 0) {
    const message = 'The request must contain the parameter SecurityGroupRules';
    throw new ApiError('MissingParameter', message);
  }
  const texts = updates.map(
    ({ SecurityGroupRuleId: ruleId = '', SecurityGroupRule: rule = {} }) => ({
      ruleId,
      rule: ruleText(rule),
    }),
  );
  const { revision } = await managed.change(params, (edit) =>
    modifyEstateRules(edit, id, texts, managed.context),
  );
  return { output: { Return: true }, revision };
}

async function describeRules(
  managed: Managed,
  direction: Direction,
  params: DescriptionParams,
): Promise<Answer> {
  const id = groupIdOf(managed, params);
  const descriptions = (params.SecurityGroupRuleDescriptions ?? []).map(
    ({ SecurityGroupRuleId: ruleId = '', Description: description }) => ({ ruleId, description }),
  );
  const { revision } = await managed.change(params, (edit) => {
    const texts = readTexts(managed, edit, id, params);
    return descriptions.length > 0
      ? updateDescriptions(edit, id, direction, { kind: 'ids', descriptions })
      : updateDescriptions(edit, id, direction, { kind: 'permissions', texts: given(texts) });
  });
  return { output: { Return: true }, revision };
}

/** @throws ApiError if the group is not there, or a name in the parameters is nobody's */
function readTexts(
  managed: Managed,
  edit: Edit,
  id: string,
  params: RuleParams,
): readonly PermissionText[] {
  const { group } = checked(findGroup(edit, id));
  const { estate, accountId } = managed;
  return permissionTexts(params, { estate, vpcId: group.vpc.id, accountId });
}

function given(texts: readonly PermissionText[]): readonly PermissionText[] {
  if (texts.length > 0) return texts;
  throw new ApiError('MissingParameter', 'The request must contain the parameter ipPermissions');
}

type Found = readonly [group: EstateGroup, rule: Rule];

/** Those of the ids, or all that the filters can mean. */
function rulesAsked({ estate }: Managed, params: DescribeRulesParams): readonly Found[] {
  const { SecurityGroupRuleIds: ids } = params;
  for (const id of ids ?? []) {
    if (estate.groupOfRule(id) !== undefined) continue;
    throw id.startsWith('sgr-')
      ? new ApiError(
          'InvalidSecurityGroupRuleId.NotFound',
          `The security group rule ID '${shown(id)}' does not exist`,
        )
      : new ApiError(
          'InvalidSecurityGroupRuleId.Malformed',
          `Invalid id: "${shown(id)}" (expecting "sgr-...")`,
        );
  }
  const groups =
    ids === undefined
      ? groupsAsked(estate, params.Filters)
      : [...new Set(ids.map((id) => estate.groupOfRule(id)!))];
  const wanted = ids === undefined ? undefined : new Set(ids);
  return groups
    .flatMap((one) => [...one.group.ingress, ...one.group.egress].map((rule): Found => [one, rule]))
    .filter(([, { id }]) => wanted?.has(id) ?? true);
}

/** The groups whose rules can be meant: most callers ask for those of one. */
function groupsAsked(
  estate: Managed['estate'],
  filters: readonly Filter[] | undefined,
): readonly EstateGroup[] {
  const values = filters?.find(({ Name: name }) => name === 'group-id')?.Values;
  if (values === undefined || values.some((value) => /[*?\\]/.test(value)))
    return estate.list('groups');
  return values.flatMap((id) => estate.group(id) ?? []);
}
