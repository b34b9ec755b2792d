/**
 * Keeps one rule of each peer beside the peer's number (CompiledPolicy.peerRules). Most peers are named by one rule
 * of one gate, and the packet path then needs no hash and no second table. Further rules go into `rules`.
 */
import {
  PEER_RULE_WORDS,
  PEER_RULE_MORE,
  PEER_RULE_RULE,
  ruleHome,
  rulePorts,
} from './compiled.ts';
import { shareWords } from './word-table.ts';

export class PeerRules {
  private words = new Int32Array(64 * PEER_RULE_WORDS);
  /** Peers whose words begin here or later have no rule. */
  private end = 0;

  /** Adds a rule (its number plus 1). @returns false if the peer already has one */
  add(peer: number, gate: number, column: number, from: number, to: number, rule: number): boolean {
    const at = this.at(peer);
    if (this.words[at + PEER_RULE_RULE] !== 0) return false;
    this.words[at] = ruleHome(gate, column);
    this.words[at + 1] = rulePorts(from, to);
    this.words[at + PEER_RULE_RULE] = rule;
    return true;
  }

  /** Removes a rule. @returns false if the peer has another one */
  erase(peer: number, gate: number, column: number, from: number, to: number): boolean {
    const at = this.at(peer);
    if (
      this.words[at + PEER_RULE_RULE] === 0 ||
      this.words[at] !== ruleHome(gate, column) ||
      this.words[at + 1] !== rulePorts(from, to)
    )
      return false;
    this.words.fill(0, at, at + PEER_RULE_RULE + 1);
    return true;
  }

  /** Counts a rule of the peer that was added to `rules` (step 1) or removed from it (step -1). */
  countMore(peer: number, step: 1 | -1): void {
    this.words[this.at(peer) + PEER_RULE_MORE] += step;
  }

  /** Returns all of it, in shared memory. */
  share(): Int32Array {
    return shareWords(this.words.subarray(0, this.end));
  }

  private at(peer: number): number {
    const at = peer * PEER_RULE_WORDS;
    this.end = Math.max(this.end, at + PEER_RULE_WORDS);
    if (this.end > this.words.length) {
      const wider = new Int32Array(2 * this.end);
      wider.set(this.words);
      this.words = wider;
    }
    return at;
  }
}
