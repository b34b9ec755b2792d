/** What every call on the estate needs, and the checks that many of them share. */
import { randomBytes } from 'node:crypto';
import { checkAuditTag } from '../policy/audit-tags.ts';
import type { QuotaMaxima } from '../policy/quotas.ts';
import {
  makeRefusal,
  unlessRefused,
  type Checked,
  type Refusal,
  type RefusalCode,
} from '../policy/refusals.ts';
import { addTags, type Tag } from '../policy/tags.ts';
import type { DeclaredAt, Tags } from './model.ts';

export interface CallContext {
  /** Makes the id of something new, such as `sg-…`. */
  readonly newId: (prefix: string) => string;
  readonly quotas: QuotaMaxima;
  /** The caller's, which some of AWS's sentences name. */
  readonly accountId: string;
}

const ID_BYTES = 9;
const ID_DIGITS = 17;

/** An id as AWS makes them: 17 hexadecimal digits that nobody can guess. */
export function randomId(prefix: string): string {
  return `${prefix}-${randomBytes(ID_BYTES).toString('hex').slice(0, ID_DIGITS)}`;
}

/** All of some values, or all that stands against them. */
export function allOf<T>(found: readonly Checked<T>[]): Checked<readonly T[]> {
  const refusals = found.flatMap((one) => (one.ok ? [] : one.refusals));
  if (refusals.length > 0) return { ok: false, refusals };
  return { ok: true, value: found.flatMap((one) => (one.ok ? [one.value] : [])) };
}

export function refused(code: RefusalCode, message: string, hint?: string): Checked<never> {
  return { ok: false, refusals: [makeRefusal(code, message, hint)] };
}

/** What stands against changing something that a configuration file declares. */
export function checkNotDeclared(
  id: string,
  { declaredAt }: { readonly declaredAt?: DeclaredAt },
): readonly Refusal[] {
  if (declaredAt === undefined) return [];
  const { host, file, line } = declaredAt;
  const message = `${id} is declared in ${file}, line ${line}, on ${host}, and can be changed there only`;
  return [makeRefusal('OperationNotPermitted', message)];
}

/** What was found, unless a configuration file declares it: no call changes that. */
export function unlessDeclared<T extends { readonly declaredAt?: DeclaredAt }>(
  id: string,
  found: Checked<T>,
): Checked<T> {
  return found.ok ? unlessRefused(found.value, checkNotDeclared(id, found.value)) : found;
}

/** What stands against a call's moving an interface that somebody asked a daemon for: the owner goes by where it is. */
export function checkNotOwned(
  id: string,
  { owner }: { readonly owner?: string },
): readonly Refusal[] {
  if (owner === undefined) return [];
  const message = `${id} belongs to ${owner}, which alone may detach it or change its addresses`;
  return [makeRefusal('OperationNotPermitted', message, 'sgctl interface rm removes it')];
}

/** Tags as a TagSpecification gives them to something new. */
export function newTags(tags: readonly Tag[]): Checked<Tags> {
  return unlessMalformed(tags, addTags([], tags));
}

/** The tags of something as a call changes them, unless one of them means something to hosts and its value nothing. */
export function unlessMalformed(given: readonly Tag[], tags: Checked<Tags>): Checked<Tags> {
  return tags.ok ? unlessRefused(tags.value, checkAuditTag(given)) : tags;
}
