/** Makes a recorded difference small: leaves out packets, then time. */
import type { CorpusPacket } from './corpus.ts';
import { replay } from './episode.ts';
import type { WorldOptions } from './world.ts';

/** The shortest list found that still ends in a difference. */
export function minimise(
  options: WorldOptions,
  packets: readonly CorpusPacket[],
  twinOptions = options,
): CorpusPacket[] {
  const differs = (list: readonly CorpusPacket[]): boolean =>
    replay(options, list, twinOptions) !== undefined;
  const found = replay(options, packets, twinOptions);
  if (found === undefined) return [...packets];
  let rest = packets.slice(0, found.at + 1);
  for (let size = Math.ceil(rest.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < rest.length;) {
      const fewer = leaveOut(rest, at, size);
      if (differs(fewer)) rest = fewer;
      else at += size;
    }
  }
  for (let at = 0; at < rest.length; at++) {
    const sooner = rest.with(at, { ...rest[at], afterMs: 0 });
    if (differs(sooner)) rest = sooner;
  }
  return rest;
}

/** Time that passed with what is left out passes before what follows. */
function leaveOut(packets: readonly CorpusPacket[], at: number, size: number): CorpusPacket[] {
  const lostMs = packets.slice(at, at + size).reduce((sum, { afterMs }) => sum + afterMs, 0);
  const behind = packets.slice(at + size);
  if (behind.length > 0) behind[0] = { ...behind[0], afterMs: behind[0].afterMs + lostMs };
  return [...packets.slice(0, at), ...behind];
}
