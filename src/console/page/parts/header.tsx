/** This file is the top of the page: what is looked at, the views, the filter box, the state. */
import type { Ref } from 'preact';
import type { About } from '../../contract.ts';
import { about } from '../browser/about.ts';
import { filter } from '../browser/filter.ts';
import { isHelpOpen } from '../browser/keys.ts';
import { route } from '../browser/route-store.ts';
import { signOut } from '../browser/sign-in.ts';
import { useStore } from '../browser/store.ts';
import { nextTheme, theme, type Theme } from '../browser/theme.ts';
import { routeHash, VIEWS, type ViewName } from '../logic/route.ts';
import { shown, shownShort } from '../logic/shown.ts';
import { IconButton } from './icon-button.tsx';
import { Icon, type IconName } from './icon.tsx';
import { Status } from './status.tsx';

const TITLES: Readonly<Record<ViewName, string>> = {
  map: 'Map',
  why: 'Why',
  live: 'Live',
  draft: 'Draft',
  matrix: 'Matrix',
  history: 'History',
  hosts: 'Hosts',
  about: 'About',
};

export function Header({ filterBox }: { readonly filterBox: Ref<HTMLInputElement> }) {
  return (
    <header class="header">
      <a class="skip" href="#main" onClick={skipToMain}>
        To the content
      </a>
      <div class="header-top">
        <a class="brand" href="#/map">
          <Icon name="shield" />
          secgroupd
        </a>
        <Source />
        <Status />
        <div class="header-tools">
          <FilterBox input={filterBox} />
          <ThemeButton />
          <SignOutButton />
          <IconButton
            icon="keys"
            label="Keys"
            title="Keys (?)"
            click={() => isHelpOpen.set(true)}
          />
        </div>
      </div>
      <Views />
    </header>
  );
}

/** The address stays as it is: it says which view is shown. */
function skipToMain(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

const SOURCES: Readonly<Record<About['source'], string>> = {
  daemon: 'daemon',
  input: 'input',
  estate: 'region',
};

function Source() {
  const known = useStore(about);
  if (known === undefined) return null;
  return (
    <p class="source" title={shown(known.title)}>
      <span class="muted">{SOURCES[known.source]}</span> <bdi>{shownShort(known.title)}</bdi>
      {known.host !== undefined && <span class="muted"> on {shownShort(known.host)}</span>}
    </p>
  );
}

/** Only secgroup-api knows of these. */
const OF_ESTATES: readonly ViewName[] = ['history', 'hosts'];

function Views() {
  const { view } = useStore(route);
  const isEstate = useStore(about)?.key !== undefined;
  const views = isEstate
    ? VIEWS
    : VIEWS.filter((name) => !OF_ESTATES.includes(name) || name === view);
  return (
    <nav class="views" aria-label="Views">
      {views.map((name) => (
        <a key={name} href={routeHash(name)} aria-current={name === view ? 'page' : undefined}>
          {TITLES[name]}
        </a>
      ))}
    </nav>
  );
}

function FilterBox({ input }: { readonly input: Ref<HTMLInputElement> }) {
  const text = useStore(filter);
  return (
    <label class="filter">
      <Icon name="search" />
      <span class="hidden">Filter</span>
      <input
        ref={input}
        type="search"
        value={text}
        placeholder="Filter"
        title="Filter what is listed (/)"
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => filter.set(event.currentTarget.value)}
      />
    </label>
  );
}

const THEMES: Readonly<Record<Theme, readonly [IconName, string]>> = {
  system: ['system', 'Colours as the system has them'],
  light: ['sun', 'Light colours'],
  dark: ['moon', 'Dark colours'],
};

function ThemeButton() {
  const [icon, text] = THEMES[useStore(theme)];
  return <IconButton icon={icon} label={text} title={text} click={nextTheme} />;
}

function SignOutButton() {
  const key = useStore(about)?.key;
  if (key === undefined) return null;
  const title = `Sign out ${shownShort(key.name)}`;
  return <IconButton icon="leave" label={title} title={title} click={signOut} />;
}
