/** Replays packets and records that tests make, against rules that tests write the short way. */
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Config } from '../../src/config/config.ts';
import { makeConfig } from '../../src/inputs/make-config.ts';
import { replay, type Replayed, type ReplayOptions } from '../../src/replay/replay.ts';
import { writePcap, type Frame } from '../recorded/write-capture.ts';
import { model, type ModelText } from '../support/policy.ts';

export const START_MS = 1_700_000_000_000;
export const LINKTYPE_RAW = 101;
export const SMALL_FLOWS = 1000;

export function configOf(text: ModelText): Config {
  return makeConfig('test.yaml', model(text), '/run/netns');
}

/** With tables for so few flows, which take next to no time: for tests that make a world in each run. */
export function withSmallTables(config: Config): Config {
  const limits = { maxFlows: SMALL_FLOWS, maxHalfOpen: SMALL_FLOWS };
  return { ...config, conntrack: { ...config.conntrack, ...limits } };
}

export function fileOf(t: TestContext, name: string, content: string | Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-replay-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

/** Packets, each so many ms after the start. */
export function captureOf(
  t: TestContext,
  packets: readonly (readonly [ms: number, packet: Uint8Array])[],
): string {
  const frames = packets.map(([ms, bytes]): Frame => ({ ms: START_MS + ms, bytes }));
  return fileOf(t, 'test.pcap', writePcap(frames, { linkType: LINKTYPE_RAW }));
}

export async function replayed(
  files: readonly string[],
  config: Config,
  rest: Partial<ReplayOptions> = {},
): Promise<Replayed> {
  const options = { config, top: 100, onProgress: () => undefined, ...rest };
  const result = await replay(files, options);
  if ('message' in result) throw new Error(`${result.file}: ${result.message}`);
  return result;
}

/** A line for each finding: `dropped web ingress tcp 80 from 203.0.113.9 x2 [ingress-rules]`. */
export function linesOf({ findings }: Replayed): readonly string[] {
  return findings.map(
    ({ kind, direction, service, peer, address, addresses, packets, reason, ...one }) => {
      const word = direction === 'ingress' ? 'from' : 'to';
      const others = addresses > 1 ? ` and ${addresses - 1}` : '';
      return `${kind} ${one.interface} ${direction} ${service} ${word} ${peer ?? address}${others} x${packets} [${reason}]`;
    },
  );
}
