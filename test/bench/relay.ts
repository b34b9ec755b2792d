/**
 * The rival "relay": the daemon as it is, with its loop, its devices and its batches, but nothing is decided.
 *
 * It is preloaded into the daemon (`node --import`), also into the thread of its packet loop, before the first
 * packet. `prepare` then only decodes, which cutting off padding and coalescing need, and looks up the destination;
 * `judge` says what that gave. There is no source check, no flow table and no rule, and one counter, since a batch is
 * checked for packets that were not counted. What the daemon is slower than this is the price of deciding. Nothing on
 * the packet path asks whether it is a relay, and src/ knows nothing of it.
 *
 * Its configuration has no rule that admits anything, so should this replacement miss its mark, nothing passes.
 */
import { counterRow, EGRESS, INGRESS, PASSED_PACKETS } from '../../src/engine/counters.ts';
import { Engine } from '../../src/engine/evaluate.ts';
import { RECORDS } from '../../src/engine/lookahead.ts';
import { NO_ROUTE, PASS } from '../../src/engine/reasons.ts';
import { portOfDestination } from '../../src/engine/scope.ts';
import { UPLINK_PORT } from '../../src/policy/compiled.ts';
import { NO_HOST } from '../../src/policy/match.ts';
import { decode } from '../../src/wire/decode.ts';
import { DECODE_OK } from '../../src/wire/status.ts';

Engine.prototype.prepare = function prepareOnly(
  this: Engine,
  view: DataView,
  offset: number,
  length: number,
  port: number,
): number {
  const at = this['next'];
  this['next'] = (at + 1) & (RECORDS - 1);
  const ahead = this['records'][at];
  ahead.from = port;
  ahead.reason = decode(view, offset, length, ahead.packet);
  if (ahead.reason !== DECODE_OK) return at;
  const to = portOfDestination(this['policy'], ahead.packet);
  if (to === NO_HOST || to === port) ahead.reason = NO_ROUTE;
  ahead.to = to;
  return at;
};

Engine.prototype.fetch = function fetchNothing(): void {
  // There is no table to look at.
};

Engine.prototype.judge = function judgeNothing(
  this: Engine,
  at: number,
  _view: DataView,
  _offset: number,
  _length: number,
  packets: number,
): number {
  const { packet, from, to, reason } = this['records'][at];
  this.packet = packet;
  this.counters[counterRow(from, from === UPLINK_PORT ? INGRESS : EGRESS) + PASSED_PACKETS] +=
    packets;
  return reason === PASS ? to : -reason;
};
