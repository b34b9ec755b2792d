/** This file is the page as a whole: the header, and the view that the address names. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { addKeys, openKeys } from './browser/keys.ts';
import { isPaused } from './browser/live.ts';
import { route } from './browser/route-store.ts';
import { token } from './browser/session.ts';
import { useStore } from './browser/store.ts';
import type { ViewName } from './logic/route.ts';
import { Header } from './parts/header.tsx';
import { Help } from './parts/help.tsx';
import { SignIn } from './parts/sign-in.tsx';
import { AwayBar } from './parts/status.tsx';
import { AboutView } from './views/about/about-view.tsx';
import { DraftView } from './views/draft/draft-view.tsx';
import { HistoryView } from './views/history/history-view.tsx';
import { HostsView } from './views/hosts/hosts-view.tsx';
import { LiveView } from './views/live/live-view.tsx';
import { MapView } from './views/map/map-view.tsx';
import { MatrixView } from './views/matrix/matrix-view.tsx';
import { WhyView } from './views/why/why-view.tsx';

export function App() {
  const filterBox = useRef<HTMLInputElement>(null);
  const hasToken = useStore(token) !== '';
  useEffect(() => {
    openKeys(() => filterBox.current?.focus());
    addKeys((key) => {
      if (key !== 'p') return false;
      isPaused.update((last) => !last);
      return true;
    });
  }, []);
  if (!hasToken) return <SignIn />;
  return (
    <>
      <Header filterBox={filterBox} />
      <AwayBar />
      <View />
      <Help />
    </>
  );
}

const PAGES: Readonly<Record<ViewName, () => ComponentChildren>> = {
  map: () => <MapView />,
  why: () => <WhyView />,
  live: () => <LiveView />,
  draft: () => <DraftView />,
  matrix: () => <MatrixView />,
  history: () => <HistoryView />,
  hosts: () => <HostsView />,
  about: () => <AboutView />,
};

function View() {
  const { view } = useStore(route);
  return (
    <main id="main" tabIndex={0} class={`view view-${view}`}>
      {PAGES[view]()}
    </main>
  );
}
