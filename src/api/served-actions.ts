/** This file lists the actions that the server answers; docs/ec2-api.md has the same list. */
import type { Action } from './action.ts';
import { assetActions } from './actions/assets.ts';
import { doorActions } from './actions/door-calls.ts';
import { changeSetActions } from './actions/change-sets.ts';
import { groupActions } from './actions/groups.ts';
import { flowLogActions } from './actions/flow-logs.ts';
import { insightsActions } from './actions/insights.ts';
import { interfacePlaceActions } from './actions/interface-places.ts';
import { interfaceActions } from './actions/interfaces.ts';
import { prefixListActions } from './actions/prefix-lists.ts';
import { ruleActions } from './actions/rules.ts';
import { stackViews } from './actions/stack-views.ts';
import { stackActions } from './actions/stacks.ts';
import { subnetActions } from './actions/subnets.ts';
import { tagActions } from './actions/tags.ts';
import { vpcPartActions } from './actions/vpc-parts.ts';
import { vpcActions } from './actions/vpcs.ts';
import type { Managed } from './managed.ts';
import { placeActions } from './place-actions.ts';
import { ssmActions } from './ssm-actions.ts';
import { stsActions, type StsOptions } from './sts-actions.ts';

export function servedActions(
  managed: Managed,
  { keys, now }: Pick<StsOptions, 'keys' | 'now'>,
): readonly Action[] {
  const { region } = managed;
  const ofEstate = [
    ...assetActions(managed),
    ...placeActions(region, () => managed.estate.defaultVpc()?.id),
    ...groupActions(managed),
    ...ruleActions(managed),
    ...prefixListActions(managed),
    ...tagActions(managed),
    ...flowLogActions(managed),
    ...vpcActions(managed),
    ...vpcPartActions(managed),
    ...subnetActions(managed),
    ...interfaceActions(managed),
    ...interfacePlaceActions(managed),
    ...insightsActions(managed),
    ...doorActions(managed),
    ...stackActions(managed),
    ...changeSetActions(managed),
    ...stackViews(managed),
  ];
  return [
    ...stsActions({ keys, region, now }),
    ...ssmActions(region),
    ...ofEstate.map((one) => upToDate(managed, one)),
  ];
}

/** The action on the estate as it is in the store: another server may have changed it, and answered already. */
function upToDate(managed: Managed, action: Action): Action {
  return {
    ...action,
    run: async (params, caller) => {
      await managed.catchUp();
      return action.run(params, caller);
    },
  };
}
