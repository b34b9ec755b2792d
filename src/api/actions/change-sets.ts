/** Actions on change sets: what a deploy would change, looked at before it is made. */
import { randomUUID } from 'node:crypto';
import { ApiError, type Action, type Answer, type Caller, type Policy } from '../action.ts';
import { shown } from '../form.ts';
import { managedAction, type Managed } from '../managed.ts';
import { deploy, newStack, preview, REVIEW } from '../stacks/deploy.ts';
import {
  findChangeSet,
  findChangeSetById,
  listChangeSets,
  removeChangeSet,
  writeChangeSet,
  writeEvents,
  writeStack,
  writeTemplate,
  type ChangeSet,
} from '../stacks/stack-rows.ts';
import { stackEvent } from '../stacks/events.ts';
import { invalid } from '../stacks/template-checks.ts';
import { changeSetOutput, changeSetSummary } from './stack-output.ts';
import {
  checkName,
  checkUpdatable,
  existsAlready,
  lookUp,
  needStack,
  onFailureOf,
  orderOf,
  type OrderParams,
} from './stack-params.ts';

interface CreateParams extends OrderParams {
  readonly ChangeSetName?: string;
  readonly ChangeSetType?: string;
  readonly Description?: string;
  readonly OnStackFailure?: string;
}

interface NamedParams {
  readonly ChangeSetName?: string;
  readonly StackName?: string;
  readonly DisableRollback?: boolean;
}

/** The aws CLI and the CDK look for the first sentence. */
const NO_CHANGES =
  "The submitted information didn't contain changes. Submit different information to create a change set.";

export function changeSetActions(managed: Managed): readonly Action[] {
  const define = <P extends object>(
    name: string,
    right: Policy,
    run: (my: Managed, params: P, caller: Caller) => Promise<Answer>,
  ): Action => managedAction<P>(managed, name, right, run, 'cloudformation');
  return [
    define<CreateParams>('CreateChangeSet', 'write', createChangeSet),
    define<NamedParams>('DescribeChangeSet', 'read', async (my, params) => ({
      output: changeSetOutput(needChangeSet(my, params)),
    })),
    define<NamedParams>('ExecuteChangeSet', 'write', executeChangeSet),
    define<NamedParams>('DeleteChangeSet', 'write', async (my, params) => {
      const found = findNamed(my, params);
      if (found === undefined) return { output: {} };
      return { output: {}, revision: await my.note((edit) => removeChangeSet(edit, found)) };
    }),
    define<NamedParams>('ListChangeSets', 'read', async (my, params) => {
      const { name } = needStack(my, params.StackName);
      return { output: { Summaries: listChangeSets(my.estate, name).map(changeSetSummary) } };
    }),
    // There are no hooks. The CDK asks.
    define<NamedParams>('DescribeChangeSetHooks', 'read', async (my, params) => {
      const { id, name, stackId, stackName } = needChangeSet(my, params);
      const set = { ChangeSetId: id, ChangeSetName: name };
      const output = { ...set, StackId: stackId, StackName: stackName, Hooks: [] };
      return { output: { ...output, Status: 'PLANNED' } };
    }),
  ];
}

/** A change set by its id, or by its name and its stack. */
export function changeSetNameOf(
  my: Managed,
  named: string | undefined,
  stack: string | undefined,
): { readonly stack: string; readonly name: string } {
  if (named === undefined) throw invalid('ChangeSetName must be specified');
  if (!named.startsWith('arn:')) return { stack: needStack(my, stack).name, name: named };
  const found = findChangeSetById(my.estate, named);
  return found === undefined
    ? { stack: '', name: named }
    : { stack: found.stackName, name: found.name };
}

async function createChangeSet(my: Managed, params: CreateParams, caller: Caller): Promise<Answer> {
  const name = checkName(params.ChangeSetName, 'changeSetName');
  const isNew = params.ChangeSetType === 'CREATE';
  if (!isNew && params.ChangeSetType !== undefined && params.ChangeSetType !== 'UPDATE')
    throw invalid(`A change set of the type ${shown(params.ChangeSetType)} is not served here`);
  const known = params.StackName === undefined ? undefined : lookUp(my, params.StackName);
  const isReviewed = known === undefined || known.status === REVIEW;
  if (isNew && !isReviewed) throw existsAlready(known.name);
  if (!isNew) checkUpdatable(needStack(my, params.StackName));
  const order = orderOf(my, params, known, caller);
  const stack = known ?? newStack(my, checkName(params.StackName), order);
  // The aws CLI names change sets by the second, and a deploy takes less than one here. So the name of one that
  // can't be executed any more is free. At AWS a deploy takes longer, and that is no question.
  if (findChangeSet(my.estate, stack.name, name)?.executionStatus === 'AVAILABLE') {
    throw new ApiError(
      'AlreadyExistsException',
      `ChangeSet ${name} cannot be created due to a mismatch with existing attribute Name`,
    );
  }
  const { changes, isChanged } = preview(my, stack, order);
  const isEmpty = !isNew && !isChanged;
  const { region, accountId } = my;
  const set: ChangeSet = {
    name,
    id: `arn:aws:cloudformation:${region}:${accountId}:changeSet/${name}/${randomUUID()}`,
    stackName: stack.name,
    stackId: stack.id,
    ...(params.Description === undefined ? {} : { description: params.Description }),
    createdAt: new Date().toISOString(),
    status: isEmpty ? 'FAILED' : 'CREATE_COMPLETE',
    ...(isEmpty ? { reason: NO_CHANGES } : {}),
    executionStatus: isEmpty ? 'UNAVAILABLE' : 'AVAILABLE',
    ...(params.OnStackFailure === undefined ? {} : { onFailure: params.OnStackFailure }),
    order,
    changes,
  };
  const revision = await my.note((edit) => {
    writeChangeSet(edit, set);
    if (known !== undefined) return;
    writeStack(edit, stack);
    writeTemplate(edit, stack.name, '');
    writeEvents(edit, stack.name, [stackEvent(stack, REVIEW, 'User Initiated')]);
  });
  return { output: { Id: set.id, StackId: stack.id }, revision };
}

async function executeChangeSet(my: Managed, params: NamedParams): Promise<Answer> {
  const set = needChangeSet(my, params);
  if (set.executionStatus !== 'AVAILABLE') {
    throw new ApiError(
      'InvalidChangeSetStatus',
      `ChangeSet [${set.id}] cannot be executed in its current status of [${set.status}]`,
    );
  }
  const stack = needStack(my, set.stackName);
  if (stack.status !== REVIEW) checkUpdatable(stack);
  const onFailure = onFailureOf({
    ...(set.onFailure === undefined ? {} : { OnFailure: set.onFailure }),
    ...(params.DisableRollback === undefined ? {} : { DisableRollback: params.DisableRollback }),
  });
  const revision = await deploy(my, stack, set.order, { onFailure, changeSet: set });
  return { output: {}, revision };
}

function findNamed(
  my: Managed,
  { ChangeSetName: named, StackName }: NamedParams,
): ChangeSet | undefined {
  const { stack, name } = changeSetNameOf(my, named, StackName);
  return findChangeSet(my.estate, stack, name);
}

function needChangeSet(my: Managed, params: NamedParams): ChangeSet {
  const found = findNamed(my, params);
  if (found !== undefined) return found;
  throw new ApiError(
    'ChangeSetNotFound',
    `ChangeSet [${shown(params.ChangeSetName ?? '')}] does not exist`,
    404,
  );
}
