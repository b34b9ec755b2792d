/** What the readers of Terraform's resources share: the draft, links, and where things are written. */
import { stableId } from '../../policy/ids.ts';
import type { Direction, Origin } from '../../policy/model.ts';
import { readPermission, type PermissionText } from '../../policy/permissions.ts';
import { ruleKey } from '../../policy/rules.ts';
import type { ModelDraft } from '../draft.ts';
import type { DraftGroup, DraftInterface } from '../draft-parts.ts';
import type { JsonFile } from '../read-json.ts';
import { removedRules } from './rule-texts.ts';
import type { TerraformWorld } from './instances.ts';
import type { Change, Instance } from './resource.ts';
import { Links, type Link } from './links.ts';
import { References } from './references.ts';

export class Reading {
  readonly draft: ModelDraft;
  readonly links: Links;
  readonly world: TerraformWorld;
  /** Ids that stand for another one: a group of a VPC may be reached by the VPC and by itself. */
  readonly aliases = new Map<string, string>();
  private readonly json: JsonFile;
  private readonly removed = new Map<string, Set<string>>();

  constructor(draft: ModelDraft, world: TerraformWorld, json: JsonFile) {
    this.draft = draft;
    this.world = world;
    this.json = json;
    const { configuration, instances } = world;
    this.links = new Links(
      configuration === undefined ? undefined : new References(configuration, instances),
    );
    for (const change of world.changes) this.noteRemoved(change);
  }

  originOf({ address }: Pick<Instance, 'address'>): Origin {
    return { ...this.json.find(address), path: address, logicalId: address };
  }

  real(id: string): string {
    return this.aliases.get(id) ?? id;
  }

  /** The one thing that a link names; undefined if that is not certain, or nothing. */
  one({ ids }: Link): string | undefined {
    return ids.length === 1 ? this.real(ids[0]) : undefined;
  }

  /** Whether the configuration writes the attribute. In a state, what is there counts as written. */
  isWritten(instance: Instance, attribute: string): boolean {
    const expressions = this.links.expressionsOf(instance);
    return expressions === undefined || Object.hasOwn(expressions, attribute);
  }

  /** The id of the default group of a VPC. @param otherwise its id, if nothing is known of the VPC */
  defaultGroupId(vpcId: string | undefined, otherwise: string): string {
    const vpc = this.world.instances.find(
      (one) =>
        /^aws_(?:default_)?vpc$/.test(one.type) &&
        vpcId !== undefined &&
        this.vpcIdOf(one) === vpcId,
    );
    if (vpc === undefined) return otherwise;
    const known = vpc.values['default_security_group_id'];
    return typeof known === 'string' && known !== ''
      ? known
      : stableId('sg', 'default_security_group_id', vpc.address);
  }

  /** The group of an interface that names none: that of its VPC, with AWS's rules unless somebody wrote others. */
  defaultGroup({ vpcId }: Pick<DraftInterface, 'vpcId'>, origin: Origin): DraftGroup {
    const id = this.defaultGroupId(vpcId, stableId('sg', 'default', vpcId ?? ''));
    const known = this.draft.groups.get(id);
    if (known !== undefined) return known;
    const isNew = this.world.changes.some(
      ({ action, type, address }) =>
        action === 'add' && type === 'aws_vpc' && stableId('vpc', 'id', address) === vpcId,
    );
    const why = `nothing in ${this.draft.what} says what rules the default group of the VPC has`;
    const group: DraftGroup = {
      ...{ id, name: 'default', description: '', vpcId, origin, rules: [], memberGaps: [] },
      ...(isNew ? { isUntouched: true } : {}),
      gaps: { ingress: isNew ? [] : [why], egress: isNew ? [] : [why] },
    };
    this.draft.groups.set(id, group);
    return group;
  }

  /** The launch templates that an expression refers to. */
  templatesOf(instance: Instance, expression: unknown): readonly Instance[] {
    const found = this.links.follow(instance, expression);
    const reached = found.flatMap(({ instance: one }) =>
      one.type === 'aws_launch_template' ? [one] : [],
    );
    return [...new Set(reached)];
  }

  private vpcIdOf({ values, address }: Instance): string {
    const { id } = values;
    return typeof id === 'string' && id !== '' ? id : stableId('vpc', 'id', address);
  }

  /** Takes rules out of a group that the plan removes. */
  dropRemoved(group: DraftGroup, direction: Direction): void {
    const removed = this.removed.get(group.id);
    if (removed === undefined) return;
    const kept = group.rules.filter(
      (rule) =>
        rule.direction !== direction ||
        !keysOf(rule.direction, rule.text).every((key) => removed.has(key)),
    );
    group.rules.splice(0, group.rules.length, ...kept);
  }

  private noteRemoved({ action, type, before }: Change): void {
    if (action === 'add' || !RULE_TYPES.has(type)) return;
    for (const { groupId, direction, text } of removedRules(type, before)) {
      const keys = this.removed.get(groupId) ?? new Set();
      for (const key of keysOf(direction, text)) keys.add(key);
      this.removed.set(groupId, keys);
    }
  }
}

export const RULE_TYPES: ReadonlySet<string> = new Set([
  'aws_security_group_rule',
  'aws_vpc_security_group_ingress_rule',
  'aws_vpc_security_group_egress_rule',
]);

/** Everything that a rule names is taken to be there: only whether two rules are the same is asked. */
const ANY_SOURCE = {
  groups: { get: (id: string) => ({ id }) },
  prefixLists: { get: () => ({}) as never },
};

function keysOf(direction: Direction, text: PermissionText): readonly string[] {
  const read = readPermission(text, {}, ANY_SOURCE);
  return read.ok ? read.value.map((permission) => ruleKey({ ...permission, direction })) : [];
}
