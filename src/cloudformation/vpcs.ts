/** This file finds the VPCs that a template mentions, and the VPC of each group. */
import type { GroupId, Origin } from '../policy/model.ts';
import { idOf } from './attributes.ts';
import { findMentions, mentionsOf } from './dependencies.ts';
import type { Draft } from './drafts.ts';
import { KIND_VPC } from './kinds.ts';
import type { Resource } from './resources.ts';
import type { Scope } from './scope.ts';
import { abbreviate, type UnknownValue } from './values.ts';

export interface TemplateVpcs {
  /** VPCs that the template makes, by id. */
  readonly made: ReadonlyMap<string, Origin>;
  /** The ids of VPCs that groups are in, or whose default group is named, and where each is first mentioned. */
  readonly used: ReadonlyMap<string, Origin>;
  /** For each group the id of its VPC, or why the id is unknown. A group without VpcId is absent. */
  readonly ofGroups: ReadonlyMap<GroupId, string | UnknownValue>;
}

export function findVpcs(
  scope: Scope,
  drafts: ReadonlyMap<GroupId, Draft>,
  present: readonly Resource[],
): TemplateVpcs {
  const made = new Map<string, Origin>();
  const idsByName = new Map<string, string>();
  for (const resource of present) {
    if (resource.type !== KIND_VPC) continue;
    const { at, path, logicalId } = resource;
    const id = idOf(scope, resource);
    made.set(id, { ...at, path, logicalId });
    idsByName.set(logicalId, id);
  }
  const used = new Map<string, Origin>();
  const ofGroups = new Map<GroupId, string | UnknownValue>();
  for (const { id, vpcId, origin } of drafts.values()) {
    if (vpcId === undefined) continue;
    ofGroups.set(id, vpcId.kind === 'text' ? vpcId.text : vpcId);
    if (vpcId.kind === 'text' && !used.has(vpcId.text)) used.set(vpcId.text, origin);
  }
  for (const name of findDefaultGroups(scope, idsByName)) {
    const id = idsByName.get(name)!;
    if (!used.has(id)) used.set(id, made.get(id)!);
  }
  return { made, used, ofGroups };
}

/** The VPCs of the template whose default group something in it names. */
function findDefaultGroups(scope: Scope, vpcs: ReadonlyMap<string, string>): Set<string> {
  if (vpcs.size === 0) return new Set();
  const { resources, outputs } = scope.template;
  const mentions = [
    ...[...resources.values()].flatMap((resource) => mentionsOf(scope, resource)),
    ...outputs.flatMap(({ node }) => findMentions(scope, node)),
  ];
  return new Set(
    mentions.flatMap(({ name, attribute }) =>
      attribute === 'DefaultSecurityGroup' && vpcs.has(name) ? name : [],
    ),
  );
}

/** The VPCs that groups of templates are in, by id. A VPC that a template makes is called STACK/LOGICAL-ID. */
export function nameVpcs(
  templates: readonly { readonly stackName: string; readonly vpcs: TemplateVpcs }[],
): Map<string, { readonly name: string; readonly origin: Origin }> {
  const made = new Map(
    templates.flatMap(({ stackName, vpcs }) =>
      [...vpcs.made].map(([id, origin]) => [id, { stackName, origin }] as const),
    ),
  );
  const named = new Map<string, { readonly name: string; readonly origin: Origin }>();
  for (const { vpcs } of templates) {
    for (const [id, where] of vpcs.used) {
      if (named.has(id)) continue;
      const maker = made.get(id);
      const name =
        maker === undefined ? abbreviate(id) : `${maker.stackName}/${maker.origin.logicalId!}`;
      named.set(id, { name, origin: maker?.origin ?? where });
    }
  }
  return named;
}
