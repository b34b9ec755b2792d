/**
 * This file reads the body of a request into what a route takes. Its sender has the token and is believed no more than
 * a client of the control socket: each field has its type and its bound, and a field that is not known is an error.
 */
import { DRAFT_RULES_MAX, type GroupDraft, type PermissionDraft } from '../config/group-draft.ts';
import { ConsoleFailure } from './failure.ts';
import type { CopyRequest, ExplainRequest } from './contract.ts';

/** Longest text of a field. */
const TEXT_MAX = 1000;
const QUESTION_MAX = 1000;
const FORMS = ['yaml', 'cloudformation', 'terraform', 'commands'] as const;

type Fields = Readonly<Record<string, unknown>>;

export function readExplain(body: unknown): ExplainRequest {
  const fields = readFields(body, ['question']);
  return { question: readText(fields, 'question', QUESTION_MAX) };
}

export function readDraft(body: unknown): GroupDraft {
  return draftOf(readFields(body, ['group', 'ingress', 'egress']));
}

/** A draft to apply, with the preview that it was given. */
export function readApply(body: unknown): GroupDraft & { readonly preview: string } {
  const fields = readFields(body, ['group', 'ingress', 'egress', 'preview']);
  return { ...draftOf(fields), preview: readText(fields, 'preview') };
}

export function readCopy(body: unknown): CopyRequest {
  const fields = readFields(body, ['group', 'ingress', 'egress', 'as']);
  const as = FORMS.find((form) => form === fields['as']);
  if (as === undefined) throw new ConsoleFailure(400, `'as' is one of ${FORMS.join(', ')}`);
  return { ...draftOf(fields), as };
}

function draftOf(fields: Fields): GroupDraft {
  return {
    group: readText(fields, 'group'),
    ingress: readPermissions(fields, 'ingress'),
    egress: readPermissions(fields, 'egress'),
  };
}

function readPermissions(fields: Fields, name: string): readonly PermissionDraft[] {
  const list = fields[name];
  if (!Array.isArray(list) || list.length > DRAFT_RULES_MAX)
    throw new ConsoleFailure(400, `'${name}' is a list of at most ${DRAFT_RULES_MAX} rules`);
  return list.map(readPermission);
}

function readPermission(value: unknown): PermissionDraft {
  const optional = ['ports', 'type', 'code', 'description'] as const;
  const fields = readFields(value, ['protocol', 'peer', 'audit', 'tlsName', ...optional]);
  const { audit, tlsName } = fields;
  if (tlsName !== undefined && tlsName !== 'required')
    throw new ConsoleFailure(400, "'tlsName' is required, or not given");
  if (audit !== undefined && typeof audit !== 'boolean')
    throw new ConsoleFailure(400, "'audit' is true or false");
  const given = optional.filter((name) => fields[name] !== undefined);
  return {
    protocol: readText(fields, 'protocol'),
    peer: readText(fields, 'peer'),
    ...Object.fromEntries(given.map((name) => [name, readText(fields, name)])),
    ...(tlsName === undefined ? {} : { tlsName }),
    ...(audit === undefined ? {} : { audit }),
  };
}

function readFields(value: unknown, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConsoleFailure(400, 'a JSON object is missing');
  for (const key of Object.keys(value))
    if (!known.includes(key))
      throw new ConsoleFailure(400, 'a field is not known', `there are ${known.join(', ')}`);
  return value as Fields;
}

function readText(fields: Fields, name: string, max = TEXT_MAX): string {
  const text = fields[name];
  if (typeof text === 'string' && text.length <= max) return text;
  throw new ConsoleFailure(400, `'${name}' is a text of at most ${max} characters`);
}
