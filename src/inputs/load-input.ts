/**
 * Loads whatever a user holds as a configuration: YAML, a CloudFormation template, cdk.out, a plan or state of
 * Terraform, a state of Pulumi, or what EC2 answered. Whoever takes one takes all of them by this.
 */
import type { Config } from '../config/config.ts';
import { AWS_QUOTAS, checkQuotas } from '../config/config-quotas.ts';
import { foreignFolder, foreignTemplate } from '../config/foreign-input.ts';
import { buildConfig } from '../config/load-config.ts';
import { stableId } from '../policy/ids.ts';
import type { PolicyModel } from '../policy/model.ts';
import { hasErrors, type Problem } from '../source/problem.ts';
import { readAccount } from './account/read-account.ts';
import { ModelDraft } from './draft.ts';
import type { DraftInterface } from './draft-parts.ts';
import { makeConfig } from './make-config.ts';
import {
  NO_SETTINGS,
  readTemplateFiles,
  type TemplateRead,
  type TemplateSettings,
} from './read-templates.ts';
import { recognize, type Recognized } from './recognize.ts';
import type { PlacedInterface } from './template-interfaces.ts';
import { readTerraform, type PlannedChange } from './terraform/read-terraform.ts';

export interface InputOptions {
  readonly netnsDirectory: string;
  /** Addresses for interfaces whose own are not known, or in place of them: by name. */
  readonly addresses?: ReadonlyMap<string, string>;
  /** For a template. */
  readonly settings?: TemplateSettings;
  /** What has no interfaces is an error that says what to write: there is nothing to ask about. Absent: false. */
  readonly needsInterfaces?: boolean;
  /** Of a plan: what it starts from, in place of what it makes. */
  readonly isPrior?: boolean;
}

/** What an input is, in the words of `--json`. */
export type InputKind =
  'configuration' | 'template' | 'assembly' | 'terraform-plan' | 'terraform-state' | 'account';

export interface LoadedInput {
  readonly kind: InputKind;
  /** Undefined if any problem is an error. */
  readonly config: Config | undefined;
  readonly problems: readonly Problem[];
  /** What a plan changes; empty for other inputs. */
  readonly changes: readonly PlannedChange[];
}

/** Never throws because of the content of files, or because files are missing. */
export function loadInput(file: string, options: InputOptions): LoadedInput {
  return loadRecognized(recognize(file), options);
}

/** Does the same with what has been recognized already. */
export function loadRecognized(input: Recognized, options: InputOptions): LoadedInput {
  switch (input.kind) {
    case 'configuration':
      return loadOwn(input, options);
    case 'template':
    case 'assembly':
      return loadTemplate(input, options);
    case 'terraform': {
      const problems: Problem[] = [];
      const read = readTerraform(input.json, problems, options.isPrior);
      const kind =
        read.kind === 'plan' || options.isPrior === true ? 'terraform-plan' : 'terraform-state';
      return { ...finish(input.file, read.draft, problems, options), kind, changes: read.changes };
    }
    case 'account': {
      const problems = [...input.problems];
      const draft = readAccount(input.files, problems);
      return { ...finish(input.file, draft, problems, options), kind: 'account', changes: [] };
    }
    default:
      return input satisfies never;
  }
}

function loadOwn(
  { file, root, problems: found }: Recognized & { readonly kind: 'configuration' },
  { netnsDirectory }: InputOptions,
): LoadedInput {
  const loaded = root === undefined ? undefined : buildConfig(file, root, { netnsDirectory });
  const problems = [...found, ...(loaded?.problems ?? [])];
  const config = hasErrors(problems) ? undefined : loaded?.config;
  return { kind: 'configuration', config, problems, changes: [] };
}

function finish(
  file: string,
  draft: ModelDraft,
  problems: Problem[],
  { netnsDirectory, addresses }: InputOptions,
): Pick<LoadedInput, 'config' | 'problems'> {
  const model = draft.finish(problems, addresses);
  problems.push(...checkQuotas(model, AWS_QUOTAS));
  const config = hasErrors(problems) ? undefined : makeConfig(file, model, netnsDirectory);
  return { config, problems };
}

/** A template by itself: what has interfaces in it becomes interfaces, with addresses that nobody knows. */
function loadTemplate(
  { kind, file, text, tree }: Recognized & { readonly kind: 'template' | 'assembly' },
  options: InputOptions,
): LoadedInput {
  const given = [{ file, text, ...(tree === undefined ? {} : { tree }) }];
  const read = readTemplateFiles(given, options.settings ?? NO_SETTINGS);
  const one = read.files.get(file);
  const problems = [...(one?.problems ?? [])];
  const listed = read.interfaces.get(file) ?? [];
  const isIdle = options.needsInterfaces === true && listed.length === 0;
  const idle = !isIdle
    ? undefined
    : text === undefined
      ? foreignFolder(file, 'configuration')
      : foreignTemplate(file, text, tree?.root, 'configuration');
  if (idle !== undefined) return { kind, config: undefined, problems: [idle], changes: [] };
  if (one?.model === undefined || hasErrors(problems))
    return { kind, config: undefined, problems, changes: [] };
  const model = withInterfaces(one, listed, options, problems);
  const config = hasErrors(problems) ? undefined : makeConfig(file, model, options.netnsDirectory);
  return { kind, config, problems, changes: [] };
}

/** The model of a template with interfaces; it is AWS's, as nothing here enforces it. */
export function withInterfaces(
  { model, outside }: Pick<TemplateRead, 'model' | 'outside'>,
  listed: readonly PlacedInterface[],
  { addresses }: Pick<InputOptions, 'addresses'>,
  problems: Problem[],
): PolicyModel {
  const draft = new ModelDraft('the template');
  for (const { id, shown, groupIds, audit, hasIpv6, origin } of listed) {
    const own = groupIds ?? [draft.group(stableId('sg', 'default', 'template'), origin).id];
    const made: DraftInterface = {
      ...{ id, name: shown.from, vpcId: undefined, subnetId: undefined, addresses: [], origin },
      ...{ groupIds: new Set(own), doubtGroups: new Map(), gaps: [...shown.gaps] },
      sourceDestCheck: true,
      ...(audit === undefined ? {} : { audit }),
      ...(hasIpv6 === undefined ? {} : { lacksIpv6: hasIpv6 }),
    };
    for (const group of own) if (!model!.groups.has(group)) draft.group(group, origin);
    draft.interfaces.set(id, made);
  }
  const { interfaces, groups: strange } = draft.finish(problems, addresses);
  const groups = new Map([
    ...strange,
    ...outside.map((one) => [one.id, one] as const),
    ...model!.groups,
  ]);
  return { ...model!, groups, interfaces, isElsewhere: true };
}
