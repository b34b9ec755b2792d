/** This view shows what happens now: rates of the last hour, the fastest flows, rules in use, drops as they come. */
import { useState } from 'preact/hooks';
import { about } from '../../browser/about.ts';
import { drops, top, unseen } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { formatWhole } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import { Empty, Loading, Note } from '../../parts/states.tsx';
import { Tabs } from '../../parts/tabs.tsx';
import { DropsTable } from './drops-table.tsx';
import { InterfacesTable } from './interfaces-table.tsx';
import { RateCharts } from './rate-charts.tsx';
import { RulesTable } from './rules-table.tsx';
import { Tiles } from './tiles.tsx';
import { TopFlowsTable } from './top-flows-table.tsx';
import { TrackedFlows } from './tracked-flows.tsx';

type Part = 'top' | 'drops' | 'interfaces' | 'rules' | 'flows';

export function LiveView() {
  const known = useStore(about);
  if (known === undefined) return <Loading what="the live view" />;
  return (
    <>
      <h1 class="hidden">Live</h1>
      {known.isLive ? (
        <>
          {known.liveNote !== undefined && <Note>{shown(known.liveNote)}</Note>}
          <LiveParts />
        </>
      ) : (
        <NoTraffic />
      )}
    </>
  );
}

function NoTraffic() {
  const known = useStore(about);
  if (known?.source === 'estate')
    return <Empty title="There are no live figures here">{shown(known.liveNote ?? '')}</Empty>;
  return (
    <Empty title="An input in files has no traffic">
      The console shows traffic of a daemon: start it without an input.
    </Empty>
  );
}

function LiveParts() {
  const [part, setPart] = useState<Part>('top');
  const dropped = useStore(drops);
  const moving = useStore(top);
  return (
    <div class="live">
      <Tiles />
      <RateCharts />
      <Unseen />
      <Tabs<Part>
        label="What is listed"
        chosen={part}
        choose={setPart}
        tabs={[
          { name: 'top', title: 'Fastest flows', count: moving?.topFlows.length ?? 0 },
          { name: 'drops', title: 'Drops', count: dropped.length },
          { name: 'interfaces', title: 'Interfaces', count: moving?.interfaces.length ?? 0 },
          { name: 'rules', title: 'Rules' },
          { name: 'flows', title: 'Tracked flows' },
        ]}
      />
      <ListOf part={part} />
    </div>
  );
}

function ListOf({ part }: { readonly part: Part }) {
  switch (part) {
    case 'top':
      return <TopFlowsTable />;
    case 'drops':
      return <DropsTable />;
    case 'interfaces':
      return <InterfacesTable />;
    case 'rules':
      return <RulesTable />;
    case 'flows':
      return <TrackedFlows />;
    default:
      return part satisfies never;
  }
}

/** What there was too much of is said, so that nobody takes the list for all there is. */
function Unseen() {
  const { drops: more, events } = useStore(unseen);
  if (more + events === 0) return null;
  return (
    <Note>
      {more > 0 && `${formatWhole(more)} more packets were dropped than are listed as examples. `}
      {events > 0 &&
        `${formatWhole(events)} updates were left out, because this page was too slow.`}
    </Note>
  );
}
