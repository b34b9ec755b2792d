/** This part of the panel is about a node: its interfaces or addresses, and what it is joined to. */
import type { MapNode } from '../../../contract.ts';
import { formatNumberOf } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import { routeHash } from '../../logic/route.ts';
import { servicesWords } from './map-lines.tsx';
import type { PanelProperties } from './panel-properties.ts';

/** More interfaces are counted and not listed. */
const LISTED_MAX = 200;

export function NodePanel(properties: PanelProperties & { readonly node: MapNode }) {
  const { node } = properties;
  return (
    <>
      <Groups node={node} />
      <Members node={node} />
      <Joined {...properties} />
    </>
  );
}

function Groups({ node }: { readonly node: MapNode }) {
  if (node.kind !== 'interfaces' && node.kind !== 'members') return null;
  return (
    <section>
      <h3>Groups</h3>
      <ul class="plain-list">
        {node.groups.map((group) => (
          <li key={group}>
            <a href={routeHash('draft', { group })}>{shown(group)}</a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Members({ node }: { readonly node: MapNode }) {
  switch (node.kind) {
    case 'interfaces':
      return <Interfaces interfaces={node.interfaces} />;
    case 'prefix-list': {
      const more = node.entryCount - node.entries.length;
      return (
        <section>
          <h3>{formatNumberOf(node.entryCount, 'prefix', 'prefixes')}</h3>
          <ul class="plain-list mono">
            {node.entries.map((entry) => (
              <li key={entry}>{shown(entry)}</li>
            ))}
            {more > 0 && <li class="muted">and {more} more</li>}
          </ul>
        </section>
      );
    }
    case 'members':
      return (
        <p>
          {node.count === undefined
            ? 'Who is in this group is not known here.'
            : `${formatNumberOf(node.count, 'interface')} of other hosts.`}
        </p>
      );
    case 'block':
      return node.cidr === '' ? (
        <p>Addresses that no rule names, from or to which packets were dropped.</p>
      ) : (
        <p>
          Whoever has an address of <code>{shown(node.cidr)}</code> and is no interface here.
        </p>
      );
    case 'name':
      return (
        <p>
          Whoever has the DNS name <code>{shown(node.dnsName)}</code>, as instances learn it.
          {node.tlsName !== undefined &&
            ' A connection must begin with TLS, and its server name must be that name.'}
        </p>
      );
    case 'platform':
      return (
        <p>Services of the platform, such as DNS and time. No group filters traffic to them.</p>
      );
    default:
      return node satisfies never;
  }
}

function Interfaces({
  interfaces,
}: {
  readonly interfaces: Extract<MapNode, { kind: 'interfaces' }>['interfaces'];
}) {
  const more = interfaces.length - LISTED_MAX;
  return (
    <section>
      <h3>{formatNumberOf(interfaces.length, 'interface')}</h3>
      <ul class="interfaces">
        {interfaces.slice(0, LISTED_MAX).map(({ name, id, addresses }) => (
          <li key={id}>
            <strong>{shown(name)}</strong>
            {id !== name && <span class="muted mono"> {shown(id)}</span>}
            <div class="mono">{addresses.map(shown).join(', ')}</div>
          </li>
        ))}
      </ul>
      {more > 0 && <p class="muted">and {more} more</p>}
    </section>
  );
}

function Joined({ node, nodes, edges, choose }: PanelProperties & { readonly node: MapNode }) {
  const labels = new Map(nodes.map(({ id, label }) => [id, shown(label)]));
  const incoming = edges.filter(({ to }) => to === node.id);
  const outgoing = edges.filter(({ from }) => from === node.id);
  const lists = [
    ['Reached by', incoming, 'from'],
    ['May reach', outgoing, 'to'],
  ] as const;
  return (
    <>
      {lists.map(([title, lines, end]) => (
        <section key={title}>
          <h3>{title}</h3>
          {lines.length === 0 && <p class="muted">nobody</p>}
          <ul class="joined">
            {lines.map((edge) => (
              <li key={edge.id}>
                <button
                  type="button"
                  class="link"
                  onClick={() => choose({ kind: 'edge', id: edge.id })}
                >
                  {labels.get(edge[end]) ?? shown(edge[end])}
                </button>
                <span class="muted"> {servicesWords(edge.services)}</span>
              </li>
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}
