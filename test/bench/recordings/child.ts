/** The cases of the benchmark "recordings": replaying and learning from a flow log and from a capture. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Conversations } from '../../../src/learn/conversations.ts';
import { sortConversations, type Learnt } from '../../../src/learn/learn.ts';
import { propose } from '../../../src/learn/propose.ts';
import { PacketLearner } from '../../../src/learn/see-packets.ts';
import { RecordLearner } from '../../../src/learn/see-records.ts';
import { THRESHOLDS } from '../../../src/learn/set-apart.ts';
import { readRecordings } from '../../../src/recorded/read-recordings.ts';
import { replay } from '../../../src/replay/replay.ts';
import { runCase, type Case } from '../decision/case.ts';
import { makeRules, writeCapture, writeFlowLog } from './files.ts';

const RECORDS = 2_000_000;
const PACKETS = 1_000_000;
const QUICK_PART = 0.1;
const KB_PER_MB = 1000;

const KINDS = [
  { name: 'flow log', noun: 'record', count: RECORDS, write: writeFlowLog },
  { name: 'capture', noun: 'packet', count: PACKETS, write: writeCapture },
] as const;
const WORKS = [
  { name: 'replay', run: replayFile },
  { name: 'learn', run: learnFrom },
] as const;

async function replayFile(file: string, isCapture: boolean): Promise<void> {
  const replayed = await replay([file], { config: makeRules(), top: 20, onProgress: () => undefined }); // prettier-ignore
  if ('message' in replayed) throw new Error(replayed.message);
  const { passed, dropped } = replayed.counts;
  if (replayed.isCapture !== isCapture || passed === 0 || dropped === 0)
    throw new Error(`${passed} passed and ${dropped} dropped: that is not what was written`);
}

async function learnFrom(file: string): Promise<void> {
  const conversations = new Conversations();
  const read = await readRecordings([file], { onProgress: () => undefined }, (isCaptured) => {
    if (isCaptured) {
      const learner = new PacketLearner(conversations);
      return { seePacket: (packet) => learner.see(packet), seeRecord: () => undefined };
    }
    const learner = new RecordLearner(conversations);
    return { seePacket: () => undefined, seeRecord: (record) => learner.see(record) };
  });
  if ('message' in read) throw new Error(read.message);
  const learnt = sortConversations(conversations, { thresholds: THRESHOLDS }) as Learnt;
  const { kept, owners, ranges } = learnt;
  const open = [{ direction: 'ingress', protocol: 6, service: 443 }] as const;
  if (propose(kept, owners, { factor: 4, open, ranges }).groups.length === 0)
    throw new Error('nothing is proposed');
}

const CASES = WORKS.flatMap(({ name: work, run }) =>
  KINDS.map(({ name, noun, count, write }): Case => ({
    name: `${work} ${name}`,
    run: async ({ isQuick, rounds, add }) => {
      const folder = mkdtempSync(join(tmpdir(), 'sgt-bench-recordings-'));
      process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
      const file = join(folder, 'file');
      const items = isQuick ? count * QUICK_PART : count;
      write(file, items);
      for (let round = 0; round < rounds; round++) {
        const began = process.cpuUsage();
        await run(file, name === 'capture');
        const { user, system } = process.cpuUsage(began);
        add(`${work}, processor time`, `a ${noun}`, 'µs', (user + system) / items);
      }
      const { maxRSS } = process.resourceUsage();
      add(`${work}, resident at most`, name, 'MB', maxRSS / KB_PER_MB);
    },
  })),
);

runCase(CASES);
