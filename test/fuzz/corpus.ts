/**
 * The corpus: conversations the fuzzer starts from, and what it found that is worth keeping.
 *
 * A file is text: a line a packet, `[+MS] [rules=N] [held] PORT HEX`. PORT is the name of the port it comes in by, and
 * what stands in front happens before: MS milliseconds pass (0 without); the world's rules number N come into force;
 * all flows are held against them (else each when its next packet comes). A blank line ends a conversation, and `#`
 * starts a comment; `# options {…}` at the top says in which world a case was found (WorldOptions, what is left out
 * as in ROOMY).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '../support/repository.ts';
import { PORT_NAMES, ROOMY, type PortName, type WorldOptions } from './world.ts';

export interface CorpusPacket {
  readonly port: number;
  readonly bytes: Uint8Array;
  /** Milliseconds after the packet before. */
  readonly afterMs: number;
  /** The rules that come into force before it, by number. */
  readonly rules?: number | undefined;
  /** Whether all flows are held against the rules before it. */
  readonly isHeld?: boolean | undefined;
}

export type Talk = readonly CorpusPacket[];

const LINE =
  /^(?:\+(?<ms>\d+) )?(?:rules=(?<rules>\d+) )?(?<held>held )?(?<port>\w+) ?(?<hex>(?:[0-9a-f]{2})*)$/;

/** @throws Error that names file and line */
export function parseCorpus(name: string, text: string): Talk[] {
  const talks: CorpusPacket[][] = [];
  let talk: CorpusPacket[] = [];
  const lines = [...text.split('\n'), ''];
  lines.forEach((line, i) => {
    const words = line.replace(/#.*/, '').trim();
    if (words === '') {
      if (talk.length > 0 && !line.includes('#')) {
        talks.push(talk);
        talk = [];
      }
      return;
    }
    const match = LINE.exec(words)?.groups;
    const port = PORT_NAMES.indexOf(match?.['port'] as PortName);
    if (match === undefined || port < 0)
      throw new Error(
        `${name}:${i + 1}: not '[+MS] [rules=N] [held] ${PORT_NAMES.join('|')} HEX': ${words}`,
      );
    talk.push({
      port,
      bytes: Buffer.from(match['hex'], 'hex'),
      afterMs: Number(match['ms'] ?? 0),
      rules: match['rules'] === undefined ? undefined : Number(match['rules']),
      isHeld: match['held'] !== undefined,
    });
  });
  return talks;
}

/** The text of every file of test/fuzz/FOLDER, by name, in the order of names. */
export function readFiles(folder: 'corpus' | 'cases'): Map<string, string> {
  const path = join(repositoryRoot(), 'test', 'fuzz', folder);
  return new Map(
    readdirSync(path)
      .filter((name) => name.endsWith('.hex'))
      .sort()
      .map((name) => [name, readFileSync(join(path, name), 'utf8')]),
  );
}

/** Every conversation of the corpus and the cases: what the fuzzer starts from. */
export function readTalks(): Talk[] {
  return (['corpus', 'cases'] as const).flatMap((folder) =>
    [...readFiles(folder)].flatMap(([name, text]) => parseCorpus(name, text)),
  );
}

/** The world of the first `# options` line, if there is one. */
export function parseOptions(text: string): WorldOptions | undefined {
  const match = /^# options (\{.*\})$/m.exec(text);
  return match === null ? undefined : { ...ROOMY, ...(JSON.parse(match[1]) as WorldOptions) };
}

export function corpusLine(packet: CorpusPacket): string {
  const { afterMs, rules, isHeld, port, bytes } = packet;
  const after = afterMs === 0 ? '' : `+${afterMs} `;
  const change = rules === undefined ? '' : `rules=${rules} `;
  const hex = Buffer.from(bytes).toString('hex');
  return `${after}${change}${isHeld === true ? 'held ' : ''}${PORT_NAMES[port]} ${hex}`.trimEnd();
}

/** A case file, or the part of one. */
export function caseText(options: WorldOptions, packets: readonly CorpusPacket[]): string {
  return `# options ${JSON.stringify(options)}\n${packets.map(corpusLine).join('\n')}\n`;
}
