/**
 * This file says by which actions of the API a key must be allowed to ask a question of the console: a key sees there
 * what it could have asked for by calls, and changes what it could have changed.
 */
import { mayCall, type Caller, type Policy } from '../api/action.ts';
import type { ApplyCall } from '../console/contract.ts';
import { ConsoleFailure } from '../console/failure.ts';

/** Who reads groups and interfaces knows all that is made of them. */
const LOOK = ['DescribeSecurityGroups', 'DescribeSecurityGroupRules', 'DescribeNetworkInterfaces'];
/** What a daemon tells of its traffic has no action of EC2's. Flow logs tell the same, to who may see them. */
const TRAFFIC = [...LOOK, 'DescribeFlowLogs'];

/** By method and path below `/api/`; a number in a path is `#`. */
const ACTIONS: ReadonlyMap<string, readonly string[]> = new Map([
  ['GET about', LOOK],
  ['GET map', LOOK],
  ['GET matrix', LOOK],
  ['GET groups', LOOK],
  ['GET rules', TRAFFIC],
  ['POST explain', LOOK],
  ['GET flows', TRAFFIC],
  ['GET drops', TRAFFIC],
  ['GET drops/#', TRAFFIC],
  ['GET draft', LOOK],
  ['POST draft', LOOK],
  ['POST copy', LOOK],
  ['GET history', TRAFFIC],
  ['GET events', TRAFFIC],
  ['GET changes', LOOK],
  ['GET hosts', LOOK],
  ['POST apply', LOOK],
]);

/** The right of each action of EC2 that is served, by its name. */
export type ActionRights = ReadonlyMap<string, Policy>;

/** The route of a request, as it is counted and logged: of few texts, whatever a client asks for. */
export function routeOf(method: string, path: string): string {
  const route = `${method} ${path.replace(/\d+/g, '#')}`;
  return ACTIONS.has(route) || KNOWN_BESIDE.includes(route) ? route : 'unknown';
}

/** For these there are no rights: they are about who asks. */
const KNOWN_BESIDE = ['GET sign-in', 'POST sign-in', 'POST renew'];

/** @throws ConsoleFailure if the key may not ask that, or nobody can */
export function checkRight(
  rights: ActionRights,
  caller: Pick<Caller, 'name' | 'policy'>,
  route: string,
): void {
  const actions = ACTIONS.get(route);
  if (actions === undefined) throw new ConsoleFailure(404, 'there is nothing of that name');
  const denied = actions.find((action) => !isAllowed(rights, caller, action));
  if (denied === undefined) return;
  const error = `the key '${caller.name}' may not call ${denied}, which this would tell of`;
  throw new ConsoleFailure(403, error, 'sign in with another key', 'not-allowed');
}

/** Why a key may not make these calls; undefined: it may. */
export function whyMayNotCall(
  rights: ActionRights,
  caller: Pick<Caller, 'name' | 'policy'>,
  calls: readonly ApplyCall[],
): string | undefined {
  const denied = calls.find(({ action }) => !isAllowed(rights, caller, action));
  if (denied === undefined) return undefined;
  return `the key '${caller.name}' may not call ${denied.action}`;
}

/** An action that is not served is nobody's. */
function isAllowed(
  rights: ActionRights,
  { policy }: Pick<Caller, 'policy'>,
  action: string,
): boolean {
  const right = rights.get(action);
  return right !== undefined && mayCall(policy, right);
}
