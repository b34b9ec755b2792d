/** What the daemon answers to each request of the control socket, put together in one place. */
import type { Logger } from 'pino';
import { CaptureHub } from './capture-stream.ts';
import type { Daemon } from '../daemon.ts';
import { DropsSeen } from '../views/drops-seen.ts';
import { explainDrop, listDrops } from '../views/drops-view.ts';
import { FlowsView } from '../views/flows-view.ts';
import { listInterfaces } from '../views/interfaces-view.ts';
import type { Methods, Streams, MethodName, StreamName } from './protocol.ts';
import type { Reloader } from '../reloader.ts';
import { RuleBook } from '../views/rule-book.ts';
import { listGroups, listRules } from '../views/rules-view.ts';
import { RateMeter, readHealth } from '../views/status-view.ts';
import type { Follow } from './stream.ts';
import { TopSampler } from './top-stream.ts';
import { followVerdicts } from './trace-stream.ts';
import { RequestError } from '../views/traffic-filter.ts';
import { version } from '../version.ts';

export interface Handlers {
  readonly methods: {
    readonly [Name in MethodName]: (
      params: Methods[Name]['params'],
    ) => Promise<Methods[Name]['result']>;
  };
  readonly streams: {
    readonly [Name in StreamName]: Follow<Streams[Name]['params'], Streams[Name]['result']>;
  };
  stop(): void;
}

export function makeHandlers(daemon: Daemon, reloader: Reloader, log: Logger): Handlers {
  const { observatory } = daemon;
  const book = new RuleBook(observatory);
  const flows = new FlowsView(observatory, book);
  const seen = new DropsSeen(observatory);
  const meter = new RateMeter(observatory);
  const capture = new CaptureHub(observatory, book);
  const top = new TopSampler(observatory, book, flows, (error) =>
    log.error({ err: error }, 'sgctl top got no answer'),
  );
  return {
    methods: {
      status: async () => ({
        version,
        pid: process.pid,
        ...daemon.status(),
        health: await readHealth(observatory, meter),
      }),
      explain: (question) => Promise.resolve(daemon.explain(question)),
      reload: ({ dryRun }) => (dryRun === true ? reloader.plan() : reloader.reload('sgctl')),
      interfaces: () => listInterfaces(observatory, daemon.waiting()),
      groups: () => listGroups(observatory, book),
      rules: (question) => listRules(observatory, book, question),
      flows: (question) => flows.list(question),
      endFlows: async (filter) => {
        const ended = await flows.end(filter);
        log.info({ filter, ended }, 'connections ended by hand');
        return { ended };
      },
      drops: (question) => Promise.resolve(listDrops(observatory, book, seen, question)),
      explainDrop: ({ id }) => {
        if (id !== undefined && !Number.isSafeInteger(id))
          throw new RequestError('id is the number of a drop');
        return Promise.resolve(explainDrop(observatory, book, seen, id));
      },
    },
    streams: {
      trace: (question, sink) => followVerdicts(observatory, book, question, sink),
      top: (question, sink) => top.follow(question, sink),
      capture: (question, sink) => capture.follow(question, sink),
    },
    stop: () => {
      seen.stop();
      meter.stop();
      capture.stop();
      top.stop();
    },
  };
}
