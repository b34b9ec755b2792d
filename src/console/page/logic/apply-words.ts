/** This file says in sentences what applying a draft would cut, and where it is in force. */
import type { ApplyAnswer, DraftAnswer } from '../../contract.ts';
import { formatNumberOf } from './format.ts';

/** What it would do to tracked connections, of all hosts together. */
export function cutSentence({ hosts, connections, connectionsWhy }: DraftAnswer): string {
  if (hosts !== undefined) {
    const silent = hosts.filter(({ impact }) => impact === undefined).map(({ host }) => host);
    const sum = (key: 'cut' | 'refusedAnew'): number =>
      hosts.reduce((all, { impact }) => all + (impact?.[key] ?? 0), 0);
    const told = countsSentence(sum('cut'), sum('refusedAnew'));
    if (silent.length === 0) return told;
    const unknown = `nothing is known of ${namesText(silent)}`;
    return silent.length === hosts.length ? unknown : `${told}; ${unknown}`;
  }
  if (connections !== undefined) return countsSentence(connections.cut, connections.refusedAnew);
  return connectionsWhy ?? 'nothing is known of tracked connections';
}

function countsSentence(cut: number, refusedAnew: number): string {
  const cuts = `${formatNumberOf(cut, 'tracked connection')} cut`;
  return refusedAnew === 0 ? cuts : `${cuts}, ${refusedAnew} kept that could not be opened again`;
}

/** Where a change is in force, and whom it still waits for. */
export function stateSentence({ enforcement, away, behind }: ApplyAnswer): string {
  const parts = [
    enforcement === 'kept'
      ? 'It is kept in the store, and hosts put it in force by themselves'
      : behind.length === 0
        ? 'It is in force'
        : `It is in force, but not yet on ${namesText(behind)}`,
  ];
  if (enforcement === 'kept' && behind.length > 0) parts.push(`not yet on ${namesText(behind)}`);
  if (away.length > 0) parts.push(`${namesText(away)} will get it when back`);
  return `${parts.join('; ')}.`;
}

const NAMES_SHOWN = 5;

/** `a, b and 3 more`. */
function namesText(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN;
  const first = names.slice(0, NAMES_SHOWN).join(', ');
  return more > 0 ? `${first} and ${more} more` : first;
}
