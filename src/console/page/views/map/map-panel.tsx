/** This is the panel beside the map: what was clicked, in full. */
import type { ComponentChildren } from 'preact';
import { wordsOfNode } from '../../logic/map-boxes.ts';
import { shown } from '../../logic/shown.ts';
import { Icon } from '../../parts/icon.tsx';
import { SidePanel } from '../../parts/side-panel.tsx';
import { DropPanel } from './drop-panel.tsx';
import { EdgePanel } from './edge-panel.tsx';
import type { PanelProperties } from './panel-properties.ts';
import { NodePanel } from './node-panel.tsx';

export function MapPanel(properties: PanelProperties) {
  const { nodes, edges, traffic, chosen, choose } = properties;
  return (
    <SidePanel
      label="Details"
      title={<Title nodes={nodes} edges={edges} traffic={traffic} chosen={chosen} />}
      chosen={chosen}
      close={() => choose(undefined)}
    >
      <Content {...properties} />
    </SidePanel>
  );
}

function Content(properties: PanelProperties): ComponentChildren {
  const { nodes, edges, traffic, chosen } = properties;
  const node = nodes.find(({ id }) => id === chosen.id);
  const edge = edges.find(({ id }) => id === chosen.id);
  const drop = traffic.drops.find(({ id }) => id === chosen.id);
  if (chosen.kind === 'node' && node !== undefined)
    return <NodePanel {...properties} node={node} />;
  if (chosen.kind === 'edge' && edge !== undefined)
    return <EdgePanel {...properties} edge={edge} />;
  if (chosen.kind === 'drop' && drop !== undefined) return <DropPanel drop={drop} />;
  return <p class="muted">It is no longer on the map.</p>;
}

function Title({ nodes, edges, traffic, chosen }: Omit<PanelProperties, 'map' | 'choose'>) {
  const labelOf = (id: string): string => {
    const node = nodes.find((one) => one.id === id);
    return node === undefined ? shown(id) : shown(node.label);
  };
  if (chosen.kind === 'node') {
    const node = nodes.find(({ id }) => id === chosen.id);
    return (
      <h2>
        {node !== undefined && <span class="muted panel-kind">{wordsOfNode(node).kind}</span>}
        {labelOf(chosen.id)}
      </h2>
    );
  }
  const lines: readonly { readonly id: string; readonly from: string; readonly to: string }[] =
    chosen.kind === 'edge' ? edges : traffic.drops;
  const line = lines.find(({ id }) => id === chosen.id);
  if (line === undefined) return <h2>Gone</h2>;
  return (
    <h2>
      <span class="muted panel-kind">
        {chosen.kind === 'edge' ? 'may reach' : 'dropped between'}
      </span>
      {labelOf(line.from)} <Icon name="arrow" />
      <span class="hidden">to</span> {labelOf(line.to)}
    </h2>
  );
}
