/** This file says what the panel beside the map is given. */
import type { MapEdge, MapNode, MapView } from '../../../contract.ts';
import type { Chosen } from './chosen.ts';
import type { MapTraffic } from './map-state.ts';

export interface PanelProperties {
  readonly map: MapView;
  readonly nodes: readonly MapNode[];
  readonly edges: readonly MapEdge[];
  readonly traffic: MapTraffic;
  readonly chosen: Chosen;
  readonly choose: (chosen: Chosen | undefined) => void;
}
