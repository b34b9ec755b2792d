/**
 * This file is the console's view of an input in files: it was read once, and nothing moves in it. Its explanations are
 * those of `sgctl explain FILE`; counts of traffic are 0.
 */
import type { Config } from '../config/config.ts';
import type { QuestionText } from '../explain/question.ts';
import type { RulesQuestion } from '../queries/rules-view.ts';
import type {
  About,
  DropExplanation,
  DropsAnswer,
  FlowsAnswer,
  GroupsAnswer,
  LiveExplanation,
  RulesAnswer,
} from './contract.ts';
import { explainOffline, listGroups, listRules } from './model-views.ts';
import type { Snapshot, Source, SourceListener, SourceState } from './source.ts';

export interface InputFacts {
  /** As it was given. */
  readonly title: string;
  /** In the words of `sgctl check --json`. */
  readonly kind: string;
  /** Of sgctl. */
  readonly version: string;
  readonly config: Config;
}

const NO_CONNECTIONS = 'an input in files has no connections';

export class InputSource implements Source {
  readonly isLive = false;
  readonly state: SourceState;
  private readonly facts: InputFacts;
  private readonly only: Snapshot;

  constructor(facts: InputFacts) {
    this.facts = facts;
    this.state = { isReachable: true, sinceMs: Date.now() };
    this.only = { mark: 'input', generation: 1, config: facts.config };
  }

  about(): Promise<About> {
    const { title, kind, version } = this.facts;
    return Promise.resolve({
      ...{ source: 'input', title, version, isLive: false, mayDraft: true, mayApply: false },
      ...{ configuration: kind, startedMs: this.state.sinceMs },
    });
  }

  snapshot(): Promise<Snapshot> {
    return Promise.resolve(this.only);
  }

  groups(): Promise<GroupsAnswer> {
    return Promise.resolve(listGroups(this.facts.config.model));
  }

  rules(question: RulesQuestion): Promise<RulesAnswer> {
    const rules = listRules(this.facts.config.model, question);
    return Promise.resolve({ sinceMs: this.state.sinceMs, rules });
  }

  explain(question: QuestionText): Promise<LiveExplanation> {
    return Promise.resolve(explainOffline(this.facts.config, question));
  }

  flows(): Promise<FlowsAnswer> {
    return Promise.resolve({ matched: 0, flows: [], hasAccounts: false });
  }

  drops(): Promise<DropsAnswer> {
    return Promise.resolve({ drops: [], lost: 0 });
  }

  explainDrop(): Promise<DropExplanation> {
    return Promise.resolve({ outcome: 'unknown', kept: 0, newest: 0 });
  }

  preview(): Promise<string> {
    return Promise.resolve(NO_CONNECTIONS);
  }

  start(listener: SourceListener): void {
    listener.estate(this.only.generation);
  }

  stop(): void {
    // Nothing runs.
  }
}
