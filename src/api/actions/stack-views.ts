/** Actions that describe stacks, their resources, events and exports. */
import type { Action, Answer } from '../action.ts';
import { shown } from '../form.ts';
import { managedAction, type Managed } from '../managed.ts';
import { pageOf } from '../page.ts';
import { noSuchStack, REVIEW, settled } from '../stacks/deploy.ts';
import {
  eventsOf,
  listDeleted,
  listStacks,
  type Stack,
  type StackResource,
} from '../stacks/stack-rows.ts';
import { invalid } from '../stacks/template-checks.ts';
import { eventOutput, resourceOutput, stackOutput, stackSummary } from './stack-output.ts';
import { lookUp, needStack } from './stack-params.ts';

interface StackParams {
  readonly StackName?: string;
  readonly NextToken?: string;
}

interface ResourceParams extends StackParams {
  readonly LogicalResourceId?: string;
  readonly PhysicalResourceId?: string;
}

/** As many as AWS has on a page. */
const PAGE = 100;

export function stackViews(managed: Managed): readonly Action[] {
  const define: Define = (name, run) => managedAction(managed, name, 'read', run, 'cloudformation');
  return [
    define<StackParams>('DescribeStacks', async (my, params) => {
      const { StackName: named } = params;
      if (named !== undefined) {
        const found = lookUp(my, named);
        if (found === undefined) throw noSuchStack(shown(named));
        return { output: { Stacks: [stackOutput(found)] } };
      }
      const { items, NextToken } = page(listStacks(my.estate), ({ name }) => name, params);
      return { output: { Stacks: items.map(stackOutput), NextToken } };
    }),
    define<StackParams & { StackStatusFilter?: readonly string[] }>(
      'ListStacks',
      async (my, params) => {
        const all = [...listStacks(my.estate), ...listDeleted(my.estate)].map(settled);
        const { StackStatusFilter: wanted } = params;
        const asked = all.filter(({ status }) => wanted?.includes(status) ?? true);
        const inOrder = asked.sort((a, b) => (a.id < b.id ? -1 : 1));
        const { items, NextToken } = page(inOrder, ({ id }) => id, params);
        return { output: { StackSummaries: items.map(stackSummary), NextToken } };
      },
    ),
    define<StackParams>('DescribeStackEvents', async (my, params) => {
      const stack = lookUp(my, params.StackName ?? '');
      if (stack === undefined)
        throw invalid(`Stack [${shown(params.StackName ?? '')}] does not exist`);
      const events = stack.deletedAt === undefined ? eventsOf(my.estate, stack.name) : [];
      return { output: { StackEvents: events.map((event) => eventOutput(stack, event)) } };
    }),
    ...resourceViews(define),
    ...exportViews(define),
  ];
}

type Define = <P extends object>(
  name: string,
  run: (my: Managed, params: P) => Promise<Answer>,
) => Action;

function resourceViews(define: Define): readonly Action[] {
  return [
    define<ResourceParams>('DescribeStackResources', async (my, params) => {
      const stack = stackOf(my, params);
      const { LogicalResourceId: logicalId, PhysicalResourceId: physicalId } = params;
      const asked = stack.resources.filter(
        (one) =>
          (logicalId === undefined || one.logicalId === logicalId) &&
          (physicalId === undefined || one.physicalId === physicalId),
      );
      const show = (one: StackResource): object => resourceOutput(stack, one, 'Timestamp');
      return { output: { StackResources: asked.map(show) } };
    }),
    define<ResourceParams>('DescribeStackResource', async (my, params) => {
      const stack = needStack(my, params.StackName);
      const { LogicalResourceId: logicalId = '' } = params;
      const found = stack.resources.find((one) => one.logicalId === logicalId);
      if (found === undefined)
        throw invalid(`Resource ${shown(logicalId)} does not exist for stack ${stack.name}`);
      const detail = resourceOutput(stack, found, 'LastUpdatedTimestamp');
      return { output: { StackResourceDetail: detail } };
    }),
    define<StackParams>('ListStackResources', async (my, params) => {
      const stack = needStack(my, params.StackName);
      const show = (one: StackResource): object =>
        resourceOutput(stack, one, 'LastUpdatedTimestamp');
      return { output: { StackResourceSummaries: stack.resources.map(show) } };
    }),
  ];
}

function exportViews(define: Define): readonly Action[] {
  return [
    define<StackParams>('ListExports', async (my, params) => {
      const all = exportsOf(my).sort((a, b) => (a.Name < b.Name ? -1 : 1));
      const { items, NextToken } = page(all, ({ Name }) => Name, params);
      return { output: { Exports: items, NextToken } };
    }),
    define<{ ExportName?: string }>('ListImports', async (my, { ExportName: name = '' }) => {
      const users = listStacks(my.estate).filter(({ imports }) => imports.includes(name));
      if (users.length === 0)
        throw invalid(`Export '${shown(name)}' is not imported by any stack.`);
      return { output: { Imports: users.map((stack) => stack.name) } };
    }),
  ];
}

function page<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  { NextToken: token }: StackParams,
): { readonly items: readonly T[]; readonly NextToken?: string } {
  const params = { MaxResults: PAGE, ...(token === undefined ? {} : { NextToken: token }) };
  return pageOf(items, idOf, params);
}

/** The stack that is named, or that has the physical resource. */
function stackOf(my: Managed, { StackName: named, PhysicalResourceId: id }: ResourceParams): Stack {
  if (named !== undefined || id === undefined) return needStack(my, named);
  const found = listStacks(my.estate).find(
    ({ resources, status }) =>
      status !== REVIEW && resources.some(({ physicalId }) => physicalId === id),
  );
  if (found === undefined) throw invalid(`Stack for ${shown(id)} does not exist`);
  return settled(found);
}

function exportsOf(my: Managed): { ExportingStackId: string; Name: string; Value: string }[] {
  return listStacks(my.estate).flatMap(({ id, outputs }) =>
    outputs.flatMap(({ exportName, value }) =>
      exportName === undefined ? [] : [{ ExportingStackId: id, Name: exportName, Value: value }],
    ),
  );
}
