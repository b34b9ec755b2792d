/** The SDK for JavaScript as an oracle: what its clients send, and what they read of an answer. */
import { createRequire } from 'node:module';
import type { TestContext } from 'node:test';
import { SERVICES as SOURCES } from '../../scripts/wire/actions.ts';

const require = createRequire(import.meta.url);

export interface SdkRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface SdkAnswer {
  readonly status: number;
  readonly body: string;
}

export interface SdkClient {
  /** Calls an action. @returns what the SDK made of the answer, without its own `$metadata` */
  call(action: string, input: object): Promise<Record<string, unknown>>;
}

type Loaded = Readonly<Record<string, new (settings: object) => unknown>>;

/** Whether the SDK is installed; skips the test if not. */
export function requireSdk(t: TestContext): boolean {
  const missing = SOURCES.map(({ packageName }) => packageName).filter((name) => {
    try {
      require.resolve(name);
      return false;
    } catch {
      return true;
    }
  });
  if (missing.length > 0) t.skip(`needs ${missing.join(', ')}`);
  return missing.length === 0;
}

/** A client of a service. @param settings goes to the client: `requestHandler`, or `endpoint` */
export async function sdkClient(service: string, settings: object): Promise<SdkClient> {
  const source = SOURCES.find((each) => each.service === service)!;
  // By a variable: the compiler need not read the types of some thousand shapes.
  const loaded = (await import(source.packageName)) as Loaded;
  const client = new loaded[source.client]({
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'secret-of-the-test' },
    maxAttempts: 1,
    ...settings,
  }) as { send(command: unknown): Promise<Record<string, unknown>> };
  return {
    async call(action, input) {
      const { $metadata: _, ...output } = await client.send(new loaded[`${action}Command`](input));
      return output;
    },
  };
}

/** A client that sends nothing: `answer` is asked in place of a server. */
export async function offlineClient(
  service: string,
  answer: (request: SdkRequest) => SdkAnswer,
): Promise<SdkClient> {
  return sdkClient(service, {
    requestHandler: {
      handle: async (request: SdkRequest) => {
        const { status, body } = answer(request);
        return {
          response: { statusCode: status, headers: {}, body: new TextEncoder().encode(body) },
        };
      },
    },
  });
}
