/** Learns from packets and records that tests make, and shows proposals the short way. */
import { formatAddress } from '../../src/addr/address.ts';
import { Conversations } from '../../src/learn/conversations.ts';
import { sortConversations, type Learnt, type SortOptions } from '../../src/learn/learn.ts';
import type { Owner } from '../../src/learn/owners.ts';
import { propose, type Proposed, type ProposalOptions } from '../../src/learn/propose.ts';
import { PacketLearner } from '../../src/learn/see-packets.ts';
import { RecordLearner } from '../../src/learn/see-records.ts';
import { THRESHOLDS } from '../../src/learn/set-apart.ts';
import { CapturedPacket, READ_ONE } from '../../src/recorded/captured-packet.ts';
import { FlowLogReader, readFormat } from '../../src/recorded/flow-log-reader.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { sourceOf } from '../recorded/write-capture.ts';
import { mustAddress } from '../support/policy.ts';

export const START_MS = 1_700_000_000_000;
const LINKTYPE_RAW = 101;

export type Step = readonly [ms: number, packet: Uint8Array];

export function owner(name: string, ...addresses: readonly string[]): Owner {
  return { id: `eni-${name}`, name, addresses: addresses.map(mustAddress) };
}

export function capturedOf([ms, bytes]: Step): CapturedPacket {
  const packet = new CapturedPacket();
  packet.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  packet.captured = packet.length = bytes.length;
  packet.linkType = LINKTYPE_RAW;
  packet.timeMs = START_MS + ms;
  return packet;
}

export function seePackets(
  steps: readonly Step[],
  conversations = new Conversations(),
): Conversations {
  const learner = new PacketLearner(conversations);
  for (const step of steps) learner.see(capturedOf(step));
  return conversations;
}

/** @param format of the fields; absent: AWS's default */
export async function seeRecords(text: string, format?: string): Promise<Conversations> {
  const conversations = new Conversations();
  const learner = new RecordLearner(conversations);
  const names = format === undefined ? undefined : (readFormat(format) as readonly string[]);
  const reader = new FlowLogReader(sourceOf(Buffer.from(text)), names);
  await reader.feed();
  await reader.feed();
  while (reader.step() === READ_ONE) learner.see(reader.record);
  if (reader.badLines > 0) throw new Error(`${reader.badLines} lines can't be read`);
  return conversations;
}

export function sorted(conversations: Conversations, rest: Partial<SortOptions> = {}): Learnt {
  const learnt = sortConversations(conversations, {
    thresholds: { ...THRESHOLDS, minFlows: 1 },
    ...rest,
  });
  if (typeof learnt === 'string') throw new Error(learnt);
  return learnt;
}

export function proposedFor(learnt: Learnt, rest: Partial<ProposalOptions> = {}): Proposed {
  return propose(learnt.kept, learnt.owners, {
    factor: 1,
    open: [],
    ranges: learnt.ranges,
    ...rest,
  });
}

/** `web: eni-a eni-b`, and below it a line for each rule. */
export function linesOf({ groups, lists }: Proposed): readonly string[] {
  const names = {
    groups: new Map(groups.map(({ group }) => [group.id, group])),
    prefixLists: new Map(lists.map((list) => [list.id, list])),
  };
  return groups.flatMap(({ group, members, rules }) => [
    `${group.name}: ${members.map(({ name }) => name).join(' ')}`,
    ...rules.map(({ rule }) => `  ${ruleText(rule, names)}`),
  ]);
}

/** `tcp 80 203.0.113.9 > 10.0.0.1 x2 answered`. */
export function conversationLines(conversations: Conversations): readonly string[] {
  const text = (words: readonly number[]): string =>
    formatAddress({ family: words.length === 1 ? 4 : 6, words });
  return conversations.all.map(
    ({ protocol, service, opener, target, flows, isAnswered, late, refused }) =>
      [
        `${protocol}/${service} ${text(opener)} > ${text(target)} x${flows}`,
        ...(isAnswered ? ['answered'] : []),
        ...(late > 0 ? [`late ${late}`] : []),
        ...(refused > 0 ? [`refused ${refused}`] : []),
      ].join(' '),
  );
}
