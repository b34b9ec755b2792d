/** This file has the keys that work everywhere: `/` for the filter, `g` and a letter for a view, `?` for all keys. */
import type { ViewName } from '../logic/route.ts';
import { go } from './route-store.ts';
import { Store } from './store.ts';

/** After `g`. */
export const VIEW_KEYS: Readonly<Record<string, ViewName>> = {
  m: 'map',
  w: 'why',
  l: 'live',
  d: 'draft',
  x: 'matrix',
  h: 'history',
  o: 'hosts',
  a: 'about',
};

/** Whether the list of keys is shown. */
export const isHelpOpen = new Store(false);

/** What the view does with its own keys, such as `p` of live. The latest that was added is asked first. */
const handlers: ((key: string) => boolean)[] = [];

/** Milliseconds within which the letter follows `g`. */
const SEQUENCE_MS = 1200;

/** Listens to keys. @param focusFilter puts the cursor into the filter box */
export function openKeys(focusFilter: () => void): void {
  let isGoing = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    if (isTyping(event.target)) {
      if (key === 'Escape' && event.target instanceof HTMLElement) event.target.blur();
      return;
    }
    const view = isGoing ? VIEW_KEYS[key] : undefined;
    isGoing = key === 'g';
    clearTimeout(timer);
    if (isGoing) timer = setTimeout(() => (isGoing = false), SEQUENCE_MS);
    if (view !== undefined) go(view);
    else if (key === '/') focusFilter();
    else if (key === '?') isHelpOpen.set(true);
    else if (key === 'Escape' && isHelpOpen.get()) isHelpOpen.set(false);
    else if (![...handlers].reverse().some((handle) => handle(key))) return;
    event.preventDefault();
  });
}

/** Adds keys of a view. @param handle says whether it knew the key. @returns a function that takes them away */
export function addKeys(handle: (key: string) => boolean): () => void {
  handlers.push(handle);
  return () => {
    const at = handlers.indexOf(handle);
    if (at >= 0) handlers.splice(at, 1);
  };
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLInputElement ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement
  );
}
