/** A console for tests: on any port, about an input or a source of the test's own, and a client with any headers. */
import assert from 'node:assert/strict';
import { request, type IncomingHttpHeaders } from 'node:http';
import type { TestContext } from 'node:test';
import { startConsole, type RunningConsole } from '../../src/console/console.ts';
import { InputSource } from '../../src/console/input-source.ts';
import type { Source } from '../../src/console/source.ts';
import { FILE, loadText } from '../config/config-text.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
}

export interface Request {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface ConsoleWorld extends RunningConsole {
  /** Sends a request as it is, with no header that is not given but Host. */
  send(request: Request): Promise<Answer>;
  /** Asks below /api/ with the token; the answer's JSON, which must have the status 200. */
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  /** The failures on the console's side. */
  readonly failures: readonly unknown[];
}

export function inputOf(text: string): InputSource {
  const { config, problems } = loadText(text);
  assert.ok(config !== undefined, JSON.stringify(problems));
  return new InputSource({ title: FILE, kind: 'configuration', version: '1.2.3', config });
}

export async function openConsole(
  t: TestContext,
  source: Source,
  more: { readonly pageFolder?: string; readonly stepMs?: number } = {},
): Promise<ConsoleWorld> {
  const failures: unknown[] = [];
  const running = await startConsole(source, {
    ...{ port: 0, onError: (error: unknown) => failures.push(error) },
    ...more,
  });
  t.after(() => running.stop());
  const send = (one: Request): Promise<Answer> => sendTo(running.port, one);
  const authorization = `Bearer ${running.token}`;
  const take = <T>(path: string, { status, text }: Answer): T => {
    assert.equal(status, 200, `${path}: ${text}`);
    return JSON.parse(text) as T;
  };
  return {
    ...running,
    send,
    failures,
    get: async (path) =>
      take(path, await send({ path: `/api/${path}`, headers: { authorization } })),
    post: async (path, body) =>
      take(
        path,
        await send({
          ...{ method: 'POST', path: `/api/${path}`, body: JSON.stringify(body) },
          headers: { authorization, 'content-type': 'application/json' },
        }),
      ),
  };
}

export function sendTo(
  port: number,
  { method = 'GET', path, headers = {}, body }: Request,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        ...{ host: '127.0.0.1', port, method, path, agent: false },
        headers: { host: `127.0.0.1:${port}`, ...headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const { statusCode = 0, headers: told } = response;
          resolve({ status: statusCode, headers: told, body: bytes, text: bytes.toString() });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** One event of a stream. */
export interface Event {
  readonly name: string;
  readonly data: unknown;
}

/** A tab that follows the events. */
export class Follower {
  readonly events: Event[] = [];
  comments = 0;
  private readonly closed = new AbortController();
  private rest = '';
  private readonly listeners = new Set<() => void>();

  static async open(
    t: TestContext,
    { port, token }: Pick<RunningConsole, 'port' | 'token'>,
  ): Promise<Follower> {
    const follower = new Follower();
    const response = await fetch(`http://127.0.0.1:${port}/api/events`, {
      headers: { authorization: `Bearer ${token}` },
      signal: follower.closed.signal,
    });
    t.after(() => follower.close());
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    void follower.read(response.body!);
    return follower;
  }

  close(): void {
    this.closed.abort();
  }

  /** Waits for an event that `find` takes, also among those that came already. */
  async until<T>(
    find: (event: Event) => T | undefined,
    what: string,
    limitMs = 20_000,
  ): Promise<T> {
    let seen = 0;
    const look = (): T | undefined => {
      for (; seen < this.events.length; seen++) {
        const found = find(this.events[seen]);
        if (found !== undefined) return found;
      }
      return undefined;
    };
    const first = look();
    if (first !== undefined) return first;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.listeners.delete(listen);
        reject(new Error(`waited ${limitMs} ms for ${what}; there were ${this.names()}`));
      }, limitMs);
      const listen = (): void => {
        const found = look();
        if (found === undefined) return;
        clearTimeout(timer);
        this.listeners.delete(listen);
        resolve(found);
      };
      this.listeners.add(listen);
    });
  }

  private names(): string {
    return this.events.map(({ name }) => name).join(' ');
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
        this.rest += decoder.decode(chunk, { stream: true });
        this.take();
        for (const listen of [...this.listeners]) listen();
      }
    } catch {
      // It was closed, by either side.
    }
  }

  private take(): void {
    for (let end = this.rest.indexOf('\n\n'); end >= 0; end = this.rest.indexOf('\n\n')) {
      const lines = this.rest.slice(0, end).split('\n');
      this.rest = this.rest.slice(end + 2);
      if (lines[0].startsWith(':')) {
        this.comments++;
        continue;
      }
      assert.deepEqual(
        [lines.length, lines[0].slice(0, 7), lines[1].slice(0, 6)],
        [2, 'event: ', 'data: '],
      );
      this.events.push({ name: lines[0].slice(7), data: JSON.parse(lines[1].slice(6)) });
    }
  }
}
