/** `sgctl explain --drop N`: what the rules say of a packet that was dropped. */
import { ask } from '../control-socket/control-client.ts';
import type { DropExplanation } from '../queries/drops-view.ts';
import { formatExplanation } from './explain-text.ts';
import { EXIT_FAILED, EXIT_OK } from './output.ts';
import { findSocket, type SocketOptions } from './socket.ts';
import { printJson, verdictText } from './traffic-text.ts';
import { formatAgo } from './units.ts';
import { printable } from '../source/excerpt.ts';

/** In place of a number: the latest drop. */
export const LAST_DROP = 'last';

export type DropId = number | typeof LAST_DROP;

/** Drop reasons that the rules themselves give: what they say is the whole story. */
const RULE_REASONS: ReadonlySet<string> = new Set(['ingress-rules', 'egress-rules']);

/** @returns the exit code */
export async function explainSeenDrop(
  id: DropId,
  options: SocketOptions & { readonly json?: boolean },
): Promise<number> {
  const question = id === LAST_DROP ? {} : { id };
  const answer = await ask(findSocket(options), 'explainDrop', question);
  if (options.json === true) printJson(answer);
  if (answer.outcome === 'unknown') {
    if (options.json !== true) console.error(`sgctl: ${unknownText(id, answer)}`);
    return EXIT_FAILED;
  }
  if (options.json !== true) console.log(formatDropExplanation(answer));
  return EXIT_OK;
}

export function formatDropExplanation(
  answer: Extract<DropExplanation, { outcome: 'explained' }>,
): string {
  const { drop, explanation } = answer;
  const { direction, reason = '', meaning = '' } = drop;
  const head = printable(
    `#${drop.id}, ${formatAgo(drop.timeMs)}: ${direction} of ${drop.interface}, ${verdictText(drop)}`,
  );
  const what = drop.verdict === 'audited' ? 'passed by audit, would be dropped' : 'dropped';
  const seen = `  ${what} as ${reason}: ${meaning}`;
  if (explanation === undefined)
    return `${head}\n${seen}\n\nThe rules have nothing to say of such a packet.`;
  const isUpToRules = RULE_REASONS.has(reason);
  const sections = [`${head}\n${seen}`];
  if (!isUpToRules && explanation.verdict === 'allowed')
    sections.push(
      'The rules in force would admit it as the first packet of a flow: what dropped it is told above.',
    );
  if (isUpToRules && explanation.verdict === 'allowed')
    sections.push('The rules in force now would admit it: they have changed since.');
  sections.push(formatExplanation('by the rules in force now', explanation));
  return sections.join('\n\n');
}

function unknownText(
  id: DropId,
  { kept, newest }: Extract<DropExplanation, { outcome: 'unknown' }>,
): string {
  if (newest === 0) return 'nothing was dropped since the daemon started';
  const which = id === LAST_DROP ? 'no drop' : `drop ${id}`;
  return `${which} is not kept (any more): ${newest} were seen, the latest ${kept} of different kinds are kept; sgctl drops shows them`;
}
