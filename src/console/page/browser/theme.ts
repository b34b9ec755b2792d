/** This file keeps whether the page is light or dark: as the system has it, or as the reader chose. */
import { Store } from './store.ts';
import { readKept, writeKept } from './kept.ts';

export type Theme = 'system' | 'light' | 'dark';

const THEMES: readonly Theme[] = ['system', 'light', 'dark'];
const KEY = 'theme';

export const theme = new Store<Theme>('system');

/** Takes what was chosen the last time. */
export function openTheme(): void {
  const kept = readKept(KEY);
  setTheme(THEMES.find((one) => one === kept) ?? 'system');
}

/** The next of system, light and dark. */
export function nextTheme(): void {
  setTheme(THEMES[(THEMES.indexOf(theme.get()) + 1) % THEMES.length] ?? 'system');
}

function setTheme(value: Theme): void {
  const { documentElement } = document;
  if (value === 'system') delete documentElement.dataset['theme'];
  else documentElement.dataset['theme'] = value;
  writeKept(KEY, value);
  theme.set(value);
}
