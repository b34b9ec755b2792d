/**
 * This file is the console's view of the estate of a store: all that calls made and files declare, on all hosts. Where
 * a daemon of this host may be asked by its control socket, flows, drops, rates and hits are that daemon's, of this
 * host alone; else there are none, and `about` says so.
 *
 * Theory of operation. The server of the API holds the whole estate and follows the store (estate-client.ts). A
 * configuration is made of it when somebody asks and something has changed since, and the tabs are told at most once
 * every TELL_MS: a thousand changes a minute must not have them ask a thousand times.
 */
import type { EstateClient } from '../estate/estate-client.ts';
import type { QuestionText } from '../explain/question.ts';
import { DaemonSource } from '../console/daemon-source.ts';
import type {
  About,
  DropExplanation,
  DropsAnswer,
  FlowsAnswer,
  GroupsAnswer,
  LiveExplanation,
  RulesAnswer,
} from '../console/contract.ts';
import { explainOffline, listGroups, listRules } from '../console/model-views.ts';
import type { Snapshot, Source, SourceListener, SourceState } from '../console/source.ts';
import type { DropsQuestion } from '../queries/drops-view.ts';
import type { FlowsQuestion } from '../queries/flows-view.ts';
import type { RulesQuestion } from '../queries/rules-view.ts';
import { configOf, networkOfEstate } from './estate-config.ts';
import { isCompared } from './estate-state.ts';

const TELL_MS = 1000;
const NO_DAEMON =
  'there are no live figures: secgroup-api asks no daemon (--console-daemon names one of its host)';

export interface EstateFacts {
  readonly client: EstateClient;
  readonly region: string;
  /** Of secgroup-api. */
  readonly version: string;
  /** The control socket of a daemon; undefined: none is asked. */
  readonly daemon: string | undefined;
}

export class EstateSource implements Source {
  readonly isLive: boolean;
  private readonly facts: EstateFacts;
  private readonly daemon: DaemonSource | undefined;
  private readonly startedMs = Date.now();
  /** Keys that changed since the configuration was made. */
  private readonly changed: Set<string>;
  private last: Snapshot | undefined;
  private generation = 0;
  /** The last generation that tabs were told of. */
  private told = 0;
  private listener: SourceListener | undefined;
  private isWatched = (): boolean => false;
  private stopListening: (() => void) | undefined;
  private telling: NodeJS.Timeout | undefined;
  private watching: NodeJS.Timeout | undefined;
  private current: SourceState = { isReachable: true, sinceMs: Date.now() };

  constructor(facts: EstateFacts) {
    this.facts = facts;
    this.changed = facts.client.estate.follow();
    this.daemon = facts.daemon === undefined ? undefined : new DaemonSource(facts.daemon);
    this.isLive = this.daemon !== undefined;
  }

  get state(): SourceState {
    return this.current;
  }

  async about(): Promise<About> {
    const { client, region, version } = this.facts;
    const { isReachable, why = '', sinceMs } = this.current;
    return {
      ...{ source: 'estate', title: region, version, isLive: this.isLive },
      ...{ liveNote: await this.liveNote(), mayDraft: true, mayApply: false },
      ...{ configuration: 'store', revision: client.estate.contentRevision },
      startedMs: this.startedMs,
      ...(isReachable ? {} : { away: { why, sinceMs } }),
    };
  }

  snapshot(): Promise<Snapshot> {
    return Promise.resolve(this.now());
  }

  groups(): Promise<GroupsAnswer> {
    const { estate } = this.facts.client;
    const groups = listGroups(this.now().config.model).map((group) => {
      const declared = estate.group(group.id)?.declaredAt;
      if (declared === undefined) return group;
      const { host, file, line } = declared;
      const fixed = `${group.name} is declared in ${file}, line ${line}, on ${host}, and can be changed there only`;
      return { ...group, fixed };
    });
    return Promise.resolve(groups);
  }

  /** The rules of all hosts; hits are those of the daemon's host. */
  async rules(question: RulesQuestion): Promise<RulesAnswer> {
    const rules = listRules(this.now().config.model, question);
    const used = await this.daemon?.rules({}).catch(() => undefined);
    if (used === undefined) return { sinceMs: this.startedMs, rules };
    const known = new Map(used.rules.map((one) => [one.id, one]));
    const hit = rules.map((rule) => {
      const found = known.get(rule.id);
      if (found === undefined) return rule;
      const { hits, flows, lastHitMs, audited } = found;
      return {
        ...{ ...rule, hits, flows },
        ...(lastHitMs === undefined ? {} : { lastHitMs }),
        ...(audited === undefined ? {} : { audited }),
      };
    });
    const asked = hit.filter(({ hits }) => question.neverHit !== true || hits === 0);
    return { sinceMs: used.sinceMs, rules: asked };
  }

  explain(question: QuestionText): Promise<LiveExplanation> {
    const { config } = this.now();
    return Promise.resolve(explainOffline(config, question, networkOfEstate(config)));
  }

  flows(question: FlowsQuestion): Promise<FlowsAnswer> {
    if (this.daemon !== undefined) return this.daemon.flows(question);
    return Promise.resolve({ matched: 0, flows: [], hasAccounts: false });
  }

  drops(question: DropsQuestion): Promise<DropsAnswer> {
    if (this.daemon !== undefined) return this.daemon.drops(question);
    return Promise.resolve({ drops: [], lost: 0 });
  }

  explainDrop(id: number): Promise<DropExplanation> {
    if (this.daemon !== undefined) return this.daemon.explainDrop(id);
    return Promise.resolve({ outcome: 'unknown', kept: 0, newest: 0 });
  }

  /** Hosts are asked by the store (apply-draft.ts). */
  preview(): Promise<string> {
    return Promise.resolve('hosts are asked when the draft is looked at');
  }

  start(listener: SourceListener, isWatched: () => boolean): void {
    this.listener = listener;
    this.isWatched = isWatched;
    const { client } = this.facts;
    this.now();
    this.tell();
    this.stopListening = client.listen(() => this.tellSoon());
    this.watching = setInterval(() => this.lookAtStore(), TELL_MS).unref();
    this.daemon?.start(
      {
        // The page is about the store: that this host's daemon is away, `about` says.
        state: () => undefined,
        estate: () => undefined,
        top: (answer) => listener.top(answer),
        drops: (examples, more) => listener.drops(examples, more),
      },
      isWatched,
    );
  }

  stop(): void {
    clearTimeout(this.telling);
    clearInterval(this.watching);
    this.stopListening?.();
    this.daemon?.stop();
  }

  private now(): Snapshot {
    const isChanged = [...this.changed].some(isCompared);
    this.changed.clear();
    if (this.last !== undefined && !isChanged) return this.last;
    this.generation++;
    const { generation } = this;
    const config = configOf(this.facts.client.estate);
    this.last = { mark: `${this.startedMs}.${generation}`, generation, config };
    this.tellSoon();
    return this.last;
  }

  /** Tells of another state a moment later, together with what comes until then. */
  private tellSoon(): void {
    if (this.telling !== undefined || this.listener === undefined) return;
    this.telling = setTimeout(() => {
      this.telling = undefined;
      // Who opens a tab asks first, and that makes it anew.
      if (!this.isWatched()) return;
      this.now();
      this.tell();
    }, TELL_MS).unref();
  }

  private tell(): void {
    if (this.told === this.generation) return;
    this.told = this.generation;
    this.listener?.estate(this.generation);
  }

  private lookAtStore(): void {
    const awayMs = this.facts.client.awaySinceMs();
    if ((awayMs === undefined) === this.current.isReachable) return;
    this.current =
      awayMs === undefined
        ? { isReachable: true, sinceMs: Date.now() }
        : {
            ...{ isReachable: false, why: 'the store can’t be reached' },
            sinceMs: Date.now() - Math.round(performance.now() - awayMs),
          };
    this.listener?.state(this.current);
  }

  private async liveNote(): Promise<string> {
    if (this.daemon === undefined) return NO_DAEMON;
    const { away, host } = await this.daemon.about().catch(messageOf);
    if (away !== undefined)
      return `there are no live figures now: the daemon of this host does not answer (${away.why})`;
    return `flows, drops, rates and hits are those of ${host ?? 'this server’s host'} alone`;
  }
}

function messageOf(error: unknown): {
  readonly away: { readonly why: string };
  readonly host?: undefined;
} {
  return { away: { why: error instanceof Error ? error.message : String(error) } };
}
