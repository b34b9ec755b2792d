/**
 * This file answers for a host what a change that nobody makes would do here (estate/previews.ts): which connections it
 * would cut, and what it would newly admit. Questions are answered one after the other, beside changes that are made.
 */
import type { Logger } from 'pino';
import type { Edit } from '../estate/edit.ts';
import type { EstateFollower } from '../estate/estate-follower.ts';
import type { HostRows } from '../estate/host-rows.ts';
import { previewedKey } from '../estate/keys.ts';
import {
  answerCommit,
  readPreview,
  type HostImpact,
  type PreviewAnswer,
} from '../estate/previews.ts';
import { endText, type Connection } from '../queries/connections.ts';
import type { Impact } from '../queries/reload-result.ts';

/** Of each kind; the rest is counted. */
const LISTED_MAX = 5;
const TEXT_MAX = 300;

export interface PreviewOptions {
  readonly follower: EstateFollower;
  readonly rows: HostRows;
  readonly host: string;
  readonly log: Logger;
  /** @throws Error why it can't be told */
  readonly assess: (
    edit: Edit,
  ) => Promise<{ readonly impact: Impact; readonly admitted: readonly string[] }>;
}

export class PreviewAnswers {
  private readonly options: PreviewOptions;
  private work: Promise<void> | undefined;
  private isStopped = false;
  /** Questions that were answered, or could not be for want of the store. */
  private readonly done = new Set<string>();

  constructor(options: PreviewOptions) {
    this.options = options;
  }

  /** Answers what is asked and not answered yet. */
  look(): void {
    if (this.work !== undefined || this.next() === undefined) return;
    this.work = this.answerAll().finally(() => {
      this.work = undefined;
    });
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.work;
  }

  private next(): string | undefined {
    const { rows, host } = this.options;
    const { estate } = this.options.follower;
    for (const id of this.done) if (!estate.previews.has(id)) this.done.delete(id);
    if (this.isStopped) return undefined;
    for (const id of estate.previews)
      if (!this.done.has(id) && !rows.has(previewedKey(id, host))) return id;
    return undefined;
  }

  private async answerAll(): Promise<void> {
    const { follower, rows, host, log } = this.options;
    for (let id = this.next(); id !== undefined; id = this.next()) {
      const answer = await this.answer(id);
      this.done.add(id);
      try {
        await rows.commit(answerCommit(follower.estate, id, host, answer));
      } catch (error) {
        log.error({ err: error }, 'the store could not be written');
      }
    }
  }

  private async answer(id: string): Promise<PreviewAnswer> {
    const { follower, assess } = this.options;
    try {
      const { impact, admitted } = await assess(
        await follower.preview((estate) => readPreview(estate, id)),
      );
      return { impact: describe(impact, admitted) };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { impact: undefined, why: shorten(why) };
    }
  }
}

function describe(impact: Impact, admitted: readonly string[]): HostImpact {
  const { kept, cut, keptButRefusedAnew, cutByRule } = impact;
  return {
    kept,
    cut,
    refusedAnew: keptButRefusedAnew,
    cutBy: cutByRule.slice(0, LISTED_MAX).map(({ rule, flows }) => shorten(`${flows} by ${rule}`)),
    cutConnections: listed(impact.cutConnections),
    refusedConnections: listed(impact.refusedAnewConnections),
    admits: admitted.length,
    admitted: admitted.slice(0, LISTED_MAX).map(shorten),
  };
}

function listed(connections: readonly Connection[]): readonly string[] {
  return connections.slice(0, LISTED_MAX).map(connectionText);
}

/** `tcp 10.9.0.1:40000 to 10.0.0.11:80 at web`: who opened it comes first. */
function connectionText(one: Connection): string {
  const local = endText(one.localAddress, one.localPort);
  const remote = endText(one.remoteAddress, one.remotePort);
  const [from, to] = one.openedBy === 'instance' ? [local, remote] : [remote, local];
  return shorten(`${one.protocol} ${from} to ${to} at ${one.interface}`);
}

function shorten(text: string): string {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}...` : text;
}
