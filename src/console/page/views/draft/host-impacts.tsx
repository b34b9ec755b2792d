/** This part of the draft says what each host would do to its tracked connections. */
import type { DraftHost } from '../../../contract.ts';
import { shown } from '../../logic/shown.ts';
import { ConnectionCounts } from './connection-counts.tsx';

export function HostImpacts({ hosts }: { readonly hosts: readonly DraftHost[] }) {
  return (
    <section>
      <h3>Tracked connections</h3>
      {hosts.length === 0 && <p class="muted">It concerns no host.</p>}
      <ul class="plain-list">
        {hosts.map((one) => (
          <li key={one.host}>
            <strong>{shown(one.host)}</strong>
            <Impact {...one} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Impact({ why, impact }: DraftHost) {
  if (impact === undefined)
    return <p class="muted">{why === undefined ? 'says nothing' : shown(why)}</p>;
  const { kept, cut, refusedAnew, cutBy, cutConnections, refusedAnewConnections } = impact;
  return (
    <>
      <ConnectionCounts {...{ kept, cut, refusedAnew }} />
      <Texts title="Had been admitted by" texts={cutBy} />
      <Texts title="Cut" texts={cutConnections} />
      <Texts title="Refused if opened again" texts={refusedAnewConnections} />
    </>
  );
}

function Texts({ title, texts }: { readonly title: string; readonly texts: readonly string[] }) {
  if (texts.length === 0) return null;
  return (
    <details>
      <summary>{title}</summary>
      <ul class="plain-list mono">
        {texts.map((text) => (
          <li key={text}>{shown(text)}</li>
        ))}
      </ul>
    </details>
  );
}
