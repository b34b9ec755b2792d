/** This view is the map: who may reach whom, how much goes there now, and what is dropped between them. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { MapView as MapAnswer } from '../../../contract.ts';
import { about } from '../../browser/about.ts';
import { useAsk } from '../../browser/api.ts';
import { useFilterWords } from '../../browser/filter.ts';
import { addKeys } from '../../browser/keys.ts';
import { generation } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { chooseNodes, findNodes, type MapChoice } from '../../logic/map-choice.ts';
import { shown } from '../../logic/shown.ts';
import { Answered, Empty, Note } from '../../parts/states.tsx';
import type { Chosen } from './chosen.ts';
import { MapCanvas } from './map-canvas.tsx';
import { MapPanel } from './map-panel.tsx';
import { nodesWithElsewhere, useTraffic } from './map-state.ts';
import { MapTable } from './map-table.tsx';
import { MapTools, type MapForm } from './map-tools.tsx';

export function MapView() {
  const inForce = useStore(generation);
  const asked = useAsk<MapAnswer>('map', true);
  // The first event tells the generation that the map has already.
  const isOld = asked.last !== undefined && inForce > 0 && asked.last.generation !== inForce;
  useEffect(() => {
    if (isOld) asked.again();
  }, [inForce]);
  return (
    <>
      <h1 class="hidden">Map</h1>
      <Answered asked={asked} what="the map">
        {(map) => <LoadedMap map={map} />}
      </Answered>
    </>
  );
}

function LoadedMap({ map }: { readonly map: MapAnswer }) {
  const [form, setForm] = useState<MapForm>('picture');
  const [choice, setChoice] = useState<MapChoice>({ group: '', vpc: '' });
  const [chosen, setChosen] = useState<Chosen | undefined>(undefined);
  const words = useFilterWords();
  const isLive = useStore(about)?.isLive === true;
  const traffic = useTraffic(map, isLive);
  useEffect(
    () =>
      addKeys((key) => {
        if (key === 'Escape') setChosen(undefined);
        return key === 'Escape';
      }),
    [],
  );
  const hasElsewhere = nodesWithElsewhere(map.nodes, traffic.drops) !== map.nodes;
  const part = useMemo(() => {
    const { nodes, edges } = chooseNodes(map, choice);
    return { nodes: hasElsewhere ? nodesWithElsewhere(nodes, traffic.drops) : nodes, edges };
  }, [map, choice, hasElsewhere]);
  const found = useMemo(
    () => (words.length === 0 ? undefined : findNodes(part.nodes, words)),
    [part, words],
  );
  if (map.nodes.length === 0)
    return (
      <Empty title="There is nothing on the map yet">
        No interface has a security group. Add interfaces to the configuration: the map follows by
        itself.
      </Empty>
    );
  return (
    <div class={chosen === undefined ? 'panel-frame' : 'panel-frame has-panel'}>
      <MapTools
        map={map}
        {...{ form, setForm, choice, setChoice }}
        found={found?.size}
        count={part.nodes.length}
      />
      {map.isTooLarge !== undefined && <Note kind="warning">{shown(map.isTooLarge)}</Note>}
      {form === 'picture' ? (
        <MapCanvas {...part} {...{ traffic, found, chosen }} choose={setChosen} />
      ) : (
        <MapTable {...part} {...{ traffic, found }} choose={setChosen} />
      )}
      {chosen !== undefined && (
        <MapPanel {...part} {...{ map, traffic, chosen }} choose={setChosen} />
      )}
    </div>
  );
}
