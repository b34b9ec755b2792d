/** This file says what the console looks at: a daemon that runs, or an input in files. */
import type { GroupDraft } from '../config/group-draft.ts';
import type { QuestionText } from '../explain/question.ts';
import type { KnownConfiguration } from '../queries/configuration-view.ts';
import type { DraftPreview } from '../queries/draft-preview.ts';
import type { DropsQuestion } from '../queries/drops-view.ts';
import type { FlowsQuestion } from '../queries/flows-view.ts';
import type { RulesQuestion } from '../queries/rules-view.ts';
import type {
  About,
  DropExample,
  DropExplanation,
  DropsAnswer,
  FlowsAnswer,
  GroupsAnswer,
  LiveExplanation,
  RulesAnswer,
  TopAnswer,
} from './contract.ts';

/** What is in force, or what an input says. */
export interface Snapshot {
  /** Another one whenever anything is different. */
  readonly mark: string;
  readonly generation: number;
  readonly config: KnownConfiguration;
}

/** How a source can be reached. */
export interface SourceState {
  readonly isReachable: boolean;
  readonly why?: string;
  /** Since when: ms since 1970. */
  readonly sinceMs: number;
}

/** What a source tells by itself. */
export interface SourceListener {
  /** Another state. */
  state(state: SourceState): void;
  /** Another policy is in force, or the first was read. */
  estate(generation: number): void;
  top(answer: TopAnswer): void;
  /** New examples, the oldest first; `more` were dropped meanwhile. */
  drops(examples: readonly DropExample[], more: number): void;
}

/** Methods throw ConsoleFailure for what the page is told. */
export interface Source {
  readonly isLive: boolean;
  readonly state: SourceState;
  about(): Promise<About>;
  /** The same object until something changes. */
  snapshot(): Promise<Snapshot>;
  groups(): Promise<GroupsAnswer>;
  rules(question: RulesQuestion): Promise<RulesAnswer>;
  explain(question: QuestionText): Promise<LiveExplanation>;
  flows(question: FlowsQuestion): Promise<FlowsAnswer>;
  drops(question: DropsQuestion): Promise<DropsAnswer>;
  explainDrop(id: number): Promise<DropExplanation>;
  /** What a draft would do to connections; a text: why that can't be told. */
  preview(draft: GroupDraft): Promise<DraftPreview | string>;
  /** Begins to tell. @param isWatched whether somebody would like to see drops now */
  start(listener: SourceListener, isWatched: () => boolean): void;
  stop(): void;
}
