/** This file shows a rule the same way everywhere: what it says, whose it is, where it is written. */
import { formatOrigin } from '../logic/format.ts';
import { shown } from '../logic/shown.ts';
import { Tag } from './verdict.tsx';

export interface ShownRule {
  readonly id: string;
  readonly text: string;
  readonly description: string;
  readonly direction?: 'ingress' | 'egress';
  readonly group?: { readonly id: string; readonly name: string };
  readonly audit?: true;
  readonly origin?: { readonly file: string; readonly line: number; readonly logicalId?: string };
}

/** The rule in full, over several lines. */
export function RuleText({ rule }: { readonly rule: ShownRule }) {
  const { text, description, direction, group, origin } = rule;
  return (
    <div class="rule">
      <div class="rule-text">
        {direction !== undefined && <Tag text={direction} kind={direction} />}
        <code>{shown(text)}</code>
        {rule.audit === true && <Tag text="only audits" kind="warning" />}
      </div>
      {description !== '' && <div class="rule-description">{shown(description)}</div>}
      <div class="rule-origin">
        {group !== undefined && <span>{shown(group.name)}</span>}
        {origin !== undefined && <span class="mono">{shown(formatOrigin(origin))}</span>}
        {origin?.logicalId !== undefined && <span>{shown(origin.logicalId)}</span>}
      </div>
    </div>
  );
}

/** The rule in one line, for tables. */
export function ruleLine(rule: ShownRule | undefined): string {
  if (rule === undefined) return '–';
  return rule.group === undefined
    ? shown(rule.text)
    : `${shown(rule.group.name)}: ${shown(rule.text)}`;
}
