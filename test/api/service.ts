/** An API server in this process, with keys in memory, for tests. */
import type { TestContext } from 'node:test';
import { UnknownActions, type AccessRecord } from '../../src/api/access-log.ts';
import type { Action } from '../../src/api/action.ts';
import { Dispatcher } from '../../src/api/dispatch.ts';
import type { ApiKey } from '../../src/api/keys.ts';
import { placeActions } from '../../src/api/place-actions.ts';
import { ApiServer, type ListenOptions } from '../../src/api/server.ts';
import { ssmActions } from '../../src/api/ssm-actions.ts';
import { stsActions } from '../../src/api/sts-actions.ts';
import { RequestLimit } from '../../src/api/token-bucket.ts';

export const WRITER: ApiKey = {
  accessKeyId: 'AKIAWRITERWRITER1234',
  secretAccessKey: 'the-secret-of-the-writer-0123456789/+ab',
  accountId: '123456789012',
  name: 'writer',
  policy: 'write',
};
export const READER: ApiKey = {
  ...WRITER,
  accessKeyId: 'AKIAREADERREADER1234',
  secretAccessKey: 'the-secret-of-the-reader-0123456789/+ab',
  name: 'reader',
  policy: 'read',
};

export interface Service {
  readonly url: string;
  readonly port: number;
  readonly records: readonly AccessRecord[];
  /** What was logged: message, or the error's. */
  readonly logged: readonly string[];
  readonly unknown: UnknownActions;
  readonly stop: () => Promise<void>;
}

export interface ServiceOptions extends Partial<Omit<ListenOptions, 'log' | 'host' | 'port'>> {
  readonly actions?: readonly Action[];
  readonly keys?: readonly ApiKey[];
  readonly limit?: RequestLimit;
  readonly now?: () => number;
}

/** Starts a server on loopback, which stops with the test. */
export async function startService(t: TestContext, options: ServiceOptions = {}): Promise<Service> {
  const { actions = [], keys = [WRITER, READER], limit, now = Date.now, ...listen } = options;
  const records: AccessRecord[] = [];
  const logged: string[] = [];
  const log = {
    error: (fields: { err?: unknown }, message: string) =>
      void logged.push(`${message}: ${String((fields.err as Error | undefined)?.message)}`),
    warn: ({ action }: { action?: string }, message: string) =>
      void logged.push(`${message}: ${action}`),
  } as unknown as ListenOptions['log'] & ConstructorParameters<typeof UnknownActions>[0];
  const unknown = new UnknownActions(log);
  const ring = { find: (id: string) => keys.find(({ accessKeyId }) => accessKeyId === id) };
  const dispatcher = new Dispatcher({
    actions: [
      ...stsActions({ keys: ring, region: 'us-east-1', now }),
      ...ssmActions('us-east-1'),
      ...placeActions('us-east-1', () => undefined),
      ...actions,
    ],
    keys: ring,
    limit: limit ?? new RequestLimit(1e6, 1e6),
    unknown,
    log,
    now,
    onAccess: (record) => records.push(record),
  });
  const server = await ApiServer.listen(dispatcher, { ...listen, host: '127.0.0.1', port: 0, log });
  t.after(() => server.stop());
  const port = Number(new URL(server.url).port);
  return { url: server.url, port, records, logged, unknown, stop: () => server.stop() };
}
