/**
 * Calls a member of etcd over HTTP/2: the only importer of `@grpc/grpc-js`. One Channel is one connection to one
 * member; it is never mended, but replaced by another (connection.ts). So each call's end says how that connection is.
 */
import { readFileSync } from 'node:fs';
import {
  Client,
  connectivityState,
  credentials,
  Metadata,
  status,
  type CallOptions,
  type ChannelCredentials,
  type ClientDuplexStream,
  type ClientOptions,
  type ServiceError,
} from '@grpc/grpc-js';
import type { EtcdPlace } from '../place.ts';
import { StoreError } from '../store.ts';
import { WATCH, type Method, type WatchResponse } from './messages.ts';
import type { Message, Shape } from './wire.ts';

/** What a member takes is at most 1.5 MiB unless somebody raised that, so one row or one fragment is far smaller. */
export const MESSAGE_BYTES_MAX = 16 << 20;

const OPTIONS: ClientOptions = {
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  // A connection whose other end is gone without a word ends after 15 s. A member refuses more than a ping in 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // What may have been sent once is never sent again without our knowledge.
  'grpc.enable_retries': 0,
  // A connection is ours alone, so that it ends with its channel.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_channelz': 0,
  // Neither the environment nor DNS has a say in where we connect to.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
};

/** What came of a call that failed. */
export type CallError = ServiceError;
export { status };

export function isCallError(error: unknown): error is CallError {
  return error instanceof Error && 'code' in error && 'details' in error;
}

/** The answers of a watch, in order. They are fetched as they are taken, but for a few. */
export interface WatchStream extends AsyncIterable<WatchResponse> {
  cancel(): void;
}

export class Channel {
  readonly endpoint: string;
  private readonly client: Client;
  private readonly metadata = new Metadata();
  private isClosed = false;

  /** Connects with the first call. @throws StoreError if a file of the place can't be read */
  constructor(place: EtcdPlace, endpoint: string) {
    this.endpoint = endpoint;
    this.client = new Client(endpoint, credentialsOf(place), OPTIONS);
    // A member that has lost the others says so, in place of answering with what it had.
    this.metadata.set('hasleader', 'true');
  }

  /** Calls are made as whom this was given to. */
  setToken(token: string): void {
    this.metadata.set('token', token);
  }

  /** Whether it is connected, as far as we know. */
  get isReady(): boolean {
    if (this.isClosed) return false;
    return this.client.getChannel().getConnectivityState(false) === connectivityState.READY;
  }

  /** @throws CallError */
  call<I extends Shape, O extends Shape>(
    method: Method<I, O>,
    argument: Partial<Message<I>>,
    limitMs: number,
  ): Promise<Message<O>> {
    if (method.isStream === true) return this.callByStream(method, argument, limitMs);
    const { path, request, response } = method;
    return new Promise((resolve, reject) => {
      this.assertOpen();
      this.client.makeUnaryRequest(
        path,
        request.encode,
        response.decode,
        argument,
        this.metadata,
        { deadline: Date.now() + limitMs },
        (error, answer) => {
          if (error === null) resolve(answer as Message<O>);
          else reject(error);
        },
      );
    });
  }

  private callByStream<I extends Shape, O extends Shape>(
    method: Method<I, O>,
    argument: Partial<Message<I>>,
    limitMs: number,
  ): Promise<Message<O>> {
    return new Promise((resolve, reject) => {
      const stream = this.openStream(method, { deadline: Date.now() + limitMs });
      stream.on('error', reject);
      stream.on('data', resolve);
      stream.on('end', () => reject(callError(status.UNKNOWN, 'the member ended it unanswered')));
      stream.end(argument);
    });
  }

  /** Begins a watch. Its end is a CallError, also that by `cancel`. @throws CallError */
  watch(create: {
    readonly key: Buffer;
    readonly rangeEnd: Buffer;
    readonly startRevision: number;
  }): WatchStream {
    const stream = this.openStream(WATCH);
    // Its error reaches who iterates. Nobody does at the moment when it is cancelled.
    stream.on('error', () => undefined);
    stream.write({ create: { ...create, fragment: true } });
    return stream;
  }

  private openStream<I extends Shape, O extends Shape>(
    { path, request, response }: Method<I, O>,
    options: CallOptions = {},
  ): ClientDuplexStream<Partial<Message<I>>, Message<O>> {
    this.assertOpen();
    return this.client.makeBidiStreamRequest(
      path,
      request.encode,
      response.decode,
      this.metadata,
      options,
    );
  }

  /** Ends the connection, once the calls that are under way have ended. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.client.close();
  }

  /** Somebody else may have found that it fails, just before a call. */
  private assertOpen(): void {
    if (!this.isClosed) return;
    throw callError(status.UNAVAILABLE, 'No connection established: it was given up');
  }
}

/** An error as gRPC's own are. */
export function callError(code: status, details: string): Error {
  return Object.assign(new Error(details), { code, details });
}

/** Files are read for each connection, so that a certificate can be renewed. */
function credentialsOf({ tls }: EtcdPlace): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const { ca, own } = tls;
  const files = [ca, own?.key, own?.cert].map((file) =>
    file === undefined ? null : readSecret(file),
  );
  try {
    return credentials.createSsl(...files);
  } catch (error) {
    const named = [ca, own?.key, own?.cert].filter((file) => file !== undefined).join(', ');
    throw new StoreError(
      'failed',
      `a file is no certificate or key as it should be (${(error as Error).message}): ${named}; give files in PEM`,
      { cause: error },
    );
  }
}

/** Reads a file that a place names. @throws StoreError */
export function readSecret(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    const fault = code === 'EACCES' || code === 'EPERM' ? 'denied' : 'failed';
    const what = /^[A-Z0-9]+: ([^,]+)/.exec(message)?.[1] ?? message;
    throw new StoreError(
      fault,
      `the file ${file}, which the place of the store names: ${what}; this user must be able to read it`,
      { cause: error },
    );
  }
}
