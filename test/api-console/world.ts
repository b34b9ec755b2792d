/** A console of secgroup-api in this process, with keys in memory and an estate in memory, for tests. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { AccessRecord } from '../../src/api/access-log.ts';
import type { Action, Caller } from '../../src/api/action.ts';
import type { ApiKey } from '../../src/api/keys.ts';
import { Managed, type Wait } from '../../src/api/managed.ts';
import { Previews } from '../../src/api/previews.ts';
import { servedActions } from '../../src/api/served-actions.ts';
import { RequestLimit } from '../../src/api/token-bucket.ts';
import { startApiConsole } from '../../src/api-console/start-console.ts';
import type { SignedIn } from '../../src/console/contract.ts';
import { randomId } from '../../src/estate/calls.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { signedHeaders, type Sent } from '../api/request.ts';
import { READER, WRITER } from '../api/service.ts';
import { sendTo, type Answer, type Request } from '../console/world.ts';
import { context, makeClients } from '../estate/world.ts';
import { GUARD_MS } from '../support/guard-time.ts';

export { READER, WRITER };
export const HOST_KEY: ApiKey = {
  ...WRITER,
  accessKeyId: 'AKIAHOSTHOSTHOST1234',
  secretAccessKey: 'the-secret-of-the-host-0123456789/+abcd',
  name: 'a-host',
  policy: 'host',
};

export interface WorldOptions {
  readonly now?: () => number;
  readonly limit?: RequestLimit;
  readonly wait?: Wait;
  readonly enforceTimeoutMs?: number;
}

/** A console, with whoever is signed in there. */
export class ApiConsole {
  readonly port: number;
  readonly keys: Map<string, ApiKey>;
  readonly records: AccessRecord[];
  readonly managed: Managed;
  private readonly actions: readonly Action[];

  private constructor(
    port: number,
    parts: Pick<ApiConsole, 'keys' | 'records' | 'managed'>,
    actions: readonly Action[],
  ) {
    this.port = port;
    this.keys = parts.keys;
    this.records = parts.records;
    this.managed = parts.managed;
    this.actions = actions;
  }

  static async start(
    t: TestContext,
    client?: EstateClient,
    options: WorldOptions = {},
  ): Promise<ApiConsole> {
    const { now = Date.now, wait = 'all', enforceTimeoutMs = GUARD_MS } = options;
    const estate = client ?? (await makeClients(t))[0];
    const keys = new Map([WRITER, READER, HOST_KEY].map((key) => [key.accessKeyId, key]));
    const ring = { find: (id: string) => keys.get(id) };
    const previews = new Previews({ client: estate, newId: randomId, timeoutMs: 100 });
    const managed = new Managed({
      ...{ client: estate, previews, context, region: 'us-east-1', wait, enforceTimeoutMs },
    });
    const actions = servedActions(managed, { keys: ring, now });
    const records: AccessRecord[] = [];
    const served = await startApiConsole({
      ...{ place: { host: '127.0.0.1', port: 0 }, managed, actions, keys: ring },
      limit: options.limit ?? new RequestLimit(1e6, 1e6),
      ...{ region: 'us-east-1', version: '1.2.3', daemon: undefined, now },
      log: {
        error: ({ err }: { err: unknown }) => assert.fail(String((err as Error).stack)),
        info: () => undefined,
      },
      onAccess: (record) => records.push(record),
      pageFolder: '/nowhere',
    });
    t.after(() => served.stop());
    return new ApiConsole(served.port, { keys, records, managed }, actions);
  }

  /** Calls an action of the API as a key does. */
  async call(name: string, params: object, key = WRITER): Promise<object> {
    const found = this.actions.find((one) => one.service === 'ec2' && one.name === name);
    assert.ok(found !== undefined, name);
    const arn = `arn:aws:iam::${key.accountId}:user/${key.name}`;
    const caller: Caller = { ...key, arn, host: 'here' };
    return (await found.run(params as Parameters<Action['run']>[0], caller)).output;
  }

  send(request: Request): Promise<Answer> {
    return sendTo(this.port, request);
  }

  /** Signs in with whatever a test says is different. */
  signIn(
    key: Pick<ApiKey, 'accessKeyId' | 'secretAccessKey'>,
    more: Partial<Sent> = {},
  ): Promise<Answer> {
    const body = (more.body ?? '{}') as string;
    const { 'content-type': _, ...headers } = signedHeaders(key, this.port, {
      ...{ service: 'secgroupd', signedPath: '/api/sign-in' },
      ...more,
      body,
      signed: { 'content-type': 'application/json', ...more.signed },
    });
    return this.send({
      ...{ method: 'POST', path: '/api/sign-in', body },
      headers: { ...headers, 'content-type': 'application/json', ...more.headers },
    });
  }

  async signedIn(key = WRITER): Promise<SignedIn> {
    const { status, text } = await this.signIn(key);
    assert.equal(status, 200, text);
    return JSON.parse(text) as SignedIn;
  }

  async as(key = WRITER): Promise<Tab> {
    return new Tab(this, (await this.signedIn(key)).token);
  }
}

/** Somebody who is signed in. */
export class Tab {
  readonly token: string;
  private readonly console: ApiConsole;

  constructor(console: ApiConsole, token: string) {
    this.console = console;
    this.token = token;
  }

  /** Asks below `/api/`; with a body by POST. */
  ask(path: string, body?: unknown, headers: Request['headers'] = {}): Promise<Answer> {
    const authorization = `Bearer ${this.token}`;
    return this.console.send(
      body === undefined
        ? { path: `/api/${path}`, headers: { authorization, ...headers } }
        : {
            ...{ method: 'POST', path: `/api/${path}`, body: JSON.stringify(body) },
            headers: { authorization, 'content-type': 'application/json', ...headers },
          },
    );
  }

  async must<T>(path: string, body?: unknown): Promise<T> {
    const { status, text } = await this.ask(path, body);
    assert.equal(status, 200, `${path}: ${text}`);
    return JSON.parse(text) as T;
  }

  /** Status and code of what must fail. */
  async failure(path: string, body?: unknown): Promise<readonly [number, string | undefined]> {
    const { status, text } = await this.ask(path, body);
    assert.ok(status >= 400, `${path}: ${text}`);
    return [status, (JSON.parse(text) as { readonly code?: string }).code];
  }
}
