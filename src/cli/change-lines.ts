/** Prints what a plan changes: a line a resource. */
import type { PlannedChange } from '../inputs/terraform/read-terraform.ts';
import { printable } from '../source/excerpt.ts';
import { paint, type Style } from './output.ts';

const SIGNS: Readonly<Record<PlannedChange['action'], readonly [sign: string, style: Style]>> = {
  add: ['+', 'green'],
  change: ['~', 'yellow'],
  replace: ['±', 'yellow'],
  remove: ['-', 'red'],
};

export function changeLines(changes: readonly PlannedChange[]): readonly string[] {
  return changes.map(({ action, address }) => {
    const [sign, style] = SIGNS[action];
    return `  ${paint(sign, style)} ${printable(address)}`;
  });
}
