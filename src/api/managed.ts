/**
 * This file runs calls on the estate for actions: it makes a change, waits until it is in force, and takes it back if
 * it can't be.
 *
 * Theory of operation. A change is committed first and put in force then, since hosts learn of it by the store. The
 * call answers when every host that it concerns and that lives has it in force, so that the caller may rely on it. If
 * one of them refuses it, or does not answer, the commit is reversed and the call fails with the reason. With
 * `wait: 'quorum'` more than half of those hosts are enough, and a change that has not got so far in time is kept. With
 * `wait: 'none'` the call answers after the commit, which is durable then. Hosts that are not waited for are named in
 * the answer, so there is a Managed for each call, which collects them.
 *
 * A client that repeats a call because it got no answer gives it the same ClientToken. The token is a row of the same
 * commit as the change, so there is either both or neither.
 */
import { createHash } from 'node:crypto';
import type { CallContext } from '../estate/calls.ts';
import { noteChange, type Author } from '../estate/change-notes.ts';
import { Edit } from '../estate/edit.ts';
import type { Estate } from '../estate/estate.ts';
import type { Changed, EnforceOptions, EstateClient } from '../estate/estate-client.ts';
import { tokenKey } from '../estate/keys.ts';
import type { Checked, Refusal } from '../policy/refusals.ts';
import { StoreError, type Commit } from '../store/store.ts';
import {
  action,
  ApiError,
  dryRunSucceeded,
  type Action,
  type Answer,
  type Caller,
  type Policy,
  type ServiceName,
} from './action.ts';
import type { Answers, Previews } from './previews.ts';

export interface ManagedOptions {
  readonly client: EstateClient;
  /** Says what a call with DryRun would do. */
  readonly previews: Previews;
  readonly context: CallContext;
  readonly region: string;
  readonly wait: Wait;
  /** How long hosts may take to put a change in force. */
  readonly enforceTimeoutMs: number;
}

/** Whom a call that changes something waits for. */
export const WAITS = ['none', 'quorum', 'all'] as const;
export type Wait = (typeof WAITS)[number];

export interface DryRunParams {
  readonly DryRun?: boolean;
}

/** Of several changes that are taken back, the last one first: the rows that this has changed, with their revisions. */
export type TakenBack = Map<string, number>;

/** A call that was made, and is in force. */
export interface Done<T> {
  readonly value: T;
  readonly revision: number;
  /** Takes it back, unless others have built on it. @returns whether that was possible */
  readonly takeBack: (since: TakenBack) => Promise<boolean>;
}

const UNAVAILABLE = 503;

export class Managed {
  readonly context: CallContext;
  readonly region: string;
  private readonly options: ManagedOptions;
  private readonly author: Author | undefined;
  private readonly away = new Set<string>();
  private readonly behind = new Set<string>();

  /** @param author of the changes; absent: nobody is told of in the history */
  constructor(options: ManagedOptions, author?: Author) {
    this.options = options;
    this.author = author;
    this.context = options.context;
    this.region = options.region;
  }

  get estate(): Estate {
    return this.options.client.estate;
  }

  get accountId(): string {
    return this.context.accountId;
  }

  /** Waits for what other servers have answered. @throws StoreError if the store can't be asked */
  catchUp(): Promise<void> {
    return this.options.client.catchUp();
  }

  /** The same for a call: what there is, is shown as that of the caller's account. */
  as({ accountId }: Pick<Caller, 'accountId'>, author?: Author): Managed {
    return new Managed({ ...this.options, context: { ...this.context, accountId } }, author);
  }

  /** The estate, as it is followed. */
  get client(): EstateClient {
    return this.options.client;
  }

  /** Whom a change waits for. */
  get wait(): Wait {
    return this.options.wait;
  }

  /** What hosts say that an edit would do; a text: why they are not asked; undefined: it has to do with none. */
  impactOf(edit: Edit): Promise<Answers | string | undefined> {
    return this.options.previews.answersOf(edit);
  }

  /** Hosts that don't have in force what was changed by this. */
  get notInForce(): NonNullable<Answer['notInForce']> {
    return { away: [...this.away].sort(), behind: [...this.behind].sort() };
  }

  /**
   * Makes a change; with DryRun it is only asked what it would do. `work` may be called more than once.
   * @param since is told what was changed if it is taken back
   * @throws ApiError what the client is told; nothing has changed then
   */
  async change<T>(
    { DryRun: isDryRun }: DryRunParams,
    work: (edit: Edit) => Checked<T>,
    since: TakenBack = new Map(),
  ): Promise<Done<T>> {
    const { client, previews } = this.options;
    if (isDryRun === true) {
      const edit = new Edit(this.estate);
      const done = work(edit);
      throw done.ok ? dryRunSucceeded(await previews.of(edit)) : refusalError(done.refusals);
    }
    const done = await client.change((edit) => {
      const tried = work(edit);
      if (tried.ok && this.author !== undefined) noteChange(edit, this.author, new Date());
      return tried;
    });
    if (!done.ok) throw refusalError(done.refusals);
    const { value, revision, edit, concerned } = done.value;
    const { wait } = this.options;
    if (edit !== undefined && wait !== 'none')
      await this.enforce({ edit, revision, since }, { concerned, waitFor: wait });
    const takeBack = async (taken: TakenBack): Promise<boolean> =>
      edit === undefined || (await client.takeBack(edit, revision, taken));
    return { value, revision, takeBack };
  }

  /** Writes rows that nobody enforces, such as what became of a stack. @returns the revision */
  async note(work: (edit: Edit) => void): Promise<number> {
    const { revision } = checked(
      await this.keep((edit) => {
        work(edit);
        return { ok: true, value: undefined };
      }),
    );
    return revision;
  }

  /** Makes a change, and waits for no host. `work` may be called more than once. */
  keep<T>(
    work: (edit: Edit) => Checked<T>,
    options: Pick<Commit, 'mayBeLost'> = {},
  ): Promise<Checked<Changed<T>>> {
    return this.options.client.change(work, options);
  }

  /**
   * A change that makes something, once a client token. A repeated call gets what the first one made.
   * @param make @returns the id of what it made
   * @param find what has that id, in the estate as the edit leaves it
   */
  changeOnce<T>(
    action: string,
    params: DryRunParams & { readonly ClientToken?: string },
    make: (edit: Edit) => Checked<string>,
    find: (edit: Edit, id: string) => T | undefined,
  ): Promise<Done<T>> {
    const { ClientToken: token } = params;
    return this.change(params, (edit) => {
      const key = token === undefined ? undefined : tokenKey(action, token);
      const body = fingerprint(params);
      const known = key === undefined ? undefined : edit.text(key);
      if (known !== undefined) return repeated(known, body, (id) => find(edit, id));
      const made = make(edit);
      if (!made.ok) return made;
      if (key !== undefined) edit.put(key, JSON.stringify({ body, id: made.value }));
      return { ok: true, value: find(edit, made.value)! };
    });
  }

  private async enforce(
    { edit, revision, since }: { edit: Edit; revision: number; since: TakenBack },
    options: EnforceOptions,
  ): Promise<void> {
    const { client, enforceTimeoutMs } = this.options;
    const outcome = await client.enforce(revision, enforceTimeoutMs, options);
    const whyNotAttached = outcome.kind === 'inForce' ? client.whyNotAttached(edit) : undefined;
    if (outcome.kind === 'inForce' && whyNotAttached === undefined) {
      for (const host of outcome.away ?? []) this.away.add(host);
      for (const host of outcome.behind ?? []) this.behind.add(host);
      return;
    }
    let end: string;
    try {
      end = (await client.takeBack(edit, revision, since))
        ? 'The change was taken back.'
        : 'The change could not be taken back, since others have built on it.';
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      end = 'The change could not be taken back, since the store failed: it is still kept there.';
    }
    // Not 503: clients repeat that for minutes, and a device does not come by itself.
    if (outcome.kind === 'inForce')
      throw new ApiError('IncorrectState', `${whyNotAttached}. ${end}`);
    const why =
      outcome.kind === 'refused'
        ? `${outcome.host} could not put it in force: ${outcome.message}.`
        : `${outcome.hosts.join(', ')} did not put it in force within ${enforceTimeoutMs / 1000} s: does secgroupd run there?`;
    throw new ApiError('ServiceUnavailable', `${why} ${end}`, UNAVAILABLE);
  }
}

/** Makes an action on the estate, as its caller's account sees it. */
export function managedAction<P extends object>(
  managed: Managed,
  name: string,
  right: Policy,
  run: (managed: Managed, params: P, caller: Caller) => Promise<Answer>,
  service: ServiceName = 'ec2',
): Action {
  return action<P>(service, name, right, async (params, caller) => {
    const call = managed.as(caller, authorOf(caller, name));
    const answer = await run(call, params, caller);
    return { ...answer, notInForce: call.notInForce };
  });
}

/** Hosts attach and detach all the time, by keys of their own: that is not what people look for in the history. */
function authorOf(caller: Caller, action: string): Author | undefined {
  const { name, accessKeyId, arn, policy } = caller;
  return policy === 'host' ? undefined : { name, accessKeyId, arn, actions: [action], by: 'api' };
}

/** What a client is told of a refusal: AWS's sentence, and our advice. */
export function refusalError([{ code, message, hint }]: readonly Refusal[]): ApiError {
  return new ApiError(code, hint === undefined ? message : `${message} (${hint})`);
}

/** @throws ApiError what the client is told of a refusal */
export function checked<T>(found: Checked<T>): T {
  if (found.ok) return found.value;
  throw refusalError(found.refusals);
}

function repeated<T>(row: string, body: string, find: (id: string) => T | undefined): Checked<T> {
  const { body: first, id } = JSON.parse(row) as { readonly body: string; readonly id: string };
  const found = first === body ? find(id) : undefined;
  if (found !== undefined) return { ok: true, value: found };
  const message =
    first === body
      ? `What the call with this client token made, ${id}, has been deleted.`
      : 'The client token has been used with other parameters.';
  return { ok: false, refusals: [{ code: 'IdempotentParameterMismatch', message }] };
}

function fingerprint({ ClientToken: _, ...params }: object & { ClientToken?: string }): string {
  return createHash('sha256').update(JSON.stringify(params)).digest('hex');
}
