/**
 * LinkWatches has a watch (ports/link-news.ts) in each namespace where interfaces are attached, or waited for.
 *
 * A watch keeps its namespace alive. So it ends when nobody asks for the namespace any more, and when its path stands
 * for another namespace, or for none: that is looked at each second, as it is for devices of ours. The daemon's own
 * namespace needs no such look. Where none can be had (there is no such namespace yet, or no right to watch it), the
 * owner has to look by himself.
 */
import type { Logger } from 'pino';
import { LinkWatch, type LinkNews } from '../ports/link-news.ts';
import { inNamespace, isProcessPath, namespaceAt } from '../ports/namespace.ts';
import type { Native } from '../ports/native.ts';

type Netns = string | undefined;

interface Watched {
  /** Tells it from another that has the path later (namespaceAt). */
  readonly namespace: string | undefined;
  readonly watch: LinkWatch;
}

export interface LinkWatchesOptions {
  readonly native: Pick<Native, 'watchLinks'>;
  readonly log: Logger;
  readonly onNews: (netns: Netns, news: LinkNews) => void;
  /** For tests: how much may wait in the kernel. */
  readonly receiveBytes?: number;
}

export class LinkWatches {
  private readonly options: LinkWatchesOptions;
  private readonly watched = new Map<Netns, Watched>();
  /** Namespaces that could not be watched, and why. */
  private readonly refused = new Map<Netns, string>();

  constructor(options: LinkWatchesOptions) {
    this.options = options;
  }

  has(netns: Netns): boolean {
    return this.watched.has(netns);
  }

  /** Watches these namespaces, as far as that is possible, and no others. */
  keep(wanted: ReadonlySet<Netns>): void {
    for (const [netns, { namespace }] of this.watched) {
      const isThere = netns === undefined || attempt(() => namespaceAt(netns)) === namespace;
      if (!wanted.has(netns) || !isThere) this.end(netns);
    }
    for (const netns of this.refused.keys()) if (!wanted.has(netns)) this.refused.delete(netns);
    for (const netns of wanted) if (!this.watched.has(netns)) this.begin(netns);
  }

  stop(): void {
    this.keep(new Set());
  }

  private begin(netns: Netns): void {
    // The number may be another process's by now.
    if (isProcessPath(netns) && this.refused.has(netns)) return;
    const { native, log, onNews, receiveBytes } = this.options;
    const open = (path: Netns): LinkWatch =>
      new LinkWatch(
        native,
        path,
        (news) => {
          if (this.watched.has(netns)) onNews(netns, news);
        },
        () => this.watched.delete(netns),
        receiveBytes,
      );
    try {
      this.watched.set(
        netns,
        netns === undefined
          ? { namespace: undefined, watch: open(undefined) }
          : inNamespace(netns, (held, namespace) => ({ namespace, watch: open(held) })),
      );
      this.refused.delete(netns);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (!isAbsent && this.refused.get(netns) !== why)
        log.warn({ netns, why }, 'interfaces are looked at once a second, since they are not told');
      this.refused.set(netns, why);
    }
  }

  private end(netns: Netns): void {
    this.watched.get(netns)!.watch.close();
    this.watched.delete(netns);
  }
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined; // A process that is not ours may hide its namespace; nothing is known then.
  }
}
