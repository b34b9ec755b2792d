/** Groups and permissions for tests of changes, in the words of test/support/policy.ts. */
import type { Permission } from '../../src/policy/permissions.ts';
import type { Direction, Rule, SecurityGroup } from '../../src/policy/model.ts';
import type { Checked, Refusal } from '../../src/policy/refusals.ts';
import { model } from '../support/policy.ts';

export const ORIGIN = { file: 'api', line: 0, column: 0, path: '' };

/** `tcp 22 from 10.0.0.0/8`, and a description behind `#`. */
export function permission(text: string): Permission {
  const [line, description] = text.split(' # ');
  const [{ protocol, fromPort, toPort, peer }] = rulesOf([line]);
  return {
    protocol,
    fromPort,
    toPort,
    peer,
    ...(description === undefined ? {} : { description }),
  };
}

/** A group with these rules, whose ids are `sgr-` and the place of the rule in 17 digits, ingress first. */
export function makeGroup(
  ingress: readonly string[],
  egress: readonly string[] = [],
): SecurityGroup {
  const of = (direction: Direction, texts: readonly string[], start: number): Rule[] =>
    texts.map((text, i) => ({
      id: ruleId(start + i),
      direction,
      description: '',
      ...permission(text),
      origin: ORIGIN,
    }));
  return {
    id: 'sg-0123456789abcdef0',
    name: 'web',
    description: 'web servers',
    ingress: of('ingress', ingress, 0),
    egress: of('egress', egress, ingress.length),
    origin: ORIGIN,
  };
}

/** `sgr-` and the number in 17 digits. */
export function ruleId(number: number): string {
  return `sgr-${String(number).padStart(17, '0')}`;
}

/** A maker of ids that gives out these, from `first` on. */
export function countingIds(first: number): () => string {
  let next = first;
  return () => ruleId(next++);
}

/** `CODE: message` of each refusal, or nothing. */
export function refusalsOf(checked: Checked<unknown>): string[] {
  return checked.ok ? [] : checked.refusals.map(refusalText);
}

/** `CODE: message`. */
export function refusalText({ code, message }: Refusal): string {
  return `${code}: ${message}`;
}

/** The value; fails where there is none. */
export function must<T>(checked: Checked<T>): T {
  if (!checked.ok) throw new Error(refusalsOf(checked).join('; '));
  return checked.value;
}

function rulesOf(lines: readonly string[]): readonly Rule[] {
  return model({ groups: { any: { ingress: lines } }, interfaces: {} }).groups.get('sg-any')!
    .ingress;
}
