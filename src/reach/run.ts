/** Runs a suite, offline and on request with real packets, and sums up. */
import type { Explanation } from '../explain/explanation.ts';
import { Judge, type Judgement } from './judge.ts';
import { runLive, type LiveOptions, type LiveVerdict } from './live.ts';
import { planLive } from './live-plan.ts';
import { titleOf, type Block, type Case, type Check, type Expected, type Suite } from './suite.ts';

/** The most cases explained: an explanation lists every rule that came near, and there may be thousands of both. */
const EXPLAINED_MAX = 500;

export type Outcome = 'passed' | 'failed' | 'skipped';

export interface CaseReport {
  readonly one: Case;
  readonly outcome: Outcome;
  readonly offline: Judgement;
  /** Undefined without --live. `skipped`: it could not be tried. */
  readonly live: LiveReport | undefined;
  /** Why it failed or was skipped, as a sentence without a full stop; undefined if it passed. */
  readonly why: string | undefined;
  /** Set for the first failure of a check in each family, up to EXPLAINED_MAX. */
  readonly explanation: Explanation | undefined;
}

export type LiveReport =
  | { readonly verdict: Expected }
  | { readonly verdict: 'skipped' | 'unclear'; readonly why: string };

export interface CheckReport {
  readonly check: Check;
  /** The worst of its cases. */
  readonly outcome: Outcome;
  /** Empty if the check is untestable. */
  readonly cases: readonly CaseReport[];
}

export interface BlockReport {
  readonly block: Block;
  readonly checks: readonly CheckReport[];
}

export interface Report {
  readonly suite: Suite;
  readonly blocks: readonly BlockReport[];
  readonly counts: Readonly<Record<Outcome, number>>;
  /** Whether the compiled rules and the reference disagree about a case. Then this program is wrong. */
  readonly hasDisagreement: boolean;
  readonly isLive: boolean;
}

export interface RunOptions {
  /** Run only checks whose title or name contains this text, ignoring case. */
  readonly filter?: string;
  /** Try real packets too. */
  readonly live?: Pick<LiveOptions, 'labName' | 'signal' | 'progress'>;
  /** For tests: a judge with other compiled rules. */
  readonly judge?: Judge;
}

/** Runs a suite. With `live` it may throw LabError and LabInterrupted, otherwise nothing. */
export async function runSuite(suite: Suite, options: RunOptions = {}): Promise<Report> {
  const judge = options.judge ?? new Judge(suite.config);
  const { filter } = options;
  const chosen = suite.blocks.map((block) => ({
    block,
    checks: block.checks.filter((check) => filter === undefined || matches(check, filter)),
  }));
  const cases = chosen.flatMap(({ checks }) => checks.flatMap((check) => check.cases));
  const offline = new Map(cases.map((one) => [one, judge.judge(one)]));
  const live = options.live && (await tryLive(suite, cases, judge, offline, options.live));
  const explainer = new Explainer(judge);
  const blocks = chosen
    .filter(({ checks }) => checks.length > 0)
    .map(({ block, checks }) => ({
      block,
      checks: checks.map((check) =>
        reportCheck(
          check,
          check.cases.map((one) => reportCase(one, offline.get(one)!, live?.get(one), explainer)),
        ),
      ),
    }));
  return {
    suite,
    blocks,
    counts: countOutcomes(blocks),
    hasDisagreement: [...offline.values()].some(({ disagreement }) => disagreement !== undefined),
    isLive: live !== undefined,
  };
}

function matches(check: Check, filter: string): boolean {
  return `${titleOf(check)}\n${check.name ?? ''}`.toLowerCase().includes(filter.toLowerCase());
}

async function tryLive(
  suite: Suite,
  cases: readonly Case[],
  judge: Judge,
  offline: ReadonlyMap<Case, Judgement>,
  options: NonNullable<RunOptions['live']>,
): Promise<ReadonlyMap<Case, LiveReport>> {
  const { attempts, skips } = planLive(suite.config, cases, judge);
  const verdicts = await runLive(attempts, {
    ...options,
    config: suite.config,
    configFile: suite.configFile,
    verdictOf: ({ one }) => offline.get(one)!.verdict,
  });
  const reports = new Map<Case, LiveReport>();
  for (const { one, why } of skips) reports.set(one, { verdict: 'skipped', why });
  attempts.forEach(({ one }, i) => reports.set(one, reportLive(verdicts[i])));
  return reports;
}

function reportLive(live: LiveVerdict): LiveReport {
  switch (live.kind) {
    case 'allowed':
    case 'denied':
      return { verdict: live.kind };
    case 'unsent':
      return { verdict: 'skipped', why: live.why };
    case 'failed':
      return { verdict: 'unclear', why: live.why };
    default:
      return live satisfies never;
  }
}

class Explainer {
  private readonly judge: Judge;
  private readonly explained = new Map<Check, Set<number>>();
  private count = 0;

  constructor(judge: Judge) {
    this.judge = judge;
  }

  /** Explains a case. Undefined if its check already has an explanation in this family, or there are enough. */
  explain(one: Case): Explanation | undefined {
    const families = this.explained.get(one.check) ?? new Set();
    if (families.has(one.family) || this.count >= EXPLAINED_MAX) return undefined;
    this.explained.set(one.check, families.add(one.family));
    this.count++;
    return this.judge.explain(one);
  }
}

function reportCase(
  one: Case,
  offline: Judgement,
  live: LiveReport | undefined,
  explainer: Explainer,
): CaseReport {
  const failure = failureOf(one.check.expected, offline, live);
  if (failure !== undefined) {
    const explanation = explainer.explain(one);
    return { one, outcome: 'failed', offline, live, why: failure, explanation };
  }
  const isSkipped = live?.verdict === 'skipped';
  return {
    one,
    outcome: isSkipped ? 'skipped' : 'passed',
    offline,
    live,
    why: isSkipped ? live.why : undefined,
    explanation: undefined,
  };
}

function failureOf(
  expected: Expected,
  { verdict, disagreement, dependsOn = [] }: Judgement,
  live: LiveReport | undefined,
): string | undefined {
  if (disagreement !== undefined)
    return `internal error: the matchers disagree (${disagreement}); please report it with your configuration`;
  if (verdict === 'undecidable')
    return `expected ${expected}, and it is not decidable: ${dependsOn.join('; ')}`;
  const rules = `expected ${expected}, the rules say ${verdict}`;
  switch (live?.verdict) {
    case undefined:
      return verdict === expected ? undefined : rules;
    case 'skipped':
      return verdict === expected ? undefined : `${rules}; not tried live: ${live.why}`;
    case 'unclear':
      return `${rules}, and real packets nothing clear: ${live.why}`;
    case 'allowed':
    case 'denied':
      if (live.verdict === verdict)
        return verdict === expected ? undefined : `${rules}, and so do real packets`;
      return `${rules}, real packets say ${live.verdict}`;
    default:
      return live satisfies never;
  }
}

function reportCheck(check: Check, cases: readonly CaseReport[]): CheckReport {
  const outcomes = new Set(cases.map(({ outcome }) => outcome));
  const worst = (['failed', 'skipped', 'passed'] as const).find((outcome) => outcomes.has(outcome));
  return { check, outcome: worst ?? 'skipped', cases };
}

function countOutcomes(blocks: readonly BlockReport[]): Report['counts'] {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { checks } of blocks) {
    for (const { cases } of checks) {
      // A check without any packet counts as one, so that it is not overlooked.
      if (cases.length === 0) counts.skipped++;
      for (const { outcome } of cases) counts[outcome]++;
    }
  }
  return counts;
}
