/** This file puts together the handlers for all requests of the control socket. */
import type { Logger } from 'pino';
import { readAudit } from '../queries/audit-view.ts';
import { ConfigurationBook } from '../queries/configuration-view.ts';
import { CaptureHub } from '../queries/capture-stream.ts';
import type { Daemon } from './daemon.ts';
import { previewDraft } from './preview-draft.ts';
import type { EstateInForce } from './estate-in-force.ts';
import type { InterfaceCalls } from './interface-calls.ts';
import { DropExamples } from '../queries/drop-examples.ts';
import { explainDrop, listDrops } from '../queries/drops-view.ts';
import { FlowsView } from '../queries/flows-view.ts';
import { findInstance } from '../queries/instance-view.ts';
import { listInterfaces } from '../queries/interfaces-view.ts';
import { listNames } from '../queries/names-view.ts';
import { findPlatform } from '../queries/platform-view.ts';
import type { Handlers } from '../control-socket/protocol.ts';
import type { Reloader } from './reloader.ts';
import { RuleBook } from '../queries/rule-book.ts';
import { listGroups, listRules } from '../queries/rules-view.ts';
import { RateMeter, readHealth } from '../queries/status-view.ts';
import { TopSampler } from '../queries/top-stream.ts';
import { followVerdicts } from '../queries/trace-stream.ts';
import { RequestError } from '../queries/traffic-filter.ts';
import { version } from '../service/version.ts';
import { toldOfInterface } from './told-of-interface.ts';

export interface HandlerParts {
  readonly daemon: Daemon;
  readonly reloader: Reloader;
  /** Undefined: there is no store. */
  readonly estate: EstateInForce | undefined;
  readonly calls: InterfaceCalls | undefined;
  readonly log: Logger;
}

type CallName =
  | 'addInterface'
  | 'removeInterface'
  | 'attachInterface'
  | 'detachInterface'
  | 'findSubnet'
  | 'leaseAddress'
  | 'releaseAddress'
  | 'setInterfaceGroups'
  | 'getInterface'
  | 'listInterfaces'
  | 'reconcileInterfaces';

export function makeHandlers({ daemon, reloader, estate, calls, log }: HandlerParts): Handlers {
  const { observatory } = daemon;
  const book = new RuleBook(observatory);
  const flows = new FlowsView(observatory, book);
  const configuration = new ConfigurationBook(observatory);
  const seen = new DropExamples(observatory);
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
        ...readAudit(observatory),
        ...(estate === undefined ? {} : { store: estate.status() }),
      }),
      explain: (question) => daemon.explain(question, estate?.fenced()),
      reload: ({ dryRun }) => (dryRun === true ? reloader.plan() : reloader.reload('sgctl')),
      configuration: (question) => Promise.resolve(configuration.answer(question)),
      preview: (draft) => previewDraft(daemon, draft),
      interfaces: () =>
        listInterfaces(observatory, daemon.waiting(), daemon.devices, estate?.fenced()),
      ...interfaceMethods(calls, estate !== undefined),
      instance: ({ address }) =>
        Promise.resolve(
          findInstance(observatory.config, address, (id) => toldOfInterface(estate, id)),
        ),
      platform: () =>
        Promise.resolve(findPlatform(observatory, (port) => daemon.devices.placeOf(port))),
      groups: () => listGroups(observatory, book),
      rules: (question) => listRules(observatory, book, question),
      flows: (question) => flows.list(question),
      endFlows: async (filter) => {
        const ended = await flows.end(filter);
        log.info({ filter, ended }, 'connections ended by hand');
        return { ended };
      },
      drops: (question) => Promise.resolve(listDrops(observatory, book, seen, question)),
      names: (question) => Promise.resolve(listNames(observatory, question)),
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

/** The requests by which interfaces come and go, and their addresses. */
function interfaceMethods(
  calls: InterfaceCalls | undefined,
  hasStore: boolean,
): Pick<Handlers['methods'], CallName> {
  const known = (): InterfaceCalls => {
    if (calls !== undefined) return calls;
    throw new RequestError(
      hasStore
        ? 'hosts share the store of this daemon, and a host changes nothing there; start it with --api URL and --api-key FILE, or make and attach interfaces by calls of the EC2 API'
        : 'this daemon has no store where an interface would outlive it; start it with --store FILE',
    );
  };
  return {
    addInterface: (question) => known().add(question),
    removeInterface: ({ id }) => known().remove(id),
    attachInterface: (question) => known().attach(question),
    detachInterface: ({ attachment }) => known().detach(attachment),
    findSubnet: (question) => known().findSubnet(question),
    leaseAddress: (question) => known().lease(question),
    releaseAddress: (question) => known().release(question),
    setInterfaceGroups: ({ id, securityGroups }) => known().setGroups(id, securityGroups),
    getInterface: ({ id }) => Promise.resolve(known().get(id)),
    listInterfaces: ({ owner }) => Promise.resolve(known().list(owner)),
    reconcileInterfaces: ({ owner, keep }) => known().reconcile(owner, keep),
  };
}
