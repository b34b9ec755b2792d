/** This file follows the address: which view is shown. */
import { parseRoute, routeHash, type Route, type ViewName } from '../logic/route.ts';
import { Store } from './store.ts';

export const route = new Store<Route>({ view: 'map', parameters: {} });

export function openRoute(): void {
  const take = (): void => route.set(parseRoute(location.hash));
  take();
  addEventListener('hashchange', take);
}

/** Shows a view. */
export function go(view: ViewName, parameters: Readonly<Record<string, string>> = {}): void {
  location.hash = routeHash(view, parameters);
}

/** Changes what the view is about, without an entry in the history. */
export function replaceRoute(view: ViewName, parameters: Readonly<Record<string, string>>): void {
  history.replaceState(null, '', routeHash(view, parameters));
  route.set({ view, parameters });
}
