/**
 * This file reads what a template says of itself (parameters, types, transforms), and refuses what no stack can be made
 * of: in the words of the loader, as CloudFormation's ValidationError.
 */
import { LANGUAGE_EXTENSIONS } from '../../cloudformation/macros.ts';
import { KIND_STACK } from '../../cloudformation/kinds.ts';
import { parseTemplate, TEMPLATE_BYTES_MAX } from '../../cloudformation/template-tree.ts';
import { readSections, type Sections } from '../../cloudformation/template.ts';
import { hasErrors, type Problem } from '../../source/problem.ts';
import { get, type Node } from '../../source/yaml.ts';
import { ApiError } from '../action.ts';

/** The name that positions have in messages. */
export const TEMPLATE_FILE = 'template';
const SHOWN_MAX = 5;

export interface ParameterSummary {
  readonly name: string;
  readonly type: string;
  readonly fallback: string | undefined;
  readonly description: string | undefined;
  readonly isSecret: boolean;
  readonly allowed: readonly string[];
}

export interface TemplateSummary {
  readonly description: string | undefined;
  readonly parameters: readonly ParameterSummary[];
  readonly resourceTypes: readonly string[];
  readonly transforms: readonly string[];
}

export function invalid(message: string): ApiError {
  return new ApiError('ValidationError', message);
}

/** @throws ApiError if it is no template */
export function summarize(text: string): TemplateSummary {
  const { root, parameters, resources, transforms } = sectionsOf(text);
  const types = resources.entries.flatMap(({ value }) => textOf(get(value, 'Type')) ?? []);
  return {
    description: textOf(get(root, 'Description')),
    parameters: (parameters?.entries ?? []).map(({ key, value }) => ({
      name: key,
      type: textOf(get(value, 'Type')) ?? 'String',
      fallback: textOf(get(value, 'Default')),
      description: textOf(get(value, 'Description')),
      isSecret: textOf(get(value, 'NoEcho'))?.toLowerCase() === 'true',
      allowed: itemsOf(get(value, 'AllowedValues')),
    })),
    resourceTypes: [...new Set(types)],
    transforms: transforms.map(({ name }) => name),
  };
}

/** Refuses what would be made otherwise than AWS makes it, before anything is made. @throws ApiError */
export function checkServed({ transforms, resourceTypes }: TemplateSummary): void {
  const strange = transforms.filter((name) => name !== LANGUAGE_EXTENSIONS);
  if (strange.length > 0)
    throw invalid(`Transforms are not run here: [${strange.join(', ')}]. Write out what they make`);
  if (resourceTypes.includes(KIND_STACK))
    throw invalid('Nested stacks are not served here: deploy each template as a stack of its own');
}

/** @throws ApiError the first errors among the problems, if there are any */
export function refuseErrors(problems: readonly Problem[]): void {
  if (!hasErrors(problems)) return;
  const errors = problems.filter(({ severity }) => severity === 'error');
  const texts = errors.slice(0, SHOWN_MAX).map(problemText);
  const more = errors.length - texts.length;
  throw invalid(
    `Template format error: ${texts.join('; ')}${more > 0 ? `; and ${more} more` : ''}`,
  );
}

function problemText({ at, message, hint }: Problem): string {
  const place = at === undefined || at.line === 0 ? '' : ` (line ${at.line}, column ${at.column})`;
  return `${message}${place}${hint === undefined ? '' : `: ${hint}`}`;
}

function sectionsOf(text: string): Sections {
  if (Buffer.byteLength(text) > TEMPLATE_BYTES_MAX)
    throw invalid(`Template may not exceed ${TEMPLATE_BYTES_MAX} bytes in size.`);
  const { root, problems: found } = parseTemplate(TEMPLATE_FILE, text);
  const problems = [...found];
  const sections = root === undefined ? undefined : readSections(root, problems);
  refuseErrors(problems);
  if (sections === undefined) throw invalid('Template format error: there is no template');
  return sections;
}

function itemsOf(node: Node | undefined): readonly string[] {
  return node?.kind === 'list' ? node.items.flatMap((item) => textOf(item) ?? []) : [];
}

function textOf(node: Node | undefined): string | undefined {
  return node?.kind === 'scalar' && node.value !== null ? node.text : undefined;
}

/** AWS's limit of a template that comes with the call. */
const BODY_CHARS_MAX = 51_200;

export function isTemplateSize(text: string): boolean {
  return text.length <= BODY_CHARS_MAX;
}
