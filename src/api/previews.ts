/**
 * This file asks the hosts what a call with DryRun would do, and puts their answers into words (estate/previews.ts).
 *
 * The API parses what strangers send, so it must not reach the control socket of a daemon: it asks by the store. Who
 * may not write asks nothing. Questions at a time, time, and words are bounded.
 */
import type { CallContext } from '../estate/calls.ts';
import type { Edit } from '../estate/edit.ts';
import type { EstateClient } from '../estate/estate-client.ts';
import { previewKey } from '../estate/keys.ts';
import {
  previewText,
  readAnswer,
  removePreview,
  type HostImpact,
  type PreviewAnswer,
} from '../estate/previews.ts';
import { count } from '../source/count.ts';
import { StoreError } from '../store/store.ts';

/** Looking at a million connections takes a second or so. */
export const PREVIEW_TIMEOUT_MS = 5000;
const AT_WORK_MAX = 16;
/** Of a question. A commit may have 1 MiB. */
const BYTES_MAX = 512 * 1024;
const MESSAGE_MAX = 4000;
const HEADER_MAX = 500;
const HEADER_CONNECTIONS = 3;

export interface PreviewOptions {
  readonly client: EstateClient;
  readonly newId: CallContext['newId'];
  readonly timeoutMs: number;
}

/** What is told of a change. */
export interface Preview {
  readonly message: string;
  /** Of the header `x-secgroupd-impact`, visible ASCII. */
  readonly header: string;
}

/** What the hosts said, in the order of their names; undefined: nothing in time. */
export type Answers = readonly (readonly [host: string, answer: PreviewAnswer | undefined])[];

export class Previews {
  private readonly options: PreviewOptions;
  private atWork = 0;

  constructor(options: PreviewOptions) {
    this.options = options;
  }

  /** What an edit would do, were it committed; undefined: it has nothing to do with any host. */
  async of(edit: Edit): Promise<Preview | undefined> {
    const answers = await this.answersOf(edit);
    if (answers === undefined) return undefined;
    return typeof answers === 'string'
      ? unknown(answers)
      : describeImpact(answers, this.options.timeoutMs);
  }

  /** The same as the hosts said it; a text: why they were not asked. */
  async answersOf(edit: Edit): Promise<Answers | string | undefined> {
    const text = previewText(edit);
    if (text === undefined) return undefined;
    if (Buffer.byteLength(text) > BYTES_MAX) return 'it changes too much at once';
    if (this.atWork >= AT_WORK_MAX)
      return `${AT_WORK_MAX} other dry runs are looked at; call again`;
    this.atWork++;
    try {
      return await this.ask(text);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return 'the store failed';
    } finally {
      this.atWork--;
    }
  }

  private async ask(text: string): Promise<Answers> {
    const { client, newId, timeoutMs } = this.options;
    const { estate } = client;
    const hosts = [...estate.alive().keys()].sort();
    const away = [...estate.applied().keys()].filter((host) => !estate.alive().has(host)).sort();
    const notAsked = away.map(
      (host) => [host, { impact: undefined, why: 'it is away, and was not asked' }] as const,
    );
    if (hosts.length === 0) return notAsked;
    const id = newId('preview');
    await client.change((edit) => {
      edit.put(previewKey(id), text);
      return { ok: true, value: undefined };
    });
    try {
      const answers = (): Answers => hosts.map((host) => [host, readAnswer(estate, id, host)]);
      await client.until(() => answers().every(([, one]) => one !== undefined), timeoutMs);
      return [...answers(), ...notAsked];
    } finally {
      await removePreview(client, id, hosts);
    }
  }
}

function unknown(why: string): Preview {
  return { message: `What it would do is not known: ${why}.`, header: 'unknown' };
}

/** Puts the answers of hosts together. */
export function describeImpact(answers: Answers, timeoutMs: number): Preview {
  if (answers.length === 0)
    return {
      message: 'No host follows the store, so it concerns no connection.',
      header: 'hosts=0',
    };
  const sentences = answers.map(([host, answer]) => {
    if (answer === undefined)
      return `Host ${host} did not answer within ${timeoutMs / 1000} s: what it would cut is not known.`;
    if (answer.impact === undefined)
      return `Host ${host} can't tell what it would do: ${answer.why}.`;
    return hostText(host, answer.impact);
  });
  return {
    message: bounded(sentences.join(' '), MESSAGE_MAX),
    header: bounded(headerText(answers), HEADER_MAX).replace(/[^\x20-\x7e]/g, '?'),
  };
}

function hostText(host: string, impact: HostImpact): string {
  const { kept, cut, refusedAnew, admits } = impact;
  const by = impact.cutBy.length === 0 ? '' : ` (${impact.cutBy.join(', ')})`;
  const which = cut === 0 ? '' : `${by}: ${listed(impact.cutConnections, cut)}`;
  const cuts = `On ${host} it would cut ${cut} of ${count(kept + cut, 'connection')}${which}.`;
  const refuses =
    refusedAnew === 0
      ? []
      : [
          `${refusedAnew} would live on and could not be opened again: ${listed(impact.refusedConnections, refusedAnew)}.`,
        ];
  const news =
    admits === 0
      ? 'It would newly admit nothing.'
      : `It would newly admit ${listed(impact.admitted, admits)}.`;
  return [cuts, ...refuses, news].join(' ');
}

function listed(texts: readonly string[], total: number): string {
  const more = total - texts.length;
  return `${texts.join('; ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function headerText(answers: Answers): string {
  const told = answers.flatMap(([, answer]) => answer?.impact ?? []);
  const sum = (what: (one: HostImpact) => number): number =>
    told.reduce((total, one) => total + what(one), 0);
  const first = told.flatMap(({ cutConnections }) => cutConnections).slice(0, HEADER_CONNECTIONS);
  return [
    `hosts=${answers.length}`,
    `unknown=${answers.length - told.length}`,
    `kept=${sum(({ kept }) => kept)}`,
    `cut=${sum(({ cut }) => cut)}`,
    `not-again=${sum(({ refusedAnew }) => refusedAnew)}`,
    `admits=${sum(({ admits }) => admits)}`,
    ...first.map((text) => `cut: ${text}`),
  ].join('; ');
}

function bounded(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 3)}...` : text;
}
