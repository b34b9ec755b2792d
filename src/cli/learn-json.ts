/** A proposal as JSON: groups, evidence, what is set apart, and by which thresholds. */
import { formatAddress, formatCidr } from '../addr/address.ts';
import { addressText, textOfService, type Conversation } from '../learn/conversation.ts';
import type { Conversations } from '../learn/conversations.ts';
import { timeText, type Evidence } from '../learn/evidence.ts';
import type { Learnt } from '../learn/learn.ts';
import type { Proposed } from '../learn/propose.ts';
import type { Thresholds } from '../learn/set-apart.ts';
import type { RuleFinding } from '../learn/tighten.ts';
import type { PolicyModel } from '../policy/model.ts';
import { ruleText } from '../policy/rules.ts';
import type { Looked } from './learn-sources.ts';

export function lookedJson(
  looked: Looked,
  learnt: Learnt,
  conversations: Conversations,
  thresholds: Thresholds,
): object {
  const { source, firstMs, lastMs, counts, missed, recordings } = looked;
  const isSeen = firstMs <= lastMs;
  return {
    source,
    ...(isSeen
      ? { first: timeText(firstMs), last: timeText(lastMs), lookedForMs: lastMs - firstMs }
      : {}),
    counts,
    missed,
    recordings: recordings.map(({ file, items, lost, badLines, damage }) => ({
      ...{ file, items, lost, badLines },
      ...(damage === undefined ? {} : { damage }),
    })),
    interfacesBy: learnt.basis,
    thresholds,
    scanners: learnt.scanners.map(({ opener, ...rest }) => ({
      address: addressText(opener),
      ...rest,
    })),
    apart: learnt.apart.map(({ conversation, reason }) => ({
      reason,
      ...conversationJson(conversation),
    })),
    idle: learnt.idle.map(({ name }) => name),
    unrelated: learnt.unrelated,
    beyondMemory: conversations.beyond,
    forgotten: conversations.forgotten,
  };
}

export function proposedJson({ groups, lists }: Proposed, model: PolicyModel): object {
  return {
    groups: groups.map(({ group, members, rules }) => ({
      name: group.name,
      ...(group.vpc === undefined ? {} : { vpc: group.vpc.name }),
      interfaces: members.map(({ name, addresses }) => ({
        name,
        addresses: addresses.map(formatAddress),
      })),
      rules: rules.map(({ rule, evidence }) => ({
        direction: rule.direction,
        text: ruleText(rule, model),
        evidence: evidenceJson(evidence),
      })),
    })),
    prefixLists: lists.map(({ name, family, entries }) => ({
      ...{ name, family },
      entries: entries.map(({ cidr }) => formatCidr(cidr)),
    })),
  };
}

export function findingsJson(findings: readonly RuleFinding[]): object {
  return findings.map(({ group, rule, text, use, evidence, narrower, others }) => ({
    ...{ group: group.name, direction: rule.direction, text, id: rule.id, use },
    origin: rule.origin,
    ...(evidence === undefined ? {} : { evidence: evidenceJson(evidence) }),
    ...(narrower.length === 0 ? {} : { narrower }),
    ...(others.length === 0 ? {} : { others }),
  }));
}

function evidenceJson(evidence: Evidence): object {
  const { flows, packets, bytes, firstMs, lastMs, seen, admitted, examples } = evidence;
  return {
    ...{ flows, packets, bytes, first: timeText(firstMs), last: timeText(lastMs), examples },
    ...(seen === 0 ? {} : { pairsSeen: seen, pairsAdmitted: admitted?.toString() ?? 'everybody' }),
  };
}

function conversationJson(conversation: Conversation): object {
  const { opener, target, protocol, service, flows, packets, bytes, firstMs, lastMs } =
    conversation;
  return {
    ...{ from: addressText(opener), to: addressText(target), flows, packets, bytes },
    service: textOfService(protocol, service),
    ...{ first: timeText(firstMs), last: timeText(lastMs) },
  };
}
