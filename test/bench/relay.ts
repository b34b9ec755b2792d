/**
 * The rival "relay": the daemon as it is, with its loop, its devices and its batches, but nothing is decided.
 *
 * Preloaded into the daemon (`node --import`), also into the thread of its packet loop, before the first
 * packet: `evaluate` then only decodes, which cutting off padding and coalescing need, and looks up the
 * destination. No source check, no flow table, no rules, no counters. What it is slower than this is the price of
 * deciding. Nothing on the packet path asks whether it is a relay, and src/ knows nothing of it.
 *
 * Its configuration has no rule that admits anything, so should this replacement miss its mark, nothing passes.
 */
import { Engine } from '../../src/engine/evaluate.ts';
import { NO_ROUTE } from '../../src/engine/reasons.ts';
import { portOfDestination } from '../../src/engine/scope.ts';
import { NO_HOST } from '../../src/policy/match.ts';
import { decode } from '../../src/wire/decode.ts';
import { DECODE_OK } from '../../src/wire/status.ts';

Engine.prototype.evaluate = function relay(
  this: Engine,
  view: DataView,
  offset: number,
  length: number,
  port: number,
): number {
  const { packet } = this;
  const status = decode(view, offset, length, packet);
  if (status !== DECODE_OK) return -status;
  const to = portOfDestination(this['policy'], packet);
  return to === NO_HOST || to === port ? -NO_ROUTE : to;
};
