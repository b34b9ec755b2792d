/**
 * Expands checks into cases: the single packets that a check stands for.
 *
 * The number is bounded: a group on a thousand interfaces towards itself would be a million packets a port. Each
 * case, and each pair of ends, is taken from a budget. When the budget is used up, the reading stops with an error.
 */
import type { Family } from '../addr/address.ts';
import { choosePath } from '../explain/explain-path.ts';
import type { Network } from '../explain/explanation.ts';
import type { Target } from './ends.ts';
import type { Case, CaseEnd, Check } from './suite.ts';

/** The most packets for one file of expectations. */
export const CASES_MAX = 10_000;
/** The most pairs of ends for them. Pairs that give no packet cost time too. */
const PAIRS_MAX = 4 * CASES_MAX;

export class OverBudget extends Error {
  constructor() {
    super(`more than ${CASES_MAX} single tests in one file`);
  }
}

export class Expander {
  private readonly network: Network;
  private cases = 0;
  private pairs = 0;

  constructor(network: Network) {
    this.network = network;
  }

  /** Counts a pair of names. Call it for each pair. Throws OverBudget. */
  countPair(): void {
    this.pairs++;
    if (this.pairs > PAIRS_MAX) throw new OverBudget();
  }

  /**
   * Makes the check with its cases. Throws OverBudget.
   * @param family the only family to try; undefined: all
   */
  expand(
    check: Omit<Check, 'cases' | 'untestable'>,
    from: Target,
    to: Target,
    family: Family | undefined,
  ): Check {
    const cases: Case[] = [];
    const whole: Check = { ...check, cases, untestable: undefined };
    let worst: Obstacle = { rank: -1, why: 'it has no ends' };
    for (const source of from.ends) {
      for (const destination of to.ends) {
        this.countPair();
        const obstacle = this.obstacle(check, source, destination, family);
        if (obstacle !== undefined) {
          if (obstacle.rank > worst.rank) worst = obstacle;
          continue;
        }
        if (this.cases >= CASES_MAX) throw new OverBudget();
        const index = this.cases++;
        const { family: own } = source.address;
        cases.push({ index, check: whole, family: own, from: source, to: destination });
      }
    }
    if (cases.length > 0) return whole;
    return { ...check, cases, untestable: worst.why };
  }

  /** Why there can be no such packet; undefined if there can. */
  private obstacle(
    { from, to, service }: Omit<Check, 'cases' | 'untestable'>,
    source: CaseEnd,
    destination: CaseEnd,
    family: Family | undefined,
  ): Obstacle | undefined {
    if (source.interfaceId === undefined && destination.interfaceId === undefined)
      return { rank: 4, why: BOTH_OUTSIDE };
    if (source.interfaceId !== undefined && source.interfaceId === destination.interfaceId) {
      const why = `${from} and ${to} are the same interface, ${source.name}: what it sends to itself meets no gate`;
      return { rank: 3, why };
    }
    const own = source.address.family;
    if (own !== destination.address.family)
      return { rank: 0, why: `${from} and ${to} have no address family in common` };
    if (family !== undefined && own !== family)
      return { rank: 1, why: `${from} and ${to} don't both have an IPv${family} address` };
    const ends = { from: source.endpoint, to: destination.endpoint };
    const path = choosePath(this.network, { ...ends, service: service.service }, own);
    return 'why' in path ? { rank: 2, why: path.why } : undefined;
  }
}

/** Of several obstacles the one with the highest rank is reported: the user can do most about it. */
interface Obstacle {
  readonly rank: number;
  readonly why: string;
}

export const BOTH_OUTSIDE = 'both ends are outside: such a packet never comes here';
