/**
 * This file is the console's view of a running daemon, by the control socket: it asks what sgctl asks, with the rights
 * of the user who started it.
 *
 * Theory of operation. However many tabs there are, the daemon has one follower (`top`) and few questions at a time,
 * so the console takes few of its places. Once a second the console asks whether the configuration is another one,
 * which costs the daemon nothing if it is not. A daemon that goes away is asked again every second; the first answer
 * of a new one has another mark, so it is seen as another estate.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ask,
  ControlError,
  follow,
  type ControlFailure,
} from '../control-socket/control-client.ts';
import type { MethodName, Methods } from '../control-socket/protocol.ts';
import type { GroupDraft } from '../config/group-draft.ts';
import type { QuestionText } from '../explain/question.ts';
import { readConfigurationView } from '../queries/configuration-view.ts';
import type { DraftPreview } from '../queries/draft-preview.ts';
import type { DropsQuestion } from '../queries/drops-view.ts';
import type { FlowsQuestion } from '../queries/flows-view.ts';
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
import { ConsoleFailure } from './failure.ts';
import type { Snapshot, Source, SourceListener, SourceState } from './source.ts';

const LOOK_INTERVAL_MS = 1000;
/** Questions at a time, and those that wait for their turn. */
const ASKING_MAX = 6;
const WAITING_MAX = 64;
const TOP_FLOWS = 50;
const EXAMPLES_MAX = 20;
/** Of examples that are looked for: older ones have been told. */
const SINCE_MS = 10_000;

const STATUS: Readonly<Record<ControlFailure, number>> = {
  absent: 502,
  busy: 503,
  refused: 400,
  cut: 502,
  failed: 502,
};

export class DaemonSource implements Source {
  readonly isLive = true;
  private readonly path: string;
  private readonly stopped = new AbortController();
  private listener: SourceListener | undefined;
  private current: SourceState = { isReachable: true, sinceMs: Date.now() };
  private last: Snapshot | undefined;
  private newestDrop: number | undefined;
  private asking = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(path: string) {
    this.path = path;
  }

  get state(): SourceState {
    return this.current;
  }

  async about(): Promise<About> {
    const known = { source: 'daemon', title: this.path, isLive: true } as const;
    const may = { mayDraft: true, mayApply: false } as const;
    const { isReachable, why = '', sinceMs } = this.current;
    if (!isReachable)
      return {
        ...{ ...known, ...may, version: '', configuration: '', startedMs: 0 },
        away: { why, sinceMs },
      };
    const { version, config, health, store } = await this.ask('status', {});
    return {
      ...{ ...known, ...may, version, configuration: config, startedMs: health.startedMs },
      ...(store === undefined ? {} : { host: store.host, revision: store.revision }),
    };
  }

  async snapshot(): Promise<Snapshot> {
    const known = this.last;
    const question = known === undefined ? {} : { unless: known.mark };
    const { mark, generation, configuration } = await this.ask('configuration', question);
    if (configuration === undefined && known?.mark === mark) return known;
    if (configuration === undefined)
      throw new ConsoleFailure(502, 'the daemon told nothing of its configuration');
    // A slower answer must not take the place of a newer one.
    if (this.last?.mark === mark) return this.last;
    this.last = { mark, generation, config: readConfigurationView(configuration) };
    this.listener?.estate(generation);
    return this.last;
  }

  groups(): Promise<GroupsAnswer> {
    return this.ask('groups', {});
  }

  rules(question: RulesQuestion): Promise<RulesAnswer> {
    return this.ask('rules', question);
  }

  explain(question: QuestionText): Promise<LiveExplanation> {
    return this.ask('explain', question);
  }

  flows(question: FlowsQuestion): Promise<FlowsAnswer> {
    return this.ask('flows', question);
  }

  drops(question: DropsQuestion): Promise<DropsAnswer> {
    return this.ask('drops', question);
  }

  explainDrop(id: number): Promise<DropExplanation> {
    return this.ask('explainDrop', { id });
  }

  async preview(draft: GroupDraft): Promise<DraftPreview | string> {
    try {
      return await this.ask('preview', draft);
    } catch (error) {
      if (error instanceof ConsoleFailure) return error.message;
      throw error;
    }
  }

  start(listener: SourceListener, isWatched: () => boolean): void {
    this.listener = listener;
    void this.followTop();
    void this.look(isWatched);
  }

  stop(): void {
    this.stopped.abort();
    this.listener = undefined;
  }

  /** Asks, in turn with others. @throws ConsoleFailure */
  private async ask<Name extends MethodName>(
    method: Name,
    params: Methods[Name]['params'],
  ): Promise<Methods[Name]['result']> {
    if (this.asking >= ASKING_MAX) {
      if (this.waiting.length >= WAITING_MAX)
        throw new ConsoleFailure(503, 'too much is asked at the moment', 'try again');
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    this.asking++;
    try {
      return await ask(this.path, method, params);
    } catch (error) {
      throw failureOf(error);
    } finally {
      this.asking--;
      this.waiting.shift()?.();
    }
  }

  /** Follows what moves. That it can is how we know that the daemon is there. */
  private async followTop(): Promise<void> {
    const { signal } = this.stopped;
    while (!signal.aborted) {
      try {
        await follow(
          this.path,
          'top',
          { limit: TOP_FLOWS },
          {
            begin: () => this.enter(true),
            take: (answer) => this.listener?.top(answer),
            signal,
          },
        );
      } catch (error) {
        this.enter(false, messageOf(error));
      }
      await this.pause();
    }
  }

  private enter(isReachable: boolean, why?: string): void {
    const isSame = this.current.isReachable === isReachable && this.current.why === why;
    if (isSame) return;
    const sinceMs = this.current.isReachable === isReachable ? this.current.sinceMs : Date.now();
    this.current = { isReachable, sinceMs, ...(why === undefined ? {} : { why }) };
    // The numbers of drops begin anew with the daemon.
    if (!isReachable) this.newestDrop = undefined;
    this.listener?.state(this.current);
  }

  private async look(isWatched: () => boolean): Promise<void> {
    while (!this.stopped.signal.aborted) {
      try {
        await this.snapshot();
        await this.lookForDrops(isWatched());
      } catch {
        // Whether the daemon is there is told by followTop, and who asks for the same is told why it can't be had.
      }
      await this.pause();
    }
  }

  /**
   * The first look tells the latest ones: a tab asked for what is kept when it began to listen, which is before this
   * look, and what was dropped between the two is told by nobody else.
   */
  private async lookForDrops(isWatched: boolean): Promise<void> {
    if (!isWatched) {
      this.newestDrop = undefined;
      return;
    }
    const before = this.newestDrop;
    const { drops } = await this.ask('drops', before === undefined ? {} : { sinceMs: SINCE_MS });
    const examples = drops
      .flatMap((one) => one.examples)
      .filter(({ id }) => id > (before ?? 0))
      .sort((a, b) => a.id - b.id);
    const newest = examples.at(-1)?.id ?? before ?? 0;
    this.newestDrop = newest;
    if (examples.length === 0) return;
    const shown = examples.slice(-EXAMPLES_MAX);
    this.listener?.drops(shown, before === undefined ? 0 : examples.length - shown.length);
  }

  private async pause(): Promise<void> {
    await sleep(LOOK_INTERVAL_MS, undefined, { signal: this.stopped.signal }).catch(
      () => undefined,
    );
  }
}

function failureOf(error: unknown): unknown {
  if (!(error instanceof ControlError)) return error;
  const { failure, message } = error;
  if (failure === 'refused') return new ConsoleFailure(STATUS.refused, message);
  return new ConsoleFailure(STATUS[failure], message, 'the console asks again by itself');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
