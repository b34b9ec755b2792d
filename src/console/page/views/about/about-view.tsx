/** This view says what the console looks at and which rights it has. */
import type { ComponentChildren } from 'preact';
import type { About, SignedInKey } from '../../../contract.ts';
import { about, aboutFailure, askAbout } from '../../browser/about.ts';
import { generation } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { formatMoment } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import { Failed, Loading } from '../../parts/states.tsx';

export function AboutView() {
  const known = useStore(about);
  const failure = useStore(aboutFailure);
  return (
    <div class="column">
      <h1>About</h1>
      {failure !== undefined && <Failed error={failure} again={askAbout} />}
      {known === undefined ? (
        failure === undefined && <Loading what="what this is" />
      ) : (
        <Facts {...known} />
      )}
      <section class="card">
        <h2>What this page may do</h2>
        {known?.key === undefined ? <OfSgctl /> : <OfKey {...known.key} />}
      </section>
      <section class="card">
        <h2>The same in a terminal</h2>
        <Commands />
      </section>
    </div>
  );
}

function OfSgctl() {
  return (
    <p>
      It shows and asks; it changes nothing. <code>sgctl console</code> serves it on this machine
      alone, and asks the daemon by its control socket with the rights of the user who started it. A
      draft is computed and written as text for you to copy: nothing is applied.
    </p>
  );
}

function OfKey({ name, accessKeyId, arn, policy }: SignedInKey) {
  return (
    <>
      <p>
        It may what the key may with which you signed in:{' '}
        {policy === 'write'
          ? 'see everything, and apply drafts. Nothing is applied without a preview of it.'
          : 'see everything, and change nothing.'}
      </p>
      <dl class="facts">
        <Fact name="Key">
          {shown(name)} <span class="mono muted">{shown(accessKeyId)}</span>
        </Fact>
        <Fact name="Identity">
          <span class="mono">{shown(arn)}</span>
        </Fact>
      </dl>
    </>
  );
}

function Facts(known: About) {
  const inForce = useStore(generation);
  return (
    <section class="card">
      <dl class="facts">
        <Fact name={TITLES[known.source]}>
          <span class="mono">{shown(known.title)}</span>
        </Fact>
        <Fact name="Configuration">
          <span class="mono">{shown(known.configuration)}</span>
        </Fact>
        {inForce > 0 && <Fact name="Generation in force">{inForce}</Fact>}
        <Fact name={STARTS[known.source]}>{formatMoment(known.startedMs)}</Fact>
        {known.host !== undefined && <Fact name="Host">{shown(known.host)}</Fact>}
        {known.revision !== undefined && <Fact name="Revision of the store">{known.revision}</Fact>}
        <Fact name="Version">{shown(known.version)}</Fact>
        <Fact name="Traffic">
          {known.isLive
            ? 'live'
            : known.source === 'input'
              ? 'none: an input in files has no traffic'
              : 'not shown'}
          {known.liveNote !== undefined && <span class="muted"> {shown(known.liveNote)}</span>}
        </Fact>
        <Fact name="Drafts">
          {known.mayApply
            ? 'can be tried and applied'
            : known.mayDraft
              ? 'can be tried; none can be applied here'
              : 'no'}
        </Fact>
      </dl>
    </section>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const TITLES: Readonly<Record<About['source'], string>> = {
  daemon: 'Control socket',
  input: 'Input',
  estate: 'Region',
};

const STARTS: Readonly<Record<About['source'], string>> = {
  daemon: 'Daemon runs since',
  input: 'Read at',
  estate: 'Server runs since',
};

const COMMANDS: readonly (readonly [view: string, command: string])[] = [
  ['Map', 'sgctl rules; sgctl groups'],
  ['Why', "sgctl explain --live 'WEB -> DB tcp 5432'; sgctl explain --drop NUMBER"],
  ['Live', 'sgctl top; sgctl flows; sgctl drops'],
  ['Draft', 'sgctl diff OLD NEW; sgctl reload --dry-run; sgctl export'],
  ['Matrix', 'sgctl test'],
  ['Hosts', 'sgctl host ls'],
];

function Commands() {
  return (
    <table class="plain">
      <thead>
        <tr>
          <th scope="col">View</th>
          <th scope="col">Commands</th>
        </tr>
      </thead>
      <tbody>
        {COMMANDS.map(([view, command]) => (
          <tr key={view}>
            <th scope="row">{view}</th>
            <td>
              <code>{command}</code>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
