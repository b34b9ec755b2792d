/** Actions that make, change and delete stacks, and that read templates. */
import type { Answer, Action, Caller, Policy } from '../action.ts';
import { managedAction, type Managed } from '../managed.ts';
import { deploy, destroy, preview } from '../stacks/deploy.ts';
import { findChangeSet, findStack, templateOf, writeStack } from '../stacks/stack-rows.ts';
import { invalid, summarize, type TemplateSummary } from '../stacks/template-checks.ts';
import { changeSetNameOf } from './change-sets.ts';
import {
  checkUpdatable,
  lookUp,
  makeStack,
  needStack,
  onFailureOf,
  orderOf,
  templateText,
  type OrderParams,
  type TemplateParams,
} from './stack-params.ts';

interface CreateParams extends OrderParams {
  readonly EnableTerminationProtection?: boolean;
}

interface DeleteParams {
  readonly StackName?: string;
  readonly RetainResources?: readonly string[];
}

interface TemplateQuery extends TemplateParams {
  readonly StackName?: string;
  readonly ChangeSetName?: string;
}

export function stackActions(managed: Managed): readonly Action[] {
  const define: Define = (name, right, run) =>
    managedAction(managed, name, right, run, 'cloudformation');
  return [
    define<CreateParams>('CreateStack', 'write', async (my, params, caller) => {
      const order = orderOf(my, params, undefined, caller);
      const stack = makeStack(my, params, order);
      const revision = await deploy(my, stack, order, {
        onFailure: onFailureOf(params),
        isProtected: params.EnableTerminationProtection === true,
      });
      return { output: { StackId: stack.id }, revision };
    }),
    define<OrderParams>('UpdateStack', 'write', async (my, params, caller) => {
      const stack = needStack(my, params.StackName);
      checkUpdatable(stack);
      const order = orderOf(my, params, stack, caller);
      if (!preview(my, stack, order).isChanged) throw invalid('No updates are to be performed.');
      const revision = await deploy(my, stack, order, { onFailure: 'ROLLBACK' });
      return { output: { StackId: stack.id }, revision };
    }),
    define<DeleteParams>('DeleteStack', 'write', async (my, params) => {
      const { StackName: named = '' } = params;
      const stack = lookUp(my, named);
      // AWS says nothing of a stack that is not there.
      if (stack === undefined || stack.deletedAt !== undefined) return { output: {} };
      if (stack.isProtected)
        throw invalid(
          `Stack [${stack.name}] cannot be deleted while TerminationProtection is enabled`,
        );
      const revision = await destroy(my, stack, params.RetainResources ?? []);
      return { output: {}, revision };
    }),
    define<{ StackName?: string; EnableTerminationProtection?: boolean }>(
      'UpdateTerminationProtection',
      'write',
      async (my, { StackName: named, EnableTerminationProtection: isProtected = false }) => {
        const { id, name } = needStack(my, named);
        const revision = await my.note((edit) => {
          writeStack(edit, { ...findStack(my.estate, name)!, isProtected });
        });
        return { output: { StackId: id }, revision };
      },
    ),
    ...templateActions(define),
  ];
}

type Define = <P extends object>(
  name: string,
  right: Policy,
  run: (my: Managed, params: P, caller: Caller) => Promise<Answer>,
) => Action;

function templateActions(define: Define): readonly Action[] {
  return [
    define<TemplateQuery>('GetTemplate', 'read', async (my, params) => {
      const body = queriedTemplate(my, params);
      return { output: { TemplateBody: body, StagesAvailable: ['Original', 'Processed'] } };
    }),
    define<TemplateQuery>('GetTemplateSummary', 'read', async (my, params, caller) => {
      const isOwn = params.TemplateBody === undefined && params.TemplateURL === undefined;
      const text = isOwn
        ? queriedTemplate(my, params)
        : templateText(my, params, undefined, caller);
      return { output: summaryOutput(summarize(text)) };
    }),
    define<TemplateParams>('ValidateTemplate', 'read', async (my, params, caller) => {
      const summary = summarize(templateText(my, params, undefined, caller));
      const { parameters, description, transforms } = summary;
      return {
        output: {
          Description: description,
          DeclaredTransforms: transforms,
          Parameters: parameters.map((one) => ({
            ParameterKey: one.name,
            DefaultValue: one.fallback,
            NoEcho: one.isSecret,
            Description: one.description,
          })),
        },
      };
    }),
  ];
}

function queriedTemplate(
  my: Managed,
  { StackName: named, ChangeSetName: set }: TemplateQuery,
): string {
  if (set !== undefined) {
    const { stack, name } = changeSetNameOf(my, set, named);
    const found = findChangeSet(my.estate, stack, name);
    // That of one that was executed is the stack's.
    if (found !== undefined && found.order.template !== '') return found.order.template;
  }
  // A stack in review has none yet, and the CDK takes an empty text as that.
  return templateOf(my.estate, needStack(my, named).name);
}

function summaryOutput({
  parameters,
  description,
  resourceTypes,
  transforms,
}: TemplateSummary): object {
  return {
    Description: description,
    ResourceTypes: resourceTypes,
    DeclaredTransforms: transforms,
    Parameters: parameters.map((one) => ({
      ParameterKey: one.name,
      DefaultValue: one.fallback,
      ParameterType: one.type,
      NoEcho: one.isSecret,
      Description: one.description,
      ParameterConstraints: one.allowed.length === 0 ? {} : { AllowedValues: one.allowed },
    })),
  };
}
