/** This file removes what a host has said of itself from the store, once the host is gone for good. */
import type { EstateClient } from '../estate/estate-client.ts';
import { fences } from '../estate/fenced-hosts.ts';
import { aliveKey, hostPrefix } from '../estate/keys.ts';

/** Rows that one commit deletes at most. */
const ROWS_MAX = 100;

export interface ForgetOptions {
  readonly host: string;
  /** Also one that lives, but for one that fences. It says all of it again, if it does. */
  readonly force: boolean;
}

/** Keys as `--json` prints them. */
export interface Forgotten {
  readonly host: string;
  /** How many were removed. */
  readonly rows: number;
  /** Ids of the interfaces that are still placed there. */
  readonly interfaces: readonly string[];
  /** What it does with these while it can't reach the store, if it runs (AppliedState). */
  readonly fence: 'none' | 'lease';
}

/** Why a host was not forgotten. */
export class ForgetError extends Error {
  override readonly name = 'ForgetError';
}

/** @throws ForgetError; StoreError if the store fails: what was removed by then stays so */
export async function forgetHost(
  { store, estate }: Pick<EstateClient, 'store' | 'estate'>,
  { host, force }: ForgetOptions,
): Promise<Forgotten> {
  const { rows } = await store.read(hostPrefix(host));
  const interfaces = estate.interfacesOfHost(host).filter(({ declaredAt }) => !declaredAt);
  if (rows.length === 0 && interfaces.length === 0)
    throw new ForgetError(`no host ${host} is known`);
  const lives = aliveKey(host);
  const isFencing = fences(estate, host);
  // Others take it from the row whether it may forward.
  const conditions = force && !isFencing ? [] : [{ key: lives, revision: 0 }];
  // Last what says that it lives: it is removed by force alone, and the host may be heard of until then.
  const keys = rows.map(({ key }) => key).sort((a, b) => Number(a === lives) - Number(b === lives));
  for (let at = 0; at < keys.length; at += ROWS_MAX) {
    const deletes = keys.slice(at, at + ROWS_MAX);
    const { kind } = await store.commit({ conditions, puts: [], deletes });
    if (kind === 'conflict')
      throw new ForgetError(
        isFencing
          ? `the host ${host} lives, and forwards; stop secgroupd there, or wait until its lease is over`
          : `the host ${host} lives; stop secgroupd there, or forget it with --force`,
      );
  }
  const ids = interfaces.map(({ id }) => id).sort();
  return { host, rows: keys.length, interfaces: ids, fence: isFencing ? 'lease' : 'none' };
}
