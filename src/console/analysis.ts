/**
 * This file keeps what was computed of a configuration until there is another one: all tabs share it, also the text of
 * the answers.
 */
import { reachOfKinds, type ReachOfKinds } from '../reach/kinds.ts';
import type { MapView, MatrixView } from './contract.ts';
import { makeMap, type MapParts } from './map-view.ts';
import { makeMatrix } from './matrix-view.ts';
import type { Snapshot } from './source.ts';
import { Written } from './written.ts';

/** Begun once; whoever asks meanwhile waits for the same. */
interface Computed {
  readonly mark: string;
  readonly reach: Promise<ReachOfKinds>;
  readonly map: Promise<MapParts>;
  readonly mapAnswer: Promise<Written>;
  matrixAnswer?: Promise<Written>;
}

export class Analysis {
  private last: Computed | undefined;

  /** A `MapView`. */
  mapOf(snapshot: Snapshot): Promise<Written> {
    return this.computed(snapshot).mapAnswer;
  }

  /** A `MatrixView`. */
  matrixOf(snapshot: Snapshot): Promise<Written> {
    const computed = this.computed(snapshot);
    const { generation, config } = snapshot;
    computed.matrixAnswer ??= Promise.all([computed.reach, computed.map]).then(
      ([reach, map]) =>
        new Written({ generation, ...makeMatrix(config, reach, map) } satisfies MatrixView),
    );
    return computed.matrixAnswer;
  }

  private computed({ mark, generation, config }: Snapshot): Computed {
    if (this.last?.mark === mark) return this.last;
    const reach = reachOfKinds(config.model);
    const map = reach.then((found) => makeMap(config, found));
    const mapAnswer = map.then((parts) => new Written({ generation, ...parts } satisfies MapView));
    // Who asked may have gone; a failure is told to the next one.
    mapAnswer.catch(() => undefined);
    this.last = { mark, reach, map, mapAnswer };
    return this.last;
  }
}
