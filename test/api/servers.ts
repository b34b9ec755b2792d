/** Two servers of one store, for tests. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { makeFolder } from '../store/folder.ts';
import { startApiProgram, startApiServer, type Key } from '../support/api-program.ts';
import type { Running } from '../support/process.ts';
import { send, type Got } from './request.ts';

export type Parameters = Readonly<Record<string, string>>;

export class Servers {
  readonly key: Key;
  readonly urls: readonly string[];
  readonly running: readonly Running[];
  readonly folder: string;
  private turn = 0;

  private constructor(folder: string, key: Key, all: readonly { url: string; server: Running }[]) {
    this.folder = folder;
    this.key = key;
    this.urls = all.map(({ url }) => url);
    this.running = all.map(({ server }) => server);
  }

  static async start(t: TestContext): Promise<Servers> {
    const folder = makeFolder(t);
    const first = await startApiProgram(folder, { policy: 'write' });
    t.after(() => first.server.stop());
    const other = await startApiServer(folder);
    t.after(() => other.server.stop());
    return new Servers(folder, first.key, [first, other]);
  }

  call(url: string, action: string, parameters: Parameters): Promise<Got> {
    const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...parameters });
    return send(Number(new URL(url).port), this.key, { body: body.toString() });
  }

  /** Calls one server, then the other in turn, and has what stands in an element of the answer. */
  async must(action: string, parameters: Parameters, element = 'return'): Promise<string> {
    const got = await this.call(this.urls[this.turn++ % 2], action, parameters);
    assert.equal(got.status, 200, `${action} ${JSON.stringify(parameters)}: ${got.body}`);
    return new RegExp(`<${element}>(.*?)</`).exec(got.body)?.[1] ?? '';
  }

  /** The code of a call's answer, from each server. */
  async codes(action: string, parameters: Parameters): Promise<readonly string[]> {
    const got = await Promise.all(this.urls.map((url) => this.call(url, action, parameters)));
    return got.map(({ code }) => code ?? 'ok');
  }
}

/** All that stands in elements of a name. */
export function valuesOf(body: string, element: string): readonly string[] {
  return [...body.matchAll(new RegExp(`<${element}>(.*?)</`, 'g'))].map(([, value]) => value);
}

export async function subnetOf(servers: Servers): Promise<string> {
  return servers.must('DescribeSubnets', {}, 'subnetId');
}
