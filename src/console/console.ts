/** This file puts the console together: a source, what is kept of it, and the server that shows it. */
import type { Server } from 'node:http';
import type { LiveTop, TopAnswer } from './contract.ts';
import {
  listenForConsole,
  portOf,
  type ConsolePlace,
  type ConsoleServerParts,
} from './console-server.ts';
import { EventHub, type EventHubOptions } from './event-stream.ts';
import { readPageFiles } from './page-files.ts';
import { RateKeeper, STEP_MS, totalOf } from './rate-history.ts';
import { Routes } from './routes.ts';
import type { Source } from './source.ts';
import { makeToken, TOKEN_HINT, tokenEntrance } from './token.ts';
import type { Answered, Entrance, Visitor } from './visitor.ts';

const FLOWS_SHOWN = 50;
const INTERFACES_SHOWN = 100;
const LOOPBACK = '127.0.0.1';

interface CommonOptions {
  /** Called with each failure on our side. */
  readonly onError: (error: unknown) => void;
  /** Where the page is; absent: where scripts/build puts it. */
  readonly pageFolder?: URL | string;
  /** Of the history; absent: STEP_MS. */
  readonly stepMs?: number;
}

export interface ConsoleOptions extends CommonOptions {
  /** 0: any. */
  readonly port: number;
}

export interface ServeOptions<V extends Visitor> extends CommonOptions {
  readonly place: ConsolePlace;
  readonly entrance: Entrance<V>;
  /** What is answered, of what every console answers. */
  readonly routes: (every: Routes) => ConsoleServerParts<V>['routes'];
  readonly events?: EventHubOptions;
  readonly onAnswer?: (answered: Answered<V>) => void;
  /** What whoever came the wrong way is told to do. */
  readonly hint: string;
}

export interface ServedConsole {
  readonly port: number;
  readonly stop: () => Promise<void>;
}

export interface RunningConsole extends ServedConsole {
  readonly token: string;
  /** The address with the token, as a browser opens it. */
  readonly url: string;
}

/** Starts sgctl's console. @throws Error with `code` (EADDRINUSE, EACCES) if the port can't be had */
export async function startConsole(
  source: Source,
  { port: wanted, ...common }: ConsoleOptions,
): Promise<RunningConsole> {
  const token = makeToken();
  const { port, stop } = await serveConsole(source, {
    ...common,
    place: { host: LOOPBACK, port: wanted },
    entrance: tokenEntrance(token),
    routes: (every) => every,
    hint: TOKEN_HINT,
  });
  return { port, token, url: `http://${LOOPBACK}:${port}/#token=${token}`, stop };
}

/** Serves a console. @throws Error with `code` (EADDRINUSE, EACCES, EADDRNOTAVAIL) if it can't listen there */
export async function serveConsole<V extends Visitor>(
  source: Source,
  { place, entrance, routes, hint, onError, onAnswer, ...options }: ServeOptions<V>,
): Promise<ServedConsole> {
  const { stepMs = STEP_MS } = options;
  const events = new EventHub(options.events);
  const rates = new RateKeeper(stepMs);
  const files = readPageFiles(options.pageFolder);
  const every = new Routes(source, rates);
  const parts = {
    ...{ routes: routes(every), entrance, events, files, hint, onError },
    ...(onAnswer === undefined ? {} : { onAnswer }),
  };
  const server = await listenForConsole(parts, place);
  events.sendState('source', source.state);
  let isPrepared = false;
  source.start(
    {
      state: (state) => events.sendState('source', state),
      estate: (generation) => {
        events.sendState('estate', { generation });
        // At the start for the first tab, which is about to come.
        if (!isPrepared || events.count > 0) void every.prepare();
        isPrepared = true;
      },
      top: (answer) => {
        rates.take(answer);
        events.send('top', liveTop(answer));
      },
      drops: (examples, more) => events.send('drop', { examples, more }),
    },
    () => events.count > 0,
  );
  const steps = source.isLive
    ? setInterval(() => events.send('rates', rates.endStep(Date.now())), stepMs)
    : undefined;
  return {
    port: portOf(server),
    stop: async () => {
      clearInterval(steps);
      source.stop();
      events.stop();
      await close(server);
    },
  };
}

/** What is sent each second: the interfaces with the most traffic, and the sum of all. */
function liveTop(answer: TopAnswer): LiveTop {
  const interfaces = answer.interfaces
    .map((one) => ({ one, bytes: bytesOf(one) }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, INTERFACES_SHOWN)
    .map(({ one }) => one);
  const topFlows = answer.topFlows.slice(0, FLOWS_SHOWN);
  return { ...answer, interfaces, topFlows, total: totalOf(answer) };
}

function bytesOf({ ingress, egress }: TopAnswer['interfaces'][number]): number {
  return [ingress, egress].reduce((sum, one) => sum + one.passedBytes + one.droppedBytes, 0);
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
