/** What `sgctl learn` says beside its proposal, for people: what was looked at, what is set apart, and why. */
import { addressText, textOfService, type Conversation } from '../learn/conversation.ts';
import type { Conversations } from '../learn/conversations.ts';
import { spanText } from '../learn/evidence.ts';
import type { Learnt } from '../learn/learn.ts';
import { ownerText } from '../learn/owners.ts';
import type { Proposed } from '../learn/propose.ts';
import type { Apart, ApartReason, Thresholds } from '../learn/set-apart.ts';
import { findExcesses, QUOTA_DEFAULTS } from '../policy/quotas.ts';
import { serviceText } from '../policy/rules.ts';
import { count } from '../source/count.ts';
import type { Looked } from './learn-sources.ts';
import { formatDuration } from './units.ts';

const TOLD_MAX = 20;

/** What thresholds mean for each reason, as the option that changes it would have it. */
function meaningOf(reason: ApartReason, thresholds: Thresholds): string {
  const { minFlows, minDays, scanPlaces, scanAnswered } = thresholds;
  switch (reason) {
    case 'scanner':
      return `asked at ${scanPlaces} places or more (--scan-places), of which less than ${Math.round(100 * scanAnswered)} % answered`;
    case 'refused':
      return 'the flow log says that it was refused';
    case 'unanswered':
      return 'nobody answered (--keep-unanswered proposes rules for it)';
    case 'one-off':
      return `services with fewer than ${count(minFlows, 'flow')} (--min-flows)`;
    case 'few-days':
      return `services seen on fewer than ${count(minDays, 'day')} (--min-days)`;
    default:
      return reason satisfies never;
  }
}

/** How long was looked, and what that says nothing of. */
export function riskTexts({ firstMs, lastMs, source, missed }: Looked): readonly string[] {
  if (lastMs < firstMs) return [`${source}: nothing was seen`];
  const long = formatDuration(lastMs - firstMs);
  return [
    `${source}: ${long} of traffic, ${spanText(firstMs, lastMs)}`,
    `what runs less often than once in ${long} was not seen: rules for it are not here`,
    ...missed.map((text) => `not seen: ${text}`),
  ];
}

/** A line for whoever or whatever is set apart, under a line for the reason. */
export function apartTexts(learnt: Learnt, thresholds: Thresholds): readonly string[] {
  const byReason = new Map<ApartReason, Apart[]>();
  for (const one of learnt.apart)
    byReason.set(one.reason, [...(byReason.get(one.reason) ?? []), one]);
  return [...byReason].flatMap(([reason, all]) => {
    const lines =
      reason === 'scanner'
        ? learnt.scanners.map(
            ({ opener, places, answered }) =>
              `${addressText(opener)}: ${count(places, 'place')}, ${answered} answered`,
          )
        : all.map(({ conversation }) => conversationText(conversation, learnt));
    const rest = lines.length - TOLD_MAX;
    return [
      `set apart, ${reason}: ${meaningOf(reason, thresholds)}`,
      ...lines.slice(0, TOLD_MAX).map((line) => `  ${line}`),
      ...(rest > 0 ? [`  and ${rest} more (--json has all)`] : []),
    ];
  });
}

/** `tcp 5432 at db from web, 1 flow`. */
function conversationText(conversation: Conversation, { owners }: Learnt): string {
  const { opener, target, protocol, service, flows } = conversation;
  const name = (words: Conversation['opener']): string => {
    const at = owners.of(words);
    return at < 0 ? addressText(words) : ownerText(owners.all[at]);
  };
  const what = textOfService(protocol, service);
  return `${what} at ${name(target)} from ${name(opener)}, ${count(flows, 'flow')}`;
}

/** What else there is to know about a proposal. */
export function noteTexts(
  learnt: Learnt,
  proposed: Proposed,
  conversations: Conversations,
): readonly string[] {
  const { idle, unrelated, basis } = learnt;
  const late = learnt.kept.reduce((sum, one) => sum + one.late, 0);
  const { beyond, forgotten } = conversations;
  const told: (readonly [number, string])[] = [
    [
      basis === 'private' ? 1 : 0,
      'nobody said whose addresses are whose: private ones are taken for interfaces (--config, --own)',
    ],
    [
      idle.length,
      `of ${count(idle.length, 'interface')} nothing was seen that rules could be proposed for: ${shorten(idle.map(ownerText))}. Their group admits nothing`,
    ],
    [
      unrelated.conversations,
      `${count(unrelated.flows, 'flow')} between others than the interfaces`,
    ],
    [
      late,
      `${count(late, 'answer')} came when groups would have forgotten the question: no rule helps`,
    ],
    [
      beyond.flows,
      `${count(beyond.flows, 'flow')} found no room in memory (${beyond.packets} packets): the proposal is not about them`,
    ],
    [
      forgotten.flows,
      `${count(forgotten.flows, 'flow')} that nobody had answered were forgotten for want of memory (${forgotten.packets} packets)`,
    ],
    ...rangeTexts(proposed).map((text) => [1, text] as const),
    ...quotaTexts(proposed).map((text) => [1, text] as const),
  ];
  return told.flatMap(([amount, text]) => (amount > 0 ? [text] : []));
}

/** The rules for ports that are taken anew each time. */
function rangeTexts({ groups }: Proposed): readonly string[] {
  return groups.flatMap(({ group, rules }) =>
    rules.flatMap(({ rule, evidence: { ports } }) =>
      ports === undefined
        ? []
        : [
            `${serviceText(rule)} of ${group.name}: ports that seem to be taken anew each time, ${ports.seen} of ${ports.all} seen; the ${rule.direction} rule has all (--dynamic-ports)`,
          ],
    ),
  );
}

function quotaTexts({ groups, lists }: Proposed): readonly string[] {
  const max = QUOTA_DEFAULTS.rulesPerGroup;
  const source = { prefixLists: new Map(lists.map((list) => [list.id, list])) };
  return groups.flatMap(({ group }) =>
    findExcesses([group], max, source).map(
      ({ direction, family, found }) =>
        `${group.name} has ${found} ${direction} rules for IPv${family}, and AWS takes ${max} unless the quota is raised: a larger --widen-max gives fewer, and --anyone is for what is meant for everybody`,
    ),
  );
}

function shorten(names: readonly string[]): string {
  const rest = names.length - TOLD_MAX;
  return `${names.slice(0, TOLD_MAX).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}
